"""What a network sees: the right entries, scaled once."""

from __future__ import annotations

import dataclasses

import torch

from irl_ros.rl.observation import Observation
from irl_ros.rl.policy import Policy
from irl_ros.sim import BatchWorld, State, Throws, World


def letting_go(world: World, state: State) -> torch.Tensor:
    """Where the ball lies if the gripper opens now, by throwing it: the first two entries, m, [N, 2]."""
    simulator = BatchWorld(world, dtype=torch.float64)
    simulator.reset(state.target)
    simulator.state = dataclasses.replace(state.to(dtype=torch.float64), held=torch.zeros_like(state.held))
    still = torch.zeros(len(state.phase), world.action_dim, dtype=torch.float64)
    while not simulator.state.landed.all():
        simulator.step(still)
    return simulator.state.ball_position[:, :2]


def test_entries(world: World, thrown: Throws) -> None:
    observation = Observation(world)
    state = thrown.states[:, 8]
    raw = observation.raw(state)
    n = world.robot.n
    assert raw.shape == (16, observation.size)
    torch.testing.assert_close(raw[:, :n], state.q)
    torch.testing.assert_close(raw[:, n : 2 * n], state.qd / torch.tensor(world.robot.velocity).float())
    assert (raw[:, n : 2 * n].abs() <= 1.0001).all()
    miss = letting_go(world, state) - state.target[:, :2]
    shown = raw[:, -5:-3].double()
    torch.testing.assert_close(shown, miss.clamp(-1.5, 1.5), atol=1e-4, rtol=0)
    flags = torch.stack((state.held.float(), state.landed.float(), state.phase), -1)
    torch.testing.assert_close(raw[:, -3:], flags)


def test_scaling_is_frozen(world: World, thrown: Throws) -> None:
    observation = Observation(world)
    observation.freeze(thrown.states)
    mean, scale = observation.mean.clone(), observation.scale.clone()
    seen = observation(thrown.states).reshape(-1, observation.size)
    varied = scale > 0.1001
    varied[-3:] = False
    assert varied.sum() > 10
    torch.testing.assert_close(seen.mean(0)[varied], torch.zeros(int(varied.sum())), atol=0.05, rtol=0)
    raw = observation.raw(thrown.states).reshape(-1, observation.size)
    inside = (((raw - mean) / scale).abs() < 6).all(0) & varied
    torch.testing.assert_close(seen.std(0)[inside], torch.ones(int(inside.sum())), atol=0.01, rtol=0)
    observation(thrown.states[:4])
    assert torch.equal(observation.mean, mean) and torch.equal(observation.scale, scale)


def test_constant_entries_do_not_blow_up_and_flags_are_plus_minus_one(world: World, thrown: Throws) -> None:
    observation = Observation(world)
    observation.freeze(thrown.states[:1, :1].map(lambda x: x.expand(2, *x.shape[1:])))
    assert (observation.scale >= 0.1).all()
    seen = observation(thrown.states)
    assert (seen.abs() <= 6).all()
    assert set(seen[..., -3].unique().tolist()) == {-1.0, 1.0}
    assert seen[:, 0, -1].eq(-1).all() and seen[:, -1, -1].eq(1).all()


def test_scaling_is_saved_with_the_policy(world: World, policy: Policy, thrown: Throws) -> None:
    other = Policy(world)
    other.load_state_dict(policy.state_dict())
    assert not torch.equal(Policy(world).observation(thrown.states), policy.observation(thrown.states))
    assert torch.equal(other.observation(thrown.states), policy.observation(thrown.states))


def test_double_precision_worlds_are_seen_in_single(world: World, thrown: Throws, policy: Policy) -> None:
    state = thrown.states[:, 3]
    doubled = policy.observation(state.to(dtype=torch.float64))
    assert doubled.dtype == torch.float32
    torch.testing.assert_close(doubled, policy.observation(state))
