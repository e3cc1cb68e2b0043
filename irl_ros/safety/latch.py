"""Why the arm may not move: one reason, the first, kept until somebody says so."""

from __future__ import annotations

import enum


class StopReason(str, enum.Enum):
    """Why the filter brings the arm to rest, or keeps it there."""

    DISABLED = "not enabled"
    ESTOP = "emergency stop"
    DEADMAN = "deadman is not held"
    NO_STATE = "no joint state yet"
    STALE = "joint state is stale"
    INCOMPLETE = "joint state lacks a joint, its position or its velocity"
    NOT_FINITE = "joint state is not finite"
    CLOCK = "time went backwards"
    GAP = "too long without a command"
    BAD_ACTION = "action has the wrong shape or is not finite"
    MOVING = "the arm moves already"
    OUTSIDE = "a joint is far outside its position limits"
    TRACKING = "the arm is not where it was commanded to be"
    FINISHED = "the task is over"


_NO_FAULT = (None, StopReason.DISABLED, StopReason.FINISHED)


class StopLatch:
    """Enabled or stopped, with the first fault as the reason.

    An ordinary stop ends with `enable`. An emergency stop needs `reset` first, and then `enable`.
    """

    def __init__(self) -> None:
        self.reason: StopReason | None = StopReason.DISABLED
        self.estopped = False

    def stop(self, reason: StopReason) -> None:
        """Stopped from now on. A reason that is no fault gives way to one; else the first is kept."""
        if reason is StopReason.ESTOP:
            self.estopped = True
        if self.reason is None or (self.reason in _NO_FAULT and reason not in _NO_FAULT):
            self.reason = reason

    def enable(self) -> StopReason | None:
        """Free to move, or why not."""
        if self.estopped:
            return StopReason.ESTOP
        self.reason = None
        return None

    def reset(self) -> None:
        """Clear the emergency stop and every reason; still not enabled."""
        self.estopped, self.reason = False, StopReason.DISABLED
