"""SimulatedArm against the world it wraps, behind each kind of controller."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from irl_ros.errors import InputError
from irl_ros.nodes.simulated_arm import HardwareSettings, SimulatedArm, middle_of_targets
from irl_ros.sim import BatchWorld, load_world
from irl_ros.sim.hardware import LinkFaults, Trajectory, TrajectoryPoint
from irl_ros.sim.world import World

WORLD = load_world()
N = WORLD.robot.n
TRAJECTORY = {"controller": "joint_trajectory"}


def ideal(world: World) -> BatchWorld:
    return BatchWorld(world, dtype=torch.float64)


def arm(**settings) -> SimulatedArm:
    return SimulatedArm(WORLD, ideal, HardwareSettings(**settings))


@pytest.mark.parametrize("delay", [0.0, 0.06, 0.0601], ids=["at once", "three periods", "a bit more"])
def test_velocity_commands_are_the_worlds_actions_in_rad_per_s(delay):
    """Whether the arm is stepped at the control rate or, for a delay between steps, finer."""
    simulated, world = arm(gripper_delay=delay), ideal(WORLD)
    assert (simulated.updates == 1) == (delay != 0.0601)
    world.reset(torch.as_tensor(middle_of_targets(WORLD))[None])
    generator = torch.Generator().manual_seed(0)
    wait = round(delay / WORLD.dt)
    for step in range(WORLD.horizon):
        action = torch.rand(1, N + 1, generator=generator, dtype=torch.float64) * 2 - 1
        action[:, -1] = 1.0 if step == 20 else -1.0
        simulated.command((action[0, :-1].numpy() * WORLD.velocity).tolist())
        simulated.open_gripper([1.0 if step >= 20 else 0.0])
        action[:, -1] = 1.0 if step == 20 + wait else -1.0
        expected, state = world.step(action), simulated.step()
        torch.testing.assert_close(state.q, expected.q, atol=1e-9, rtol=0)
        if delay != 0.0601:
            torch.testing.assert_close(state.ball_position, expected.ball_position, atol=1e-9, rtol=0)
    assert bool(state.landed)


def test_the_last_command_persists_unless_a_watchdog_forgets_it():
    for timeout, speed in ((0.0, 0.1), (0.1, 0.0)):
        simulated = arm(command_timeout=timeout)
        simulated.command([0.1] * N)
        for _ in range(20):
            state = simulated.step()
        assert state.qd[0].numpy() == pytest.approx(np.full(N, speed))


@pytest.mark.parametrize("wrong", [[0.0] * (N - 1), [0.0] * (N + 1)])
def test_a_command_of_the_wrong_length_stops_the_controller_and_with_it_the_arm(wrong):
    simulated = arm()
    simulated.command([0.1] * N)
    simulated.step()
    simulated.command(wrong)
    for _ in range(5):
        state = simulated.step()
    assert state.qd.abs().max() == 0 and "has stopped" in simulated.complaint
    simulated.command([0.1] * N)
    assert simulated.step().qd.abs().max() == 0, "it ignores right commands too"
    simulated.activate()
    simulated.command([0.1] * N)
    assert simulated.step().qd.abs().max() > 0 and not simulated.complaint


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_dropped_and_the_last_command_persists(value):
    simulated = arm()
    simulated.command([0.1] * N)
    with pytest.raises(InputError, match="arm command"):
        simulated.command([value] * N)
    with pytest.raises(InputError, match="gripper command"):
        simulated.open_gripper([value])
    for _ in range(20):
        state = simulated.step()
    assert state.qd[0].numpy() == pytest.approx(np.full(N, 0.1)) and bool(state.held)


def test_a_gripper_command_of_the_wrong_length_stops_its_controller():
    simulated = arm()
    simulated.open_gripper([1.0, 1.0])
    assert bool(simulated.step().held) and "gripper" in simulated.complaint
    simulated.open_gripper([1.0])
    assert bool(simulated.step().held)


def test_a_released_ball_stays_released_until_reset():
    simulated = arm()
    simulated.open_gripper([1.0])
    assert not simulated.step().held
    simulated.open_gripper([0.0])
    assert not simulated.step().held
    simulated.command([0.5] * N)
    simulated.step()
    state = simulated.reset()
    assert bool(state.held) and state.q[0].numpy() == pytest.approx(WORLD.home)
    assert simulated.step().qd.abs().max() == 0, "reset forgets the last command"


def test_the_ball_lands_at_the_height_of_the_target_named_last():
    simulated = arm()
    simulated.aim([0.9, 0.0, 0.2])
    simulated.open_gripper([1.0])
    for _ in range(60):
        state = simulated.step()
    assert bool(state.landed)
    assert float(state.ball_position[0, 2]) == pytest.approx(0.2, abs=1e-9)


@pytest.mark.parametrize("delay", [0.02, 0.032, 0.1])
def test_the_ball_leaves_when_the_opening_delay_is_over(delay):
    simulated = arm(gripper_delay=delay, **TRAJECTORY)
    simulated.open_gripper([1.0])
    before = None
    while bool(simulated.state.held):
        before = simulated.time
        simulated._update()
    assert before == pytest.approx(delay, abs=1e-9)


def test_latency_shifts_commands_by_as_much():
    late, prompt = arm(link=LinkFaults(latency=0.06)), arm()
    for simulated in (late, prompt):
        simulated.command([0.2] * N)
    for _ in range(3):
        assert late.step().qd.abs().max() == 0
    torch.testing.assert_close(late.step().qd, prompt.step().qd)


def test_a_link_that_loses_everything_moves_nothing():
    simulated = arm(link=LinkFaults(lost_commands=1.0))
    simulated.command([0.2] * N)
    simulated.open_gripper([1.0])
    state = simulated.step()
    assert bool(state.held) and state.qd.abs().max() == 0


@pytest.mark.parametrize("controller", ["forward_velocity", "forward_position"])
def test_delays_and_noise_of_the_world_are_on_the_topics_but_not_in_the_truth(controller):
    """At the rate of control and at that of physics."""
    world = load_world({"arm": {"latency": 2}, "gripper": {"latency": 3}, "sensors": {"q": 0.01}})
    simulated = SimulatedArm(world, ideal, HardwareSettings(controller))
    home = torch.as_tensor(world.home)
    simulated.command([0.5] * N if controller == "forward_velocity" else world.home + 0.1)
    simulated.open_gripper([1.0])
    moved, held, noise = [], [], []
    for _ in range(5):
        seen = simulated.step()
        moved.append(float((simulated.state.q - home).abs().max()) > 0)
        held.append(bool(seen.held))
        noise.append((seen.q - simulated.state.q)[0])
    assert moved == [False, False, True, True, True]
    assert held == [True, True, True, False, False]
    assert 0.004 < float(torch.stack(noise).std()) < 0.02


def swing(duration: float = 1.0) -> Trajectory:
    """There and at rest, a quarter of the limits in velocity and acceleration."""
    way = 0.1 * np.minimum(WORLD.velocity * duration, WORLD.acceleration * duration**2)
    rest = np.zeros(N)
    end = TrajectoryPoint(duration, WORLD.home + way, rest)
    return Trajectory(WORLD.robot.joints, [TrajectoryPoint(0.0, WORLD.home, rest), end])


def test_a_trajectory_is_followed_exactly_and_the_arm_rests_at_its_end_with_nobody_there():
    simulated, plan = arm(**TRAJECTORY), swing()
    simulated.follow(plan)
    way, h = np.asarray(plan.points[1].positions) - WORLD.home, WORLD.physics_dt
    for k in range(1, 60):
        state = simulated.step()
        t = min(k * WORLD.dt, 1.0)
        at, speed = way * t * t * (3 - 2 * t), way * 6 * t * (1 - t)
        assert state.qd[0].numpy() == pytest.approx(speed, abs=2e-3)
        # semi-implicit steps are half a step ahead of their velocity
        assert state.q[0].numpy() == pytest.approx(WORLD.home + at + 0.5 * h * speed, abs=1e-4)
    assert state.qd.abs().max() == 0
    assert state.q[0].numpy() == pytest.approx(plan.points[1].positions, abs=1e-6)


def test_a_trajectory_that_is_refused_leaves_the_arm_as_it_was():
    simulated = arm(**TRAJECTORY)
    with pytest.raises(InputError, match="refuses a trajectory: it ends with velocity"):
        simulated.follow(Trajectory(WORLD.robot.joints, [TrajectoryPoint(1.0, WORLD.home, WORLD.velocity)]))
    assert simulated.step().qd.abs().max() == 0


def test_a_second_trajectory_takes_over_in_motion():
    simulated = arm(**TRAJECTORY)
    simulated.follow(swing())
    for _ in range(25):
        speed = simulated.step().qd
    simulated.follow(Trajectory(WORLD.robot.joints, [TrajectoryPoint(0.6, WORLD.home, np.zeros(N))]))
    jump = (simulated.step().qd - speed)[0].abs().numpy()
    assert np.all(jump <= WORLD.acceleration * WORLD.dt + 1e-9)
    for _ in range(60):
        state = simulated.step()
    assert state.q[0].numpy() == pytest.approx(WORLD.home, abs=1e-6) and state.qd.abs().max() == 0


def test_positions_at_the_control_rate_are_followed_smoothly_half_a_period_late():
    simulated, before = arm(controller="forward_position"), np.zeros(N)
    speed, h = 0.2 * WORLD.velocity, WORLD.physics_dt
    for k in range(1, 40):
        simulated.command(WORLD.home + k * WORLD.dt * speed)
        state = simulated.step()
        change = (state.qd[0].numpy() - before) / WORLD.dt
        assert np.all(np.abs(change) <= WORLD.acceleration + 1e-9)
        before = state.qd[0].numpy()
    assert before == pytest.approx(speed, abs=1e-9)
    way = (38.5 * WORLD.dt + 0.5 * h) * speed
    assert state.q[0].numpy() == pytest.approx(WORLD.home + way, abs=1e-6)
    for _ in range(10):
        state = simulated.step()
    assert state.qd.abs().max() < 1e-9, "the last position persists"
    assert state.q[0].numpy() == pytest.approx(WORLD.home + 39 * WORLD.dt * speed, abs=1e-6)


def test_a_leap_in_position_is_made_inside_the_limits():
    simulated, goal = arm(controller="forward_position"), WORLD.home + 0.5
    simulated.command(goal)
    before = simulated.state.qd[0]
    for _ in range(80):
        state = simulated.step()
        assert np.all(np.abs(state.qd[0].numpy()) <= WORLD.velocity + 1e-9)
        change = (state.qd[0] - before).abs().numpy()
        assert np.all(change <= WORLD.acceleration * WORLD.dt + 1e-9)
        before = state.qd[0]
    assert state.q[0].numpy() == pytest.approx(goal, abs=1e-3)


def test_each_controller_refuses_what_is_meant_for_the_other():
    with pytest.raises(InputError, match="send commands"):
        arm().follow(swing())
    with pytest.raises(InputError, match="send a trajectory"):
        arm(**TRAJECTORY).command([0.0] * N)
    with pytest.raises(ValueError, match="did you mean 'joint_trajectory'"):
        HardwareSettings(controller="joint_trajectry")
