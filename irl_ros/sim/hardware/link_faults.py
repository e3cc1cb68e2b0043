"""A link that delays and loses what is sent over it, the same way for the same seed."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from irl_ros.settings import at_least

Item = TypeVar("Item")


@dataclass(frozen=True)
class LinkFaults:
    """What is wrong with the link between the nodes and the arm."""

    latency: float = 0.0
    """s (the arm's clock) from a command's arrival to when a controller sees it."""
    lost_commands: float = 0.0
    """Share of commands that never arrive."""
    lost_states: float = 0.0
    """Share of joint states that are not sent."""
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(self, 0.0, "latency", "lost_commands", "lost_states")
        for name in ("lost_commands", "lost_states"):
            if getattr(self, name) > 1.0:
                raise ValueError(f"{name}: is a share, at most 1, found {getattr(self, name)}")


class DelayLine(Generic[Item]):
    """What goes in comes out later, in order, or not at all.

    Args:
        latency: s.
        loss: share of items that are lost.
        seed: of which ones.
    """

    def __init__(self, latency: float = 0.0, loss: float = 0.0, seed: int = 0) -> None:
        self.latency, self.loss = latency, loss
        self._random, self._waiting = random.Random(seed), deque[tuple[float, Item]]()

    def put(self, item: Item, now: float) -> bool:
        """In at `now`, s; False where it is lost."""
        if self.loss and self._random.random() < self.loss:
            return False
        self._waiting.append((now + self.latency, item))
        return True

    def due(self, now: float) -> list[Item]:
        """What comes out by `now`, s."""
        out = []
        while self._waiting and self._waiting[0][0] <= now + 1e-9:
            out.append(self._waiting.popleft()[1])
        return out

    def clear(self) -> None:
        """Forget what is under way."""
        self._waiting.clear()
