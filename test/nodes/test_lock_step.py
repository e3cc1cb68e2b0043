"""The rules by which a world in lock-step moves on."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from irl_ros.nodes.lock_step import LockStep, Pace


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


def test_a_state_that_nobody_answers_is_said_again_until_somebody_does_or_time_runs():
    lock = LockStep(period=0.02, patience=(2.0, 10.0), echo=0.25)
    assert not lock.says_again(5.0), "free, a new state comes soon"
    lock.reset(5.0)
    assert [lock.says_again(5.0 + 0.125 * k) for k in range(5)] == [False, False, True, False, True]
    assert lock.on_command(6.0)
    assert not lock.says_again(6.2) and lock.says_again(6.3), "the state after a step may be lost as well"
    assert lock.on_time(8.0) and not lock.says_again(9.0)


@settings(deadline=None)
@given(st.lists(st.floats(0.0, 0.02), min_size=50, max_size=300))
def test_free_time_passes_at_the_control_rate_whatever_the_timer_does(gaps):
    lock, now, steps = LockStep(period=0.02), 0.0, 0
    for gap in gaps:
        now += gap
        steps += lock.on_time(now)
    assert steps <= now / 0.02 + 1
    assert steps >= now / 0.02 / 2 - 1, "it may fall behind a coarse timer, not stop"
