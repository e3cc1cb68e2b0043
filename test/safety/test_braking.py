"""Stops of one joint against stops that are integrated in small steps here."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from irl_ros.safety.braking import brake, braking_room, deadbeat, stopping_distance, towards

A = 10.0
jerks = st.floats(10.0, 1e5)
speeds = st.floats(-5.0, 5.0)
accelerations = st.floats(-A, A)


def integrated_stop(v: float, a: float, jerk: float) -> float:
    """How far a joint gets on the time-optimal stop: bang-bang jerk about the curve v = -a |a| / 2J."""
    scale = math.sqrt(max(abs(v) / A, 1e-6) * max(A / jerk, 1e-6))
    h, q, farthest = min(scale, A / jerk) / 2000, 0.0, 0.0
    for _ in range(2_000_000):
        ahead = v + a * abs(a) / (2 * jerk)
        j = -math.copysign(jerk, ahead)
        before_v, before_a = v, a
        a = min(max(a + j * h, -A), A)
        v += 0.5 * (before_a + a) * h
        q += 0.5 * (before_v + v) * h
        farthest = max(farthest, q)
        if (abs(v) < 1e-4 and abs(a) < 2 * jerk * h) or (q < 0 and ahead <= 0 and a <= 0):
            return farthest
    raise AssertionError("never stopped")


@pytest.mark.parametrize("jerk", [30.0, 1000.0])
@pytest.mark.parametrize(
    ("v", "a"),
    [(2.0, 0.0), (0.1, 0.0), (1.0, A), (2.0, -A), (0.5, -4.0), (0.01, -8.0), (0.02, 9.0), (-3.0, A)],
)
def test_stopping_distance_is_that_of_an_integrated_stop(v, a, jerk):
    assert stopping_distance(v, a, A, jerk) == pytest.approx(integrated_stop(v, a, jerk), rel=5e-3, abs=2e-5)


def test_without_a_jerk_limit_it_is_the_textbook_braking_distance():
    assert stopping_distance(3.0, 0.0, A, 1e12) == pytest.approx(3.0**2 / (2 * A))


def test_a_joint_on_its_way_back_towards_the_limit_is_counted_from_where_it_turns():
    # from -1 rad/s at +10 rad/s² and 30 rad/s³ it turns with √40 rad/s² left, and stops from there
    from_the_turn = stopping_distance(0.0, math.sqrt(40.0), A, 30.0)
    assert stopping_distance(-1.0, A, A, 30.0) == pytest.approx(from_the_turn)
    assert from_the_turn > integrated_stop(-1.0, A, 30.0)


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(speeds, accelerations, jerks, st.floats(1e-4, 0.1), st.floats(0.001, 1.0))
def test_where_a_stop_fits_it_fits_after_each_of_its_steps(v, a, jerk, period, share):
    dt = share * period
    step = brake(v, a, dt, A, jerk)
    room = braking_room(v, a, period, A, jerk)
    after = braking_room(v + step * dt, step, period, A, jerk)
    if after > 0 or v > 0:
        assert after + v * dt <= room + 1e-9 * (1 + room)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(speeds, accelerations, jerks, st.lists(st.floats(0.001, 0.02), min_size=5, max_size=20))
def test_a_stop_ends_and_keeps_its_limits_at_any_pace(v, a, jerk, pace):
    elapsed = 0.0
    for k in range(100_000):
        dt = pace[k % len(pace)]
        step = brake(v, a, dt, A, jerk)
        assert abs(step) <= A and abs(step - a) <= jerk * dt * (1 + 1e-9)
        before, v, a = v, v + step * dt, step
        elapsed += dt
        if before * v < -1e-12:
            # through zero only where it was turning already, faster than jerk allowed to undo
            assert abs(before) < (abs(a) + jerk * dt) ** 2 / (2 * jerk)
        if abs(v) < 1e-9 and abs(a) < 1e-6:
            break
    assert elapsed < 4 * (5 / A + 2 * A / jerk) + 10 * max(pace)


@settings(deadline=None, derandomize=True)
@given(st.floats(-5, 5), st.floats(1e-4, 0.1), jerks)
def test_towards_leaves_what_the_jerk_limit_will_use_up(error, dt, jerk):
    a = towards(error, dt, jerk)
    assert a * dt + a * abs(a) / (2 * jerk) == pytest.approx(error, rel=1e-9, abs=1e-12)


@settings(deadline=None, derandomize=True)
@given(st.floats(-5, 5), st.floats(1e-3, 0.1), jerks)
def test_deadbeat_removes_an_error_exactly_in_steps_of_one_length(error, dt, jerk):
    assume(math.sqrt(abs(error) / jerk) / dt < 1000)
    v, a = 0.0, deadbeat(error, dt, jerk)
    v += a * dt
    steps = 0
    while abs(a) > jerk * dt * (1 + 1e-12):
        a -= math.copysign(jerk * dt, a)
        v += a * dt
        steps += 1
    # what is left of the acceleration is let go of in one last step
    assert v == pytest.approx(error, rel=1e-9, abs=1e-12)
    assert steps <= math.sqrt(2 * abs(error) / jerk) / dt + 1
