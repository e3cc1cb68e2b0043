"""Whether a simulated world waits for commands or moves by the wall clock. No ROS here."""

from __future__ import annotations

import enum


class Pace(enum.Enum):
    """Whether the world waits for commands."""

    FREE = "free"
    """It moves on by the wall clock."""
    WAITING = "waiting"
    """After a reset in lock-step: it stands still until the first command."""
    LOCKED = "locked"
    """In lock-step under command: every command is one step."""


class LockStep:
    """As fast as possible and still faithful: the world takes exactly one step for each command.

    One token circulates: a state goes out, its command comes in, the next state goes out. So a throw does not
    depend on how fast or how loaded the machine is. `reset` starts it; where commands stop, the world is free
    again and moves by the wall clock until the next reset. Then the last command persists.

    States are sent with best effort, and who comes late hears none while the world stands still. So a state
    that is not answered is said again, with the same stamp: no second state, and no second token.

    Args:
        period: control period, s (wall) while free.
        patience: how long to wait for a command, s (wall), under command and after a reset. Long beside a
            control period: a machine busy with other things answers late, and a throw must not differ.
        echo: after how long without an answer a state is said again, s (wall).
    """

    def __init__(
        self, period: float, patience: tuple[float, float] = (2.0, 60.0), echo: float = 0.25
    ) -> None:
        self.period, self.patience, self.echo = period, patience, echo
        self.pace, self._since, self._said = Pace.FREE, 0.0, 0.0

    def reset(self, now: float) -> None:
        """The world has been reset at `now`, s (wall)."""
        self.pace, self._since, self._said = Pace.WAITING, now, now

    def on_command(self, now: float) -> bool:
        """A command came in; whether it makes a step."""
        if self.pace is Pace.FREE:
            return False
        self.pace, self._since, self._said = Pace.LOCKED, now, now
        return True

    def says_again(self, now: float) -> bool:
        """Called regularly; whether the state the world stands still in is due once more."""
        if self.pace is Pace.FREE or now - self._said < self.echo:
            return False
        self._said = now
        return True

    def on_time(self, now: float) -> bool:
        """Called regularly; whether time alone makes a step."""
        waits = {Pace.FREE: self.period, Pace.LOCKED: self.patience[0], Pace.WAITING: self.patience[1]}
        if now - self._since < waits[self.pace]:
            return False
        # keep the beat rather than drift, unless the beat was lost
        behind = now - self._since - self.period
        self._since = now - behind if self.pace is Pace.FREE and behind < self.period else now
        self.pace = Pace.FREE
        return True
