"""How much time a command has for its change: one step for each call, on the arm's clock where that runs."""

from __future__ import annotations

import math

from irl_ros.safety.viability import SHORTEST


class ClockFault(ValueError):
    """Time went backwards, or is no number."""


class StepClock:
    """The time between commands, s.

    The arm's clock (stamps of its states) counts, since a simulated arm may run at any pace and a message may
    be delayed. Where no newer state has come, the caller's clock goes on for it.

    Args:
        period: planned time between commands, s; what the first one has, and one after a fault of a clock.
    """

    def __init__(self, period: float) -> None:
        self.period = period
        self.restart()

    def restart(self) -> None:
        """The next call is a first one."""
        self._stamp: float | None = None
        self._now: float | None = None
        self.ahead = 0.0
        """Steps taken since the newest state by the caller's clock alone, s."""

    def tick(self, stamp: float | None, now: float) -> tuple[float, bool]:
        """A call at `now` with a state of time `stamp` (None: no state): the time since the last step.

        Returns:
            Seconds, 0 where that is too short for a step (it counts for a later one), and whether the state
            is new.

        Raises:
            ClockFault: a clock went backwards or is not finite. The call after it is a first one.
        """
        if not math.isfinite(now) or not (stamp is None or math.isfinite(stamp)):
            self.restart()
            raise ClockFault
        if self._now is None:
            self._now, self._stamp, self.ahead = now, stamp, 0.0
            return self.period, stamp is not None
        if now < self._now or (stamp is not None and self._stamp is not None and stamp < self._stamp):
            self.restart()
            raise ClockFault
        new = stamp is not None and (self._stamp is None or stamp > self._stamp)
        if new and self._stamp is not None:
            passed = stamp - self._stamp  # type: ignore[operator]
            # a simulation that stood still while the caller's clock ran has its own time yet to come
            step = passed - self.ahead if passed > self.ahead else min(passed, self.period)
        else:
            step = now - self._now
        if step < SHORTEST * self.period:
            return 0.0, False
        if new:
            self._stamp, self.ahead = stamp, 0.0
        else:
            self.ahead += step
        self._now = now
        return step, new
