"""One joint, any wishes at any pace: never outside a limit, and otherwise free."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irl_ros.safety.viability import SHORTEST, JointLimits, Viability

T = 0.02
LIMITS = JointLimits(-1.0, 1.0, 2.0, 8.0, 400.0)
FREE = (1e9, 1e9)

wishes = st.one_of(st.floats(-9, 9), st.sampled_from([-9.0, 9.0, 0.0]))
paces = st.floats(SHORTEST, 1.0)


def rooms(q: float, limits: JointLimits) -> tuple[float, float]:
    return q - limits.lower, limits.upper - q


@settings(max_examples=250, deadline=None, derandomize=True)
@given(
    st.sampled_from([20.0, 400.0, 1e5]),
    st.sampled_from([T, 0.004, 0.001]),
    st.floats(-1, 1),
    st.lists(st.tuples(wishes, st.integers(1, 40), paces, st.floats(1.0, 1.25)), min_size=1, max_size=12),
)
def test_no_wishes_lead_out_of_any_limit(jerk, period, q, wanted):
    limits = JointLimits(-1.0, 1.0, 2.0, 8.0, jerk)
    joint, v, a = Viability(limits, period, lateness=0.25), 0.0, 0.0
    for wish, count, pace, late in wanted:
        dt = pace * period
        for _ in range(count):
            room = rooms(q, limits)
            after = joint.next(wish, v, a, dt, room, FREE)
            now = (after - v) / dt
            assert abs(after) <= limits.velocity
            assert abs(now) <= limits.acceleration + 1e-9
            assert abs(now - a) <= limits.jerk * dt * (1 + 1e-9) + 1e-9
            v, a = after, now
            q += v * dt * late
            assert abs(q) <= 1.0 + 1e-9
    for _ in range(100_000):  # and a stop fits from wherever that was
        v, a, q = (after := joint.stop(v, a, T)), (after - v) / T, q + after * T * 1.25
        assert abs(q) <= 1.0 + 1e-9
        if v == a == 0:
            return
    raise AssertionError("it does not come to rest")


def test_a_wish_within_limits_passes_exactly():
    joint = Viability(LIMITS, T)
    v = a = 0.0
    for wish in (0.1, 0.2, 0.15, 0.04, 0.0, 0.0, -0.1):
        after = joint.next(wish, v, a, T, FREE, FREE)
        assert after == pytest.approx(wish, abs=1e-12)
        v, a = after, (after - v) / T


@pytest.mark.parametrize(("period", "jerk"), [(T, 400.0), (0.001, 400.0), (0.001, 1e5)])
def test_a_steady_wish_is_reached_as_fast_as_allowed_and_not_overshot(period, jerk):
    joint = Viability(JointLimits(-1, 1, 2.0, 8.0, jerk), period)
    v, a, steps = 0.0, 0.0, 0
    while abs(v - 1.0) > 1e-9:
        after = joint.next(1.0, v, a, period, FREE, FREE)
        v, a = after, (after - v) / period
        assert v <= 1.0 + 1e-9
        steps += 1
        assert steps < 1000
    shortest = 1.0 / 8.0 + 8.0 / jerk
    assert steps * period <= shortest + 4 * period


def test_full_speed_is_reached():
    joint, v, a = Viability(LIMITS, T), 0.0, 0.0
    for _ in range(20):
        after = joint.next(9.0, v, a, T, FREE, FREE)
        v, a = after, (after - v) / T
    assert v == pytest.approx(LIMITS.velocity, abs=1e-6)


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_limit_can_be_approached_and_left(sign):
    joint, q, v, a = Viability(LIMITS, T, lateness=0.25), 0.0, 0.0, 0.0
    for _ in range(200):
        after = joint.next(9.0 * sign, v, a, T, rooms(q, LIMITS), FREE)
        v, a, q = after, (after - v) / T, q + after * T
    assert 0.999 < sign * q <= 1.0
    for _ in range(30):
        after = joint.next(-9.0 * sign, v, a, T, rooms(q, LIMITS), FREE)
        v, a, q = after, (after - v) / T, q + after * T
    assert sign * q < 0.5


def test_a_joint_measured_beyond_its_limit_brakes_and_may_only_come_back():
    joint = Viability(LIMITS, T)
    beyond = (2.1, -0.1)
    assert joint.next(9.0, 0.0, 0.0, T, FREE, beyond) == 0.0
    assert joint.next(-9.0, 0.0, 0.0, T, FREE, beyond) == pytest.approx(-0.16)
    assert joint.next(9.0, 1.0, 0.0, T, FREE, beyond) == joint.stop(1.0, 0.0, T) < 1.0


def test_a_locked_joint_does_not_move():
    joint = Viability(JointLimits(-1, 1, 0.0, 8.0, 400.0), T)
    assert joint.next(9.0, 0.0, 0.0, T, FREE, FREE) == 0.0
