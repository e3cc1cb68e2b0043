"""Transitions (s, a, s') from a coverage distribution, and rewards that are asked about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor


class States(Protocol):
    """K states: a tensor of indices of a finite MDP, a `State`, or anything else indexed like them."""

    def __getitem__(self, index: Any, /) -> Any: ...


S = TypeVar("S", bound=States)

TransitionReward = Callable[[S, Tensor, S], Tensor]
"""R(s, a, s') of K transitions, [K] or [K, R]: R rewards at once share every draw and every step."""


@dataclass(frozen=True)
class Samples(Generic[S]):
    """K transitions.

    Attributes:
        state: s, K states.
        action: a, [K, ...].
        next_state: s', K states.
    """

    state: S
    action: Tensor
    next_state: S

    def __len__(self) -> int:
        return len(self.action)


def repeated(x: Any, row: int, count: int) -> Any:
    """Row `row` of a batch, `count` times."""
    return x[torch.full((count,), row)]
