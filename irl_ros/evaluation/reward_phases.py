"""Why returns agree as they do: learned and true reward while the ball is held, flying and landed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from irl_ros.rewards.distances import pearson, spearman
from irl_ros.sim import State

PHASES = ("held", "flying", "landed")


def phases_of(states: State) -> Tensor:
    """Index into PHASES of each state, same shape."""
    return torch.where(states.held, 0, torch.where(states.landed, 2, 1))


def compare_phases(learned: Tensor, true: Tensor, phase: Tensor) -> dict[str, Any]:
    """Agreement of two rewards within each of the PHASES of a throw, and what it would do to returns.

    A return adds steps of all phases up. Even if a learned reward orders the states of each phase rightly,
    its returns agree only if it weighs the phases against each other as the true one does.

    Args:
        learned, true: rewards of every step, [N, T].
        phase: index into PHASES, [N, T].

    Returns:
        "phases": of each, `steps`, `pearson`, `spearman` and the standard deviations `spread_learned`,
        `spread_true`; "return_pearson_if": Pearson's correlation of returns if within each phase the
        learned reward were scaled and shifted ("scaled"), or bent by an increasing function
        ("straightened"), so as to lie closest to the true one.
    """
    phases: dict[str, Any] = {}
    scaled, straightened = (torch.zeros_like(true, dtype=torch.double) for _ in range(2))
    for index, name in enumerate(PHASES):
        here = phase == index
        x, y = learned[here].double(), true[here].double()
        phases[name] = {"steps": len(x), "pearson": None, "spearman": None}
        phases[name] |= {"spread_learned": None, "spread_true": None}
        if len(x) > 1:
            spread = {"spread_learned": float(x.std()), "spread_true": float(y.std())}
            phases[name] |= {"pearson": finite(pearson(x, y)), "spearman": finite(spearman(x, y)), **spread}
        if len(x):
            scaled[here], straightened[here] = _closest_line(x, y), closest_increasing(x, y)
    returns = true.double().sum(1)
    better = {"scaled": scaled, "straightened": straightened}
    return {
        "phases": phases,
        "return_pearson_if": {name: finite(pearson(v.sum(1), returns)) for name, v in better.items()},
    }


def _closest_line(x: Tensor, y: Tensor) -> Tensor:
    """a·x + b with a ≥ 0, nearest to y by least squares, [K]."""
    centred = x - x.mean()
    size = centred.square().sum()
    slope = ((y - y.mean()) * centred).sum() / size if size > 0 else torch.zeros(())
    return y.mean() + slope.clamp_min(0.0) * centred


def closest_increasing(x: Tensor, y: Tensor) -> Tensor:
    """f(x), [K], of the non-decreasing f that lies nearest to y by least squares.

    Pool adjacent violators (Ayer et al. 1955): in the order of x, neighbours that decrease are merged into
    their mean until none do. Entries of equal x are one.
    """
    places, index, count = np.unique(x.numpy(), return_inverse=True, return_counts=True)
    means = np.bincount(index, y.numpy(), len(places)) / count
    blocks: list[tuple[float, int, int]] = []  # mean, weight, how many places
    for mean, weight in zip(means.tolist(), count.tolist(), strict=True):
        block = (mean, weight, 1)
        while blocks and blocks[-1][0] >= block[0]:
            other = blocks.pop()
            total = other[1] + block[1]
            block = ((other[0] * other[1] + block[0] * block[1]) / total, total, other[2] + block[2])
        blocks.append(block)
    fitted = np.repeat([b[0] for b in blocks], [b[2] for b in blocks])
    return torch.from_numpy(fitted[index.reshape(-1)])


def finite(value: float) -> float | None:
    """A number for JSON: None where there is none."""
    return value if math.isfinite(value) else None
