"""Figures of a few runs that say how far they can be trusted (Agarwal et al. 2021, rliable).

Scores come as one array a task, [runs of that task]: a task is a cell of a table (an operator, a number of
demonstrations, a world), a run one seed of it. Tasks may have different numbers of runs. Higher is better
except where a function says otherwise.

An interval from a handful of seeds is a sketch: resampling five values cannot show what a sixth would have
done. Of five normal scores a 95 % interval holds the truth about three times in four (measured by the tests);
tables name the worst seed beside each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

Scores = Sequence[ArrayLike]
"""One array [runs] a task."""
RESAMPLES = 2000
SEED = 0


@dataclass(frozen=True)
class Interval:
    """A figure with its bootstrap interval; ±inf where runs that never arrived decide it."""

    value: float
    low: float
    high: float


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """Mean of the middle half along the last axis, [..., N] → [...].

    A quarter of the values, rounded down, is left out at either end (`scipy.stats.trim_mean(x, 0.25)`, which
    rliable uses): of three runs none, of five the best and the worst. Infinite values may be among them.
    """
    ordered = np.sort(np.asarray(scores, dtype=float), axis=-1)
    count = ordered.shape[-1]
    cut = count // 4
    return ordered[..., cut : count - cut].mean(-1)


def aggregate(
    scores: Scores,
    statistic: Callable[[np.ndarray], np.ndarray] = interquartile_mean,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> Interval:
    """A figure of all runs of all tasks together, with its stratified bootstrap interval.

    Args:
        scores: one array a task.
        statistic: [..., all runs] → [...].
        resamples: of the bootstrap.
        confidence: share of the resampled figures inside the interval (percentile method).

    Raises:
        ValueError: a task without runs.
    """
    tasks = _checked(scores)
    drawn = np.concatenate(_resampled(tasks, resamples, np.random.default_rng(SEED)), axis=-1)
    return _interval(float(statistic(np.concatenate(tasks))), statistic(drawn), confidence)


def probability_of_improvement(
    x: Scores, y: Scores, resamples: int = RESAMPLES, confidence: float = 0.95
) -> Interval:
    """How likely a run of X beats a run of Y on a task, averaged over tasks (§4 of the paper).

    The Mann–Whitney U statistic over the number of pairs; a tie counts one half.

    Args:
        x, y: one array a task, the same tasks in the same order.
        resamples, confidence: as of `aggregate`.

    Raises:
        ValueError: different numbers of tasks, or a task without runs.
    """
    xs, ys = _checked(x), _checked(y)
    if len(xs) != len(ys):
        raise ValueError(f"{len(xs)} tasks of X beside {len(ys)} of Y")
    rng = np.random.default_rng(SEED)
    drawn = zip(_resampled(xs, resamples, rng), _resampled(ys, resamples, rng))
    sampled = np.mean([_superiority(a, b) for a, b in drawn], axis=0)
    value = np.mean([_superiority(a, b) for a, b in zip(xs, ys)])
    return _interval(float(value), sampled, confidence)


def performance_profile(
    scores: Scores, thresholds: ArrayLike, resamples: int = RESAMPLES, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share of runs that score more than each threshold, averaged over tasks (the run-score distribution).

    Args:
        scores: one array a task.
        thresholds: [K].
        resamples, confidence: as of `aggregate`.

    Returns:
        The shares [K] and the ends of their pointwise intervals, [K] each.
    """
    tasks, tau = _checked(scores), np.asarray(thresholds, dtype=float)
    drawn = _resampled(tasks, resamples, np.random.default_rng(SEED))
    shares = np.mean([_above(task, tau) for task in tasks], axis=0)
    sampled = np.mean([_above(task, tau) for task in drawn], axis=0)
    low, high = _quantiles(sampled, confidence)
    return shares, low, high


def _checked(scores: Scores) -> list[np.ndarray]:
    tasks = [np.asarray(task, dtype=float) for task in scores]
    if not tasks or any(task.ndim != 1 or not task.size for task in tasks):
        raise ValueError("needs one array of at least one run for each task")
    if any(np.isnan(task).any() for task in tasks):
        raise ValueError("a score is not a number: leave failed runs out")
    return tasks


def _resampled(tasks: list[np.ndarray], count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Runs drawn with replacement within each task: [runs] → [count, runs]."""
    return [task[rng.integers(task.size, size=(count, task.size))] for task in tasks]


def _superiority(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """P(X > Y) + P(X = Y) / 2 over all pairs, [..., N] and [..., M] → [...]."""
    a, b = x[..., :, None], y[..., None, :]
    return ((a > b) + 0.5 * (a == b)).mean((-2, -1))


def _above(task: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """[..., N] and [K] → share above, [..., K]."""
    return (task[..., :, None] > thresholds).mean(-2)


def _interval(value: float, sampled: np.ndarray, confidence: float) -> Interval:
    low, high = _quantiles(sampled, confidence)
    return Interval(value, float(low), float(high))


def _quantiles(sampled: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end along the first axis; values of the sample itself, so that infinity may be one."""
    outside = (1 - confidence) / 2
    ends = np.quantile(sampled, [outside, 1 - outside], axis=0, method="inverted_cdf")
    return ends[0], ends[1]
