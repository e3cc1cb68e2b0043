"""Commands that act late and inexactly, readings that are not the truth."""

from __future__ import annotations

import pytest
import torch

from irl_ros.sim import BatchWorld, load_world, throw
from irl_ros.sim.disturbances import EYE, HAND, normal


def test_noise_is_standard_normal_and_its_channels_have_nothing_in_common() -> None:
    seeds = torch.randint(2**53, (4000,), generator=torch.Generator().manual_seed(1))
    blocks = [normal(seeds, step, kind, 3) for step in (0, 1, 59) for kind in (HAND, EYE, EYE + 3)]
    noise = torch.cat(blocks, -1)
    assert noise.mean(0).abs().max() < 0.08 and (noise.std(0) - 1).abs().max() < 0.06
    assert (noise.abs() > 1.96).double().mean() == pytest.approx(0.05, abs=0.005)
    mixed = torch.corrcoef(noise.T) - torch.eye(noise.shape[1])
    assert mixed.abs().max() < 0.08
    # neighbouring seeds are as different as any
    assert (
        torch.corrcoef(torch.stack((normal(seeds, 0, HAND, 1), normal(seeds + 1, 0, HAND, 1)))[..., 0])[
            0, 1
        ].abs()
        < 0.06
    )


def test_noise_depends_on_nothing_but_its_arguments() -> None:
    seeds = torch.arange(10)
    torch.testing.assert_close(normal(seeds, 7, EYE, 4)[3:5], normal(seeds[3:5], 7, EYE, 4), rtol=0, atol=0)


@pytest.mark.parametrize(("arm", "gripper"), [(0, 3), (2, 0), (4, 4)])
def test_commands_act_as_many_steps_late_as_the_world_says(arm: int, gripper: int) -> None:
    late = load_world({"arm": {"latency": arm}, "gripper": {"latency": gripper}})
    now = load_world("default")
    targets = now.sample_targets(2)
    commands = torch.rand(2, 20, 8, dtype=torch.float64)
    commands[..., -1] = torch.where(torch.arange(20) >= 5, 1.0, -1.0)
    acting = torch.zeros_like(commands)
    acting[:, arm:, :-1] = commands[:, : 20 - arm, :-1]
    acting[..., -1] = torch.where(torch.arange(20) >= 5 + gripper, 1.0, -1.0)
    worlds = [BatchWorld(w, dtype=torch.float64) for w in (late, now)]
    for world in worlds:
        world.reset(targets)
    for told, acts in zip(commands.unbind(1), acting.unbind(1), strict=True):
        one, other = worlds[0].step(told), worlds[1].step(acts)
        assert torch.equal(one.q, other.q) and torch.equal(one.held, other.held)
        torch.testing.assert_close(one.ball_position, other.ball_position, rtol=0, atol=0)


def test_delays_begin_anew_with_every_throw() -> None:
    simulator = BatchWorld(load_world({"arm": {"latency": 2}}))
    for _ in range(2):
        start = simulator.reset(torch.tensor([[0.9, 0.0, 0.0]]))
        for _ in range(2):
            assert torch.equal(simulator.step(torch.ones(1, 8)).q, start.q)
        assert not torch.equal(simulator.step(torch.ones(1, 8)).q, start.q)


def test_a_noisy_hand_is_as_noisy_as_the_world_says() -> None:
    world = load_world({"arm": {"noise": 0.3}, "horizon": 40})
    simulator = BatchWorld(world, dtype=torch.float64)
    simulator.reset(world.sample_targets(2000))
    command = torch.full((2000, 8), 0.1, dtype=torch.float64)
    command[:, -1] = -1.0
    for _ in range(3):
        state = simulator.step(command)
    share = state.qd[:, 5:] / torch.tensor(world.velocity[5:])
    assert (share.mean(0) - 0.1).abs().max() < 0.003
    assert (share.std(0) - 0.03).abs().max() < 0.003


def test_a_policy_sees_readings_and_the_outcome_is_the_truth() -> None:
    sizes = {"q": 0.02, "qd": 0.2, "ball_position": 0.05, "ball_velocity": 0.4}
    world, clean = load_world({"sensors": sizes}), load_world("default")
    targets = world.sample_targets(300)
    shown = []

    def policy(state):
        shown.append(state)
        swing = torch.tensor([0.0, 0.5, 0.0, 0.6, 0.0, 0.6, 0.0, -1.0]).expand(300, 8).clone()
        swing[:, -1] = torch.where(state.phase > 0.4, 1.0, -1.0)
        return swing

    noisy = throw(BatchWorld(world), policy, targets)
    true = throw(BatchWorld(clean), policy, targets)
    torch.testing.assert_close(noisy.states.q, true.states.q, rtol=0, atol=0)
    torch.testing.assert_close(noisy.outcome.landing, true.outcome.landing, rtol=0, atol=1e-6, equal_nan=True)
    for name, size in sizes.items():
        error = getattr(shown[10], name) - getattr(noisy.states[:, 10], name)
        assert float(error.std()) == pytest.approx(size, rel=0.06), name
        assert float(error.mean().abs()) < 0.1 * size
    for name in ("target", "held", "landed", "phase"):
        assert torch.equal(getattr(shown[40], name), getattr(noisy.states[:, 40], name))
