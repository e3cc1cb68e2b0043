"""One reason, the first, until somebody says so."""

from __future__ import annotations

from irl_ros.safety.latch import StopLatch, StopReason


def test_nothing_moves_before_it_is_enabled():
    latch = StopLatch()
    assert latch.reason is StopReason.DISABLED
    assert latch.enable() is None and latch.reason is None


def test_the_first_cause_is_kept():
    latch = StopLatch()
    latch.enable()
    for reason in (StopReason.STALE, StopReason.TRACKING, StopReason.DISABLED, StopReason.ESTOP):
        latch.stop(reason)
        assert latch.reason is StopReason.STALE


def test_the_end_of_a_task_gives_way_to_a_fault():
    latch = StopLatch()
    latch.enable()
    latch.stop(StopReason.FINISHED)
    latch.stop(StopReason.DISABLED)
    assert latch.reason is StopReason.FINISHED
    latch.stop(StopReason.ESTOP)
    assert latch.reason is StopReason.ESTOP


def test_an_emergency_stop_needs_a_reset_and_then_enabling_even_where_it_was_not_the_first_cause():
    latch = StopLatch()
    latch.enable()
    latch.stop(StopReason.STALE)
    latch.stop(StopReason.ESTOP)
    assert latch.enable() is StopReason.ESTOP and latch.reason is StopReason.STALE
    latch.reset()
    assert latch.reason is StopReason.DISABLED
    assert latch.enable() is None and latch.reason is None
