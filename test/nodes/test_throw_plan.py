"""A planned throw against the worlds it is meant for: inside all limits, to rest, as the policy throws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from irl_ros.nodes.simulated_arm import HardwareSettings, SimulatedArm
from irl_ros.nodes.throw_plan import ThrowPlan, plan_stop, plan_throw
from irl_ros.safety import JointReading, SafetyFilter, SafetySettings, StopReason
from irl_ros.sim import BatchWorld, State, load_world
from irl_ros.sim.hardware import TrajectoryController

WORLD = load_world()
JOINTS, N = WORLD.robot.joints, WORLD.robot.n
TARGET = (0.9, 0.1, 0.0)


def reading(q: np.ndarray = WORLD.home, qd: float = 0.0) -> JointReading:
    return JointReading(JOINTS, q, np.full(N, qd), 0.0)


def wild(seed: int):
    """Full speed one way or the other, let go somewhere."""
    generator = torch.Generator().manual_seed(seed)

    def act(state: State) -> torch.Tensor:
        action = 4.0 * torch.rand(1, N + 1, generator=generator) - 2.0
        action[:, -1] = 1.0 if float(state.phase) > 0.4 else -1.0
        return action

    return act


def swing(state: State) -> torch.Tensor:
    """A throw forward: shoulder, elbow and wrist."""
    action = torch.zeros(1, N + 1)
    phase = float(state.phase)
    action[:, [1, 3, 5]] = torch.tensor([0.5, 0.9, 0.8]) * (0.1 < phase < 0.5)
    action[:, -1] = 1.0 if phase >= 0.4 else -1.0
    return action


def plan(act, rate: float = 0.0, **seen) -> ThrowPlan:
    return plan_throw(act, WORLD, SafetySettings(), reading(**seen), TARGET, rate)


@pytest.mark.parametrize(("seed", "rate"), [(0, 0.0), (1, 0.0), (2, 250.0)])
def test_a_plan_keeps_every_limit_between_its_points_too_and_ends_at_rest(seed, rate):
    thrown = plan(wild(seed), rate)
    assert thrown.stop is None and thrown.release is not None
    assert thrown.excess(WORLD) == ""
    assert not thrown.qd[-1].any() and not thrown.qd[0].any()
    control = TrajectoryController("jtc", JOINTS)
    control.receive(thrown.trajectory(JOINTS, 0.0), 0.0, WORLD.home, np.zeros(N))
    times = np.arange(0.0, thrown.end + 0.1, 0.001)
    points = [control.update(t) for t in times]
    q, qd = (np.array([getattr(p, k) for p in points]) for k in ("position", "velocity"))
    assert np.all(q >= WORLD.robot.lower) and np.all(q <= WORLD.robot.upper)
    assert np.all(np.abs(qd) <= WORLD.velocity + 1e-6)
    assert np.all(np.abs(np.diff(qd, axis=0)) <= WORLD.acceleration * 0.001 + 1e-6)
    for t in (0.0, 0.313, thrown.end):
        assert thrown.at(t)[0] == pytest.approx(control.update(t).position, abs=1e-9)
        assert thrown.at(t)[1] == pytest.approx(control.update(t).velocity, abs=1e-9)


def test_the_planned_throw_is_the_one_the_policy_makes_in_the_world():
    """Controllers go to each velocity in a straight line, the world at its acceleration limit: a few mm."""
    world = BatchWorld(WORLD, dtype=torch.float64)
    state = world.reset(torch.tensor([TARGET], dtype=torch.float64))
    for _ in range(WORLD.horizon):
        state = world.step(swing(state).double())
    simulated = SimulatedArm(
        WORLD, lambda w: BatchWorld(w, dtype=torch.float64), HardwareSettings("joint_trajectory")
    )
    simulated.aim(TARGET)
    thrown = plan(swing)
    simulated.follow(thrown.trajectory(JOINTS, 0.0))
    for k in range(round(thrown.end / WORLD.dt) + 40):
        if k * WORLD.dt >= thrown.release - 1e-9:
            simulated.open_gripper([1.0])
        there = simulated.step()
    assert bool(state.landed) and bool(there.landed)
    apart = (there.ball_position - state.ball_position)[0].numpy()
    assert np.abs(apart).max() < 0.03
    assert there.q[0].numpy() == pytest.approx(thrown.q[-1], abs=1e-6), "it rests as planned"


def test_at_a_thousand_points_a_second_jerk_is_limited_as_an_arm_sees_it():
    accelerations = [np.diff(plan(swing, rate).qd, axis=0) * max(rate, 50.0) for rate in (0.0, 1000.0)]
    coarse, fine = (np.abs(np.diff(a, axis=0)) for a in accelerations)
    step = WORLD.robot.jerk * 0.001
    assert np.any(coarse > step) and np.all(fine <= step + 1e-6)


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({"qd": 0.2}, StopReason.MOVING),
        ({"q": WORLD.robot.upper + 0.5}, StopReason.OUTSIDE),
        ({"q": np.full(N, np.nan)}, StopReason.NOT_FINITE),
    ],
)
def test_nothing_is_planned_from_where_an_arm_must_not_begin(seen, reason):
    assert plan(swing, **seen).stop is reason


def test_a_policy_that_breaks_down_breaks_the_plan_off():
    def broken(state: State) -> torch.Tensor:
        return torch.full((1, N + 1), float("nan") if float(state.phase) > 0.3 else 0.5)

    assert plan(broken).stop is StopReason.BAD_ACTION


@pytest.mark.parametrize("rate", [0.0, 1000.0])
@pytest.mark.parametrize("step", [0, 10, 25, 32])
def test_the_way_to_rest_goes_on_from_the_motion_inside_the_limits(step, rate):
    thrown, since = plan(swing, rate=rate), step * WORLD.dt
    q, qd = thrown.at(since)
    assert step == 0 or np.abs(qd).max() > 0.2, "it moves"
    stopped = plan_stop(WORLD, SafetySettings(), thrown, since, rate)
    assert stopped.excess(WORLD) == "" and stopped.release is None
    assert np.array_equal(stopped.q[0], q) and np.array_equal(stopped.qd[0], qd)
    assert stopped.end == 0.0 if step == 0 else 0.0 < stopped.end < 1.0
    dt = WORLD.dt if rate == 0.0 else 1.0 / rate
    a = np.diff(np.vstack((thrown.acceleration(since), np.diff(stopped.qd, axis=0) / dt)), axis=0)
    assert np.all(np.abs(a) <= SafetyFilter(WORLD, SafetySettings()).jerk * dt + 1e-6), "jerk"


@pytest.mark.parametrize(
    ("break_it", "named"),
    [
        (lambda p: p.q.__setitem__((30, 1), 9.0), "position of joint 'panda_joint2'"),
        (lambda p: p.qd.__setitem__((30, 2), 9.0), "velocity of joint 'panda_joint3'"),
        (lambda p: p.q.__setitem__((30, 0), np.nan), "position of joint 'panda_joint1'"),
        (lambda p: p.qd.__setitem__((-1, 0), 0.1), "rest at the end"),
    ],
)
def test_a_plan_that_breaks_a_limit_is_found_out(break_it, named):
    thrown = plan(swing)
    break_it(thrown)
    assert thrown.excess(WORLD) == named
