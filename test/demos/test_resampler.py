"""The live state is the recorded one: same samples, same rules, same numbers."""

from __future__ import annotations

import math
from time import process_time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from irl_ros.demos.interpolation import Track, differentiate, hermite, hold
from irl_ros.demos.resampler import JointOrder, LiveState, Motion, Resampler, twist_in_world
from irl_ros.robots import load_robot
from irl_ros.sim import Throws, World

FIELDS = ("q", "qd", "ball_position", "ball_velocity", "held", "landed")


def recorded_motion(throws: Throws, i: int, dt: float, ball: bool, velocities: bool) -> tuple[Motion, float]:
    s = throws.states.map(lambda x: x[i].numpy())
    times = 10.0 + dt * np.arange(len(s.q))
    joints = Track.of(times, s.q, s.qd if velocities else np.full_like(s.qd, np.nan))
    tracked = Track.of(times, s.ball_position, s.ball_velocity) if ball else None
    released = float(times[s.held][-1])
    return Motion(joints, tracked, s.target[0], released, None), released


@pytest.mark.parametrize("velocities", [True, False], ids=["velocities", "positions only"])
@pytest.mark.parametrize("ball", [True, False], ids=["ball tracked", "ball not tracked"])
@pytest.mark.parametrize("offset", [0.0, 0.007], ids=["on the grid", "off the grid"])
def test_live_equals_recorded(throws, world: World, ball: bool, velocities: bool, offset: float) -> None:
    """At every control step, asked when the sample after it has come in (so that both may interpolate)."""
    resampler = Resampler(world)
    motion, released = recorded_motion(throws, 0, world.dt, ball, velocities)
    landing = resampler.landing(motion.joints, motion.ball, released, motion.target[2])
    motion = Motion(motion.joints, motion.ball, motion.target, released, landing)
    times = motion.joints.times[:-1] + offset
    want = resampler.sample(motion, times)

    live = LiveState(world)
    live.begin(motion.joints.times[0] + offset)
    live.target(motion.target)
    noise = np.random.default_rng(0)
    names = np.array([*world.robot.joints, "panda_finger_joint1"])
    states = []
    for k, time in enumerate(motion.joints.times):
        order = noise.permutation(len(names))
        q, qd = np.append(motion.joints.x[k], 0.04), np.append(motion.joints.v[k], 0.0)
        live.joint_state(time, list(names[order]), q[order], qd[order] if velocities else [])
        live.joint_state(time + 1e-4, ["elbow"], [1.0], [1.0])
        if motion.ball is not None:
            live.ball(time, motion.ball.x[k], motion.ball.v[k])
        if k and times[k - 1] > released and live._released == np.inf:
            live.release(released)
        if k:
            state, staleness = live.at(times[k - 1], dtype=torch.float64)
            assert staleness.missing == () and state is not None
            states.append(state)
    for name in FIELDS:
        got = torch.cat([getattr(s, name) for s in states]).numpy()
        # the recorded landing is seen from its last sample, the live one predicted: same to rounding
        np.testing.assert_allclose(got, want[name], rtol=0, atol=1e-9, err_msg=name)
    phase = torch.cat([s.phase for s in states]).numpy()
    np.testing.assert_allclose(phase, np.arange(60) / 60, atol=1e-9)


def test_at_the_newest_sample_the_short_way_is_the_long_one(throws, world: World) -> None:
    """What a control loop asks at every step, in the hand, in the air and on the ground."""
    resampler = Resampler(world)
    motion, released = recorded_motion(throws, 0, world.dt, True, True)
    landing = resampler.landing(motion.joints, motion.ball, released, motion.target[2])
    motion = Motion(motion.joints, motion.ball, motion.target, released, landing)
    want = resampler.sample(motion, motion.joints.times)
    live, short = LiveState(world), []
    live.begin(motion.joints.times[0])
    live.target(motion.target)
    for k, time in enumerate(motion.joints.times):
        live.joint_state(time, world.robot.joints, motion.joints.x[k], motion.joints.v[k])
        live.ball(time, motion.ball.x[k], motion.ball.v[k])
        short.append(live._just_measured(time, motion.target) is not None)
        state, _ = live.at(time, dtype=torch.float64)
        for name in FIELDS:
            got = getattr(state, name)[0].numpy()
            np.testing.assert_allclose(got, want[name][k], rtol=0, atol=1e-9, err_msg=f"{name} {k}")
        if time == released:
            live.release(released)
    held = want["held"]
    moving = np.abs(want["ball_velocity"]).any(1)
    assert short == list(~held | (np.cumsum(moving) > 0)), "it is taken where it may be"


def test_live_state_runs_ahead_for_one_step_then_holds(throws, world: World) -> None:
    motion, _ = recorded_motion(throws, 0, world.dt, True, True)
    live = LiveState(world)
    live.target(motion.target)
    for k in range(10):
        live.joint_state(motion.joints.times[k], world.robot.joints, motion.joints.x[k], motion.joints.v[k])
    newest, q, qd = motion.joints.times[9], motion.joints.x[9], motion.joints.v[9]
    for ahead, carried in ((0.0, 0.0), (0.008, 0.008), (world.dt, world.dt), (0.5, world.dt)):
        state, staleness = live.at(newest + ahead, dtype=torch.float64)
        assert state is not None
        np.testing.assert_allclose(state.q[0], q + carried * qd, atol=1e-9)
        assert staleness.joints == pytest.approx(ahead) and staleness.ball == np.inf


def test_live_state_says_what_it_waits_for(world: World) -> None:
    live = LiveState(world)
    state, staleness = live.at(1.0)
    assert state is None and staleness.missing == ("joint_states", "target")
    assert staleness.joints == staleness.ball == np.inf
    live.joint_state(1.0, world.robot.joints, world.home)
    live.joint_state(1.5, ["other"], [0.0])
    assert live.at(1.0)[0] is None and live.staleness(2.0).missing == ("target",)
    assert live.staleness(2.0).joints == 1.0
    live.target((0.8, 0.0, 0.0))
    assert live.at(1.0)[0] is not None


def test_live_state_survives_a_clock_set_back(world: World) -> None:
    """A simulation that starts again, and samples that come late or twice."""
    live = LiveState(world)
    live.target((0.8, 0.0, 0.0))
    for now, value in ((100.0, 0.0), (100.02, 0.1), (100.01, 9.0), (100.02, 9.0), (3.0, 0.2), (3.02, 0.3)):
        live.joint_state(now, world.robot.joints, world.home + value, np.zeros(7))
    state, staleness = live.at(3.02, dtype=torch.float64)
    assert state is not None and staleness.joints == pytest.approx(0.0)
    np.testing.assert_allclose(state.q[0], world.home + 0.3)


def test_a_state_costs_little_of_a_control_period_at_any_rate(throws, world: World) -> None:
    """A driver at 1 kHz: only the samples around the time asked for are touched."""
    motion, _ = recorded_motion(throws, 0, world.dt, True, True)
    live = LiveState(world)
    live.target(motion.target)
    for k in range(2000):
        live.joint_state(k * 1e-3, world.robot.joints, motion.joints.x[k // 40], motion.joints.v[k // 40])
        live.ball(k * 1e-3, motion.ball.x[0], motion.ball.v[0])
    begin = process_time()
    for _ in range(50):
        assert live.at(2.0)[0] is not None
    assert (process_time() - begin) / 50 < 0.25 * world.dt  # measured 0.5 ms


def test_live_tracker_without_velocities(throws, world: World) -> None:
    motion, _ = recorded_motion(throws, 0, world.dt, True, True)
    live = LiveState(world)
    live.target(motion.target)
    for k in range(12):
        live.joint_state(motion.joints.times[k], world.robot.joints, motion.joints.x[k], motion.joints.v[k])
        live.ball(motion.joints.times[k], motion.ball.x[k], np.zeros(3))
    state, _ = live.at(motion.joints.times[11], dtype=torch.float64)
    assert state is not None
    np.testing.assert_allclose(state.ball_velocity[0], motion.ball.v[11], atol=0.1)


@pytest.mark.parametrize("measures", [True, False], ids=["velocities", "positions only"])
@pytest.mark.parametrize("velocity", [(math.nan,) * 3, (0.0, 0.0, 0.0), None], ids=str)
def test_a_tracker_that_loses_the_ball_has_not_seen_it(throws, world: World, velocity, measures) -> None:
    motion, released = recorded_motion(throws, 0, world.dt, ball=True, velocities=True)
    seen, blind = LiveState(world), LiveState(world)
    for live in (seen, blind):
        live.begin(motion.joints.times[0])
        live.target(motion.target)
    for k, time in enumerate(motion.joints.times):
        lost = time > released + 0.1
        for live in (seen, blind):
            live.joint_state(time, world.robot.joints, motion.joints.x[k], motion.joints.v[k])
            if not lost:
                live.ball(time, motion.ball.x[k], motion.ball.v[k] if measures else (0.0, 0.0, 0.0))
            if time == pytest.approx(released):
                live.release(released)
        if lost:
            seen.ball(time, (math.nan, 0.0, 0.0), velocity)
        got, want = (live.at(time)[0] for live in (seen, blind))
        for name in FIELDS:
            assert torch.equal(getattr(got, name), getattr(want, name)), name


def test_landed_ball_stays_landed_when_its_flight_is_forgotten(throws, world: World) -> None:
    motion, released = recorded_motion(throws, 0, world.dt, False, True)
    live = LiveState(world, memory=0.3)
    live.target(motion.target)
    landings = []
    for k, time in enumerate(motion.joints.times):
        live.joint_state(time, world.robot.joints, motion.joints.x[k], motion.joints.v[k])
        if time > released:
            live.release(released)
            state, _ = live.at(time, dtype=torch.float64)
            if state is not None and state.landed[0]:
                landings.append(state.ball_position[0])
    assert len(landings) > 10
    want = throws.outcome.landing[0]
    assert max(float((p - want).norm()) for p in landings) < 1e-6


@settings(deadline=None, max_examples=50)
@given(
    coefficients=hnp.arrays(float, (3, 2), elements=st.floats(-5, 5)),
    gaps=hnp.arrays(float, 12, elements=st.floats(0.003, 0.05)),
    at=hnp.arrays(float, 20, elements=st.floats(0, 1)),
)
def test_interpolation_is_exact_under_constant_acceleration(coefficients, gaps, at) -> None:
    times = np.cumsum(gaps)
    x0, v0, a = coefficients
    t = times[0] + at * (times[-1] - times[0])

    def motion(t):
        return x0 + v0 * t[:, None] + 0.5 * a * t[:, None] ** 2, v0 + a * t[:, None]

    x, v = hermite(times, *motion(times), t)
    np.testing.assert_allclose(x, motion(t)[0], atol=1e-9)
    np.testing.assert_allclose(v, motion(t)[1], atol=1e-9)
    # and velocities that nobody sent are exact as soon as three samples are in
    span = 0.003
    got = differentiate(times, motion(times)[0], span)
    np.testing.assert_allclose(got[2:], motion(times)[1][2:], atol=1e-6)


def test_differences_use_the_past_only_and_a_span_that_tames_noise() -> None:
    times = np.arange(200) * 0.001
    noise = np.random.default_rng(0).normal(0, 1e-4, (200, 1))
    x = np.sin(3 * times)[:, None] + noise
    got = differentiate(times, x, 0.005)
    assert (
        np.abs(got[20:, 0] - 3 * np.cos(3 * times[20:])).std() < 0.06
    )  # neighbours 1 ms apart would give 0.25
    np.testing.assert_array_equal(differentiate(times[:150], x[:150], 0.005), got[:150])


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=20, unique=True), st.lists(st.floats(-1, 11), min_size=1)
)
def test_hold_is_the_latest_at_or_before(times, at) -> None:
    times = np.sort(times)
    for t, index in zip(at, hold(times, np.array(at))):
        before = [i for i, x in enumerate(times) if x <= t + 1e-9]
        assert index == (before[-1] if before else -1)


def test_samples_are_put_in_order_and_doubles_dropped() -> None:
    times = np.array([0.3, 0.1, 0.2, 0.1])
    track = Track.of(times, times[:, None], np.array([[3.0], [1.0], [2.0], [9.0]]))
    np.testing.assert_array_equal(track.times, [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(track.v[:, 0], [1.0, 2.0, 3.0])


def test_joints_are_matched_by_name(world: World) -> None:
    order = JointOrder(world.robot)
    names = [*reversed(world.robot.joints), "gripper"]
    q, qd = order.pick(names, [7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0], []) or (None, None)
    np.testing.assert_array_equal(q, [1, 2, 3, 4, 5, 6, 7])
    assert np.isnan(qd).all()
    assert order.pick(names[1:], [0.0] * 7, []) is None  # one joint is missing
    assert order.pick(names, [0.0] * 3, []) is None  # a driver that is only starting


def test_continuous_joints_go_on_where_a_driver_wraps_them(own_arm) -> None:
    robot = load_robot(own_arm)
    order, turn = JointOrder(robot), robot.joints.index("turn")
    way = np.linspace(-0.5, 9.0, 40)
    for angle in way:
        q = robot.home.copy()
        q[turn] = math.remainder(angle, 2 * math.pi)
        picked, _ = order.pick(robot.joints, q, []) or (None, None)
        assert picked is not None
        assert picked[turn] == pytest.approx(angle)
        np.testing.assert_array_equal(np.delete(picked, turn), np.delete(robot.home, turn))
    order.pick(robot.joints, [math.nan] * 5, [])  # a driver that is only starting
    picked, _ = order.pick(robot.joints, robot.home, []) or (None, None)
    assert picked is not None and np.isfinite(picked).all()


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(float, 4, elements=st.floats(-1, 1)), hnp.arrays(float, 3, elements=st.floats(-5, 5)))
def test_twist_is_turned_into_the_world_frame(quaternion, velocity) -> None:
    """Against PyBullet's rotation."""
    import pybullet

    norm = np.linalg.norm(quaternion)
    if norm < 0.1:
        return
    want = pybullet.rotateVector((quaternion / norm).tolist(), velocity.tolist())
    np.testing.assert_allclose(twist_in_world(quaternion, velocity), want, atol=1e-6)


def test_an_orientation_never_filled_in_does_not_turn() -> None:
    np.testing.assert_array_equal(twist_in_world((0, 0, 0, 0), (1.0, 2.0, 3.0)), (1.0, 2.0, 3.0))
