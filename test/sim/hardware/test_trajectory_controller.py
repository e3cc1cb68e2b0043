"""joint_trajectory_controller: what it refuses, its curve through the points, and that it ends at rest."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irl_ros.errors import InputError
from irl_ros.sim.hardware import Trajectory, TrajectoryController, TrajectoryPoint
from irl_ros.sim.hardware.trajectory import between

JOINTS = ("shoulder", "elbow")
HERE, STILL = np.array([0.3, -0.2]), np.zeros(2)
NOW = 10.0


def point(time: float, q: float = 1.0, **more) -> TrajectoryPoint:
    return TrajectoryPoint(time, (q, -q), **more)


def controller() -> TrajectoryController:
    control = TrajectoryController("joint_trajectory_controller", JOINTS)
    control.activate(HERE)
    return control


def refused(trajectory: Trajectory, because: str) -> None:
    control = controller()
    with pytest.raises(InputError, match=because):
        control.receive(trajectory, NOW, HERE, STILL)
    assert control.update(NOW + 9.0).position.tolist() == HERE.tolist(), "a refused trajectory moves nothing"


ENDS_MOVING = point(2.0, velocities=(0.0, 1e-3))
REFUSED = {
    "ends with velocity": Trajectory(JOINTS, [point(1.0), ENDS_MOVING]),
    "names 1 joints": Trajectory(("elbow",), [TrajectoryPoint(1.0, (0.0,))]),
    "names 0 joints": Trajectory((), [point(1.0)]),
    "unknown joint 'wrist'": Trajectory(("shoulder", "wrist"), [point(1.0)]),
    "no points": Trajectory(JOINTS, []),
    "point 1 is not later": Trajectory(JOINTS, [point(1.0), point(1.0)]),
    "point 2 is not later": Trajectory(JOINTS, [point(1.0), point(2.0), point(1.5)]),
    "ends in the past": Trajectory(JOINTS, [point(1.0)], start=NOW - 1.1),
    "point 0 has 0 positions": Trajectory(JOINTS, [TrajectoryPoint(1.0, (), (1.0, 1.0)), point(2.0)]),
    "point 0 has 1 velocities": Trajectory(JOINTS, [point(1.0, velocities=(0.0,))]),
    "point 0 has 3 accelerations": Trajectory(JOINTS, [point(1.0, accelerations=(0.0,) * 3)]),
    "point 0 has effort": Trajectory(JOINTS, [point(1.0, effort=(0.0, 0.0))]),
    "positions are not finite": Trajectory(JOINTS, [TrajectoryPoint(1.0, (np.nan, 0.0))]),
}


@pytest.mark.parametrize("because", REFUSED)
def test_what_upstream_refuses_is_refused(because):
    refused(REFUSED[because], because)


def test_an_inactive_controller_takes_nothing():
    control = controller()
    control.active = False
    with pytest.raises(InputError, match="not active"):
        control.receive(Trajectory(JOINTS, [point(1.0)]), NOW, HERE, STILL)
    assert control.update(NOW) is None


finite = st.floats(-3.0, 3.0)
pairs = st.tuples(finite, finite)


@settings(deadline=None)
@given(pairs, pairs, pairs, pairs, pairs, pairs, st.floats(0.05, 3.0), st.integers(0, 2))
def test_a_segment_meets_all_that_both_ends_give_and_its_derivatives_are_true(
    x0, x1, v0, v1, a0, a1, span, degree
):
    begin = TrajectoryPoint(5.0, x0, v0 if degree > 0 else (), a0 if degree > 1 else ())
    end = TrajectoryPoint(5.0 + span, x1, v1 if degree > 0 else (), a1 if degree > 1 else ())
    for at, x, v, a in ((begin.time, x0, v0, a0), (end.time, x1, v1, a1)):
        position, velocity, acceleration = between(begin, end, at)
        assert position == pytest.approx(x, abs=1e-6)
        if degree > 0:
            assert velocity == pytest.approx(v, abs=1e-5)
        if degree > 1:
            assert acceleration == pytest.approx(a, abs=1e-3)
    middle, e = begin.time + 0.4 * span, 1e-4 * span
    before, here, after = (between(begin, end, t) for t in (middle - e, middle, middle + e))
    scale = 1.0 + np.abs(here[1]).max()
    assert (after[0] - before[0]) / (2 * e) == pytest.approx(here[1], abs=1e-4 * scale)
    if degree == 0:
        assert here[1] == pytest.approx((np.array(x1) - x0) / span)
    if degree == 1:  # a cubic: its acceleration is linear in time
        ends = between(begin, end, begin.time)[2] + 0.4 * (
            between(begin, end, end.time)[2] - between(begin, end, begin.time)[2]
        )
        assert here[2] == pytest.approx(ends, abs=1e-6 * (1 + np.abs(ends).max()))


def test_it_follows_the_points_by_name_from_a_start_to_come_and_holds_the_last():
    control = controller()
    points = [
        TrajectoryPoint(0.0, (-0.2, 0.3), (0.0, 0.0)),
        TrajectoryPoint(1.0, (0.8, 0.5), (0.5, 0.1)),
        TrajectoryPoint(2.0, (1.0, 0.6), (0.0, 0.0)),
    ]
    control.receive(Trajectory(("elbow", "shoulder"), points, start=NOW + 0.5), NOW, HERE, STILL)
    for now in (NOW, NOW + 0.49):
        assert control.update(now).position == pytest.approx(HERE), "at rest until it starts"
    reached = control.update(NOW + 1.5)
    assert (reached.position, reached.velocity) == (pytest.approx([0.5, 0.8]), pytest.approx([0.1, 0.5]))
    assert control.end == NOW + 2.5
    for now in (NOW + 2.5, NOW + 1e6):  # its sender may be dead
        last = control.update(now)
        assert last.position.tolist() == [0.6, 1.0] and last.velocity.tolist() == [0.0, 0.0]


def test_a_new_trajectory_replaces_the_old_one_from_where_the_arm_is():
    control = controller()
    control.receive(Trajectory(JOINTS, [point(2.0, velocities=(0.0, 0.0))]), NOW, HERE, STILL)
    halfway = control.update(NOW + 1.0)
    new = Trajectory(JOINTS, [point(1.0, q=0.0, velocities=(0.0, 0.0))])
    control.receive(new, NOW + 1.0, halfway.position, halfway.velocity)
    after = control.update(NOW + 1.0 + 1e-6)
    assert after.position == pytest.approx(halfway.position, abs=1e-5)
    assert after.velocity == pytest.approx(halfway.velocity, abs=1e-4), "it takes the arm over in motion"
    assert control.update(NOW + 2.0).position.tolist() == [0.0, 0.0]


def test_a_refused_one_does_not_disturb_the_motion_under_way():
    control = controller()
    control.receive(Trajectory(JOINTS, [point(2.0)]), NOW, HERE, STILL)
    with pytest.raises(InputError):
        control.receive(Trajectory(JOINTS, [ENDS_MOVING]), NOW + 1.0, HERE, STILL)
    assert control.update(NOW + 2.0).position.tolist() == [1.0, -1.0]


def test_a_start_in_the_past_leaps_onto_the_curve_as_upstream_does():
    control = controller()
    control.receive(Trajectory(JOINTS, [point(0.5), point(2.5, q=3.0)], start=NOW - 1.5), NOW, HERE, STILL)
    assert control.update(NOW).position == pytest.approx([2.0, -2.0])


def test_positions_alone_are_joined_by_straight_lines():
    control = controller()
    control.receive(Trajectory(JOINTS, [point(1.0), point(2.0, q=2.0)]), NOW, HERE, STILL)
    times = np.linspace(NOW + 0.1, NOW + 0.9, 5)
    speeds = [control.update(t).velocity for t in times]
    for a, b in itertools.pairwise(speeds):
        assert a == pytest.approx(b)
