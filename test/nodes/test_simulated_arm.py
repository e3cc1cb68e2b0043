"""SimulatedArm against the world it wraps, and the rules by which a world in lock-step moves on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from irl_ros.errors import InputError
from irl_ros.nodes.simulated_arm import LockStep, Pace, SimulatedArm, middle_of_targets
from irl_ros.sim import BatchWorld, load_world

WORLD = load_world()
N = WORLD.robot.n


def arm() -> SimulatedArm:
    return SimulatedArm(BatchWorld(WORLD, dtype=torch.float64))


def test_velocity_commands_are_the_worlds_actions_in_rad_per_s():
    simulated, world = arm(), BatchWorld(WORLD, dtype=torch.float64)
    world.reset(torch.as_tensor(middle_of_targets(WORLD))[None])
    generator = torch.Generator().manual_seed(0)
    for step in range(WORLD.horizon):
        action = torch.rand(1, N + 1, generator=generator, dtype=torch.float64) * 2 - 1
        action[:, -1] = 1.0 if step == 30 else -1.0
        simulated.command((action[0, :-1].numpy() * WORLD.velocity).tolist())
        simulated.gripper([float(action[0, -1])])
        expected, state = world.step(action), simulated.step()
        torch.testing.assert_close(state.q, expected.q, atol=1e-12, rtol=0)
        torch.testing.assert_close(state.ball_position, expected.ball_position, atol=1e-12, rtol=0)
    assert bool(state.landed)


def test_the_last_command_persists():
    simulated = arm()
    simulated.command([0.1] * N)
    for _ in range(20):
        state = simulated.step()
    assert state.qd[0].numpy() == pytest.approx(np.full(N, 0.1))


@pytest.mark.parametrize(
    "wrong", [[], [0.0] * (N - 1), [0.0] * (N + 1), [float("nan")] * N, [float("inf")] * N]
)
def test_a_wrong_command_is_refused_and_the_last_one_persists(wrong):
    simulated = arm()
    simulated.command([0.1] * N)
    with pytest.raises(InputError, match="arm command"):
        simulated.command(wrong)
    for _ in range(20):
        state = simulated.step()
    assert state.qd[0].numpy() == pytest.approx(np.full(N, 0.1))


@pytest.mark.parametrize("wrong", [[], [1.0, 1.0], [float("nan")]])
def test_a_wrong_gripper_command_is_refused(wrong):
    simulated = arm()
    with pytest.raises(InputError, match="gripper command"):
        simulated.gripper(wrong)
    assert bool(simulated.step().held)


def test_a_released_ball_stays_released_until_reset():
    simulated = arm()
    simulated.gripper([1.0])
    assert not simulated.step().held
    simulated.gripper([0.0])
    assert not simulated.step().held
    simulated.command([0.5] * N)
    simulated.step()
    state = simulated.reset()
    assert bool(state.held) and state.q[0].numpy() == pytest.approx(WORLD.home)
    assert simulated.step().qd.abs().max() == 0, "reset forgets the last command"


def test_the_ball_lands_at_the_height_of_the_target_named_last():
    simulated = arm()
    simulated.aim([0.9, 0.0, 0.2])
    simulated.gripper([1.0])
    for _ in range(60):
        state = simulated.step()
    assert bool(state.landed)
    assert float(state.ball_position[0, 2]) == pytest.approx(0.2, abs=1e-9)


def test_delays_and_noise_of_the_world_are_on_the_topics_but_not_in_the_truth():
    world = load_world({"arm": {"latency": 2}, "gripper": {"latency": 3}, "sensors": {"q": 0.01}})
    simulated = SimulatedArm(BatchWorld(world, dtype=torch.float64))
    simulated.reset()
    simulated.command([0.5] * world.robot.n)
    simulated.gripper([1.0])
    moved, held, noise = [], [], []
    for _ in range(5):
        seen = simulated.step()
        moved.append(float((simulated.state.q - torch.tensor(world.home)).abs().max()) > 0)
        held.append(bool(seen.held))
        noise.append((seen.q - simulated.state.q)[0])
    assert moved == [False, False, True, True, True]
    assert held == [True, True, True, False, False]
    assert 0.004 < float(torch.stack(noise).std()) < 0.02


def test_the_world_waits_after_a_reset_and_then_takes_one_step_for_each_command():
    lock = LockStep(period=0.02, patience=(0.25, 10.0))
    lock.reset(0.0)
    assert not lock.on_time(9.9), "nobody has commanded yet"
    assert lock.on_command(9.9)
    assert not lock.on_time(10.0), "within patience"
    assert lock.on_command(10.1)


def test_without_commands_the_world_moves_by_the_wall_clock_again():
    lock = LockStep(period=0.02, patience=(0.25, 10.0))
    lock.reset(0.0)
    assert lock.on_command(0.1)
    assert lock.on_time(0.36) and lock.pace is Pace.FREE
    assert not lock.on_command(0.37), "a late command persists, but steps nothing: two tokens would circulate"
    assert lock.on_time(0.39)


@given(st.lists(st.floats(0.0, 0.02), min_size=50, max_size=300))
def test_free_time_passes_at_the_control_rate_whatever_the_timer_does(gaps):
    lock, now, steps = LockStep(period=0.02), 0.0, 0
    for gap in gaps:
        now += gap
        steps += lock.on_time(now)
    assert steps <= now / 0.02 + 1
    assert steps >= now / 0.02 / 2 - 1, "it may fall behind a coarse timer, not stop"
