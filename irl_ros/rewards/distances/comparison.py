"""Comparing two columns of numbers: correlations, and the distances that EPIC, DARD and STARC end in."""

from __future__ import annotations

import math

import torch
from torch import Tensor

NOTHING = 1e-9
"""A column whose deviations are below this share of its largest value is rounding around a constant."""
ROUNDING = 1e-12
"""A sum below this share of its largest term is what is left of terms that cancel."""


def pearson(x: Tensor, y: Tensor, weight: Tensor | None = None) -> float:
    """Pearson's correlation ρ of two columns of one shape, in [−1, 1]; NaN where one is constant.

    Args:
        x, y: any shape, the same.
        weight: how much each entry counts, ≥ 0, same shape; default: all the same.

    Raises:
        ValueError: an entry is not finite.
    """
    (a, in_a), (b, in_b) = _unit(x, weight, centre=True), _unit(y, weight, centre=True)
    return float((a * b).sum()) if in_a and in_b else math.nan


def spearman(x: Tensor, y: Tensor) -> float:
    """Spearman's rank correlation, in [−1, 1]: Pearson's of the ranks; NaN where a column is constant."""
    return pearson(ranks(x), ranks(y))


def ranks(x: Tensor) -> Tensor:
    """Ranks from 0 of the entries of x, [K] double; equal entries share the mean of their ranks.

    Raises:
        ValueError: an entry is not finite.
    """
    _, place, count = torch.unique(_finite(x.flatten()), sorted=True, return_inverse=True, return_counts=True)
    last = count.cumsum(0).double() - 1
    return (last - (count - 1) / 2)[place]


def pearson_distance(x: Tensor, y: Tensor, weight: Tensor | None = None) -> float:
    """√((1 − ρ) / 2) in [0, 1] (Gleave et al. 2021, §4): 0 for ρ = 1, √½ for ρ = 0, 1 for ρ = −1.

    Computed as half the Euclidean distance of the standardised columns, which is the same and does not round
    a small distance away. A constant column has no ρ; it counts as the origin, as in STARC: ½ from any other.

    Raises:
        ValueError: an entry is not finite.
    """
    (a, _), (b, _) = _unit(x, weight, centre=True), _unit(y, weight, centre=True)
    return 0.5 * float((a - b).norm())


def standardised_distance(x: Tensor, y: Tensor, weight: Tensor | None = None) -> float:
    """½ ‖x/‖x‖ − y/‖y‖‖ in [0, 1], in the L² norm of `weight` (Skalse et al. 2024).

    A column of zeros stays the origin. The factor ½ only scales the metric: opposite columns are 1 apart.

    Raises:
        ValueError: an entry is not finite.
    """
    (a, _), (b, _) = _unit(x, weight, centre=False), _unit(y, weight, centre=False)
    return 0.5 * float((a - b).norm())


def cancelled(*terms: Tensor) -> Tensor:
    """The sum of terms (broadcast), exactly 0 where they cancel: standardising would blow rounding up."""
    total, largest = terms[0], terms[0].abs()
    for term in terms[1:]:
        total, largest = total + term, torch.maximum(largest, term.abs())
    return torch.where(total.abs() > ROUNDING * largest, total, torch.zeros_like(total))


def _finite(column: Tensor) -> Tensor:
    if not torch.isfinite(column).all():
        raise ValueError("a reward is not finite: nothing can be said about it")
    return column


def _unit(x: Tensor, weight: Tensor | None, centre: bool) -> tuple[Tensor, bool]:
    """x as a double vector of length 1 (of zeros if it has no length worth the name), and whether it has."""
    column = _finite(x.detach().flatten().double())
    w = torch.ones_like(column) if weight is None else weight.detach().flatten().double()
    w = w / w.sum()
    scale = float(column.abs().max())
    if centre:
        column = column - (w * column).sum()
    column = w.sqrt() * column
    length = float(column.norm())
    if not length > NOTHING * scale:
        return torch.zeros_like(column), False
    return column / length, True
