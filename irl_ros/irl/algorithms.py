"""The algorithms by name. A new one is a file of its own, a line in GAMES and its settings below."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from irl_ros.irl.airl import AIRL, AIRLSettings

GAMES: dict[str, Callable[..., Any]] = {
    "airl": AIRL,
}
"""Name → class, made as X(task, demonstrations, policy, reward, settings): see `irl.trainer.Algorithm`."""
ALGORITHMS = (*GAMES, "bc")


@dataclass(frozen=True)
class AlgorithmSettings:
    """A field an algorithm, of its name; each has `iterations` (rounds) and `episodes` (made in a round)."""

    airl: AIRLSettings = field(default_factory=AIRLSettings)
