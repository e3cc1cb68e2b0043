"""A gripper that takes its time to let go."""

from __future__ import annotations

import math


class Gripper:
    """Open or closed; the ball leaves some time after the command to open.

    Args:
        delay: from the command to the ball's leaving, s.
    """

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.close()

    def close(self) -> None:
        """Closed around whatever is in it."""
        self._opens = math.inf

    def command(self, opened: bool, now: float) -> None:
        """Told at `now`, s, to open or to close; an opening under way goes on when told again."""
        if not opened:
            self.close()
        elif math.isinf(self._opens):
            self._opens = now + self.delay

    def is_open(self, now: float) -> bool:
        """Whether it holds nothing any more at `now`, s."""
        return now >= self._opens - 1e-9
