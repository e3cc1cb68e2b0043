"""The time a command has: the arm's own where that runs, else the caller's, and never backwards."""

from __future__ import annotations

import math

import pytest

from irl_ros.safety.step_clock import ClockFault, StepClock

T = 0.02


@pytest.fixture
def clock() -> StepClock:
    clock = StepClock(T)
    assert clock.tick(100.0, 5.0) == (T, True)
    return clock


def test_the_arms_clock_counts_whatever_the_callers_says(clock):
    assert clock.tick(100.02, 5.001) == (pytest.approx(0.02), True)
    assert clock.tick(100.05, 9.0) == (pytest.approx(0.03), True)


def test_the_callers_clock_goes_on_where_no_newer_state_comes(clock):
    assert clock.tick(100.0, 5.02) == (pytest.approx(0.02), False)
    assert clock.ahead == pytest.approx(0.02)
    assert clock.tick(None, 5.05) == (pytest.approx(0.03), False)
    assert clock.tick(100.065, 5.065) == (pytest.approx(0.015), True)
    assert clock.ahead == 0.0


def test_a_simulation_that_stood_still_meanwhile_has_its_own_time_yet_to_come(clock):
    clock.tick(100.0, 7.0)
    assert clock.tick(100.02, 7.1) == (pytest.approx(T), True)
    assert clock.tick(100.04, 7.2) == (pytest.approx(T), True)


def test_calls_too_close_together_are_one_and_their_time_is_not_lost(clock):
    assert clock.tick(100.0, 5.0) == (0.0, False)
    assert clock.tick(100.004, 5.004) == (0.0, False)
    assert clock.tick(100.008, 5.008) == (0.0, False)
    assert clock.tick(100.012, 5.012) == (pytest.approx(0.012), True)


@pytest.mark.parametrize(
    ("stamp", "now"), [(99.0, 6.0), (101.0, 4.0), (math.nan, 6.0), (101.0, math.nan), (math.inf, 6.0)]
)
def test_time_that_goes_backwards_or_is_no_number_is_a_fault_and_then_begins_anew(clock, stamp, now):
    with pytest.raises(ClockFault):
        clock.tick(stamp, now)
    assert clock.tick(50.0, 1.0) == (T, True)


def test_a_first_state_may_come_late():
    clock = StepClock(T)
    assert clock.tick(None, 5.0) == (T, False)
    assert clock.tick(7.0, 5.015) == (pytest.approx(0.015), True)
