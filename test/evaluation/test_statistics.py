"""Statistics of few runs, against brute force, closed forms and simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from irl_ros.evaluation.statistics import (
    aggregate,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
)


def test_the_interquartile_mean_leaves_out_a_quarter_at_either_end() -> None:
    assert interquartile_mean(np.array([0.0, 5.0, 6.0, 7.0, 100.0])) == 6.0
    assert interquartile_mean(np.array([1.0, 2.0, 9.0])) == 4.0  # of three runs nothing can be left out
    assert interquartile_mean(np.array([3.0, -50.0, 1.0, 2.0, 4.0, 5.0, 9.0, 90.0])) == 3.5
    rows = np.array([[4.0, 1.0, 2.0, 9.0], [0.0, 0.0, 8.0, 8.0]])
    np.testing.assert_array_equal(interquartile_mean(rows), [3.0, 4.0])


@pytest.mark.parametrize("never, expected", [(1, 3.0), (2, np.inf)])
def test_runs_that_never_arrive_count_as_infinitely_late(never: int, expected: float) -> None:
    times = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    times[-never:] = np.inf
    assert interquartile_mean(times) == expected
    assert aggregate([times]).high == np.inf


def test_the_bootstrap_is_that_over_all_resamples() -> None:
    """Three runs have 27 equally likely resamples: the interval's ends are quantiles of those 27 means."""
    runs = np.array([0.0, 1.0, 5.0])
    means = sorted(np.mean(draw) for draw in itertools.product(runs, repeat=3))
    found = aggregate([runs], statistic=lambda x: x.mean(-1), resamples=40_000, confidence=0.8)
    assert found.value == 2.0
    # the 10 % point of 27 values is the third, the 90 % point the twenty-fifth
    assert (found.low, found.high) == (means[2], means[24])


def test_runs_are_resampled_within_their_task() -> None:
    """Tasks whose runs agree leave nothing to resample, however different the tasks are."""
    level = aggregate([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0]], statistic=lambda x: x.mean(-1))
    assert level.low == level.value == level.high == 3 / 8


def test_its_spread_is_the_standard_error_that_theory_gives() -> None:
    """Variance of a stratified mean: the sum of σ²/n over tasks, weighted by the squares of their shares."""
    rng = np.random.default_rng(1)
    tasks = [rng.normal(0, 1, 40), rng.normal(3, 4, 10)]
    found = aggregate(tasks, statistic=lambda x: x.mean(-1), resamples=20_000)
    variance = sum((t.size / 50) ** 2 * t.var() / t.size for t in tasks)
    assert found.high - found.low == pytest.approx(2 * 1.96 * variance**0.5, rel=0.04)


def coverage(seeds: int, tasks: int, trials: int = 400) -> float:
    """How often the 95 % interval holds the truth: normal scores, whose interquartile mean is their mean."""
    rng = np.random.default_rng(seeds)
    means = np.linspace(-0.5, 0.5, tasks)
    held = 0
    for _ in range(trials):
        found = aggregate(list(rng.normal(means[:, None], 1.0, (tasks, seeds))), resamples=400)
        held += found.low <= 0.0 <= found.high
    return held / trials


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    assert 0.92 <= coverage(seeds=20, tasks=4) <= 0.98


def test_five_seeds_of_one_task_promise_more_than_they_keep() -> None:
    assert 0.70 <= coverage(seeds=5, tasks=1, trials=2000) <= 0.80


def test_probability_of_improvement_is_a_count_of_pairs() -> None:
    rng = np.random.default_rng(2)
    x = [rng.integers(0, 6, 5).astype(float), rng.integers(0, 6, 3).astype(float)]
    y = [rng.integers(0, 6, 4).astype(float), rng.integers(0, 6, 5).astype(float)]
    counted = []
    for a, b in zip(x, y):
        pairs = list(itertools.product(a, b))
        counted.append(sum((u > v) + 0.5 * (u == v) for u, v in pairs) / len(pairs))
    found = probability_of_improvement(x, y)
    assert found.value == pytest.approx(np.mean(counted)) and found.low < found.value < found.high
    assert probability_of_improvement(y, x).value == pytest.approx(1 - found.value)
    assert probability_of_improvement([[2.0, 3.0]], [[0.0, 1.0]]).low == 1.0
    assert probability_of_improvement([[1.0, 1.0]], [[1.0, 1.0]]).value == 0.5


def test_probability_of_improvement_of_two_normals() -> None:
    """X ~ N(1, 1), Y ~ N(0, 1): Φ(1/√2) = 0.7602."""
    rng = np.random.default_rng(3)
    found = probability_of_improvement([rng.normal(1, 1, 1000)], [rng.normal(0, 1, 1000)], resamples=20)
    assert found.value == pytest.approx(0.7602, abs=0.025)


def test_a_profile_is_the_share_above_averaged_over_tasks() -> None:
    tau = [-1.0, 0.0, 0.5, 1.0, 2.0]
    shares, low, high = performance_profile([[0.0, 1.0], [0.4, 0.6, 1.5, 3.0]], tau)
    np.testing.assert_allclose(shares, [1.0, (0.5 + 1.0) / 2, (0.5 + 0.75) / 2, (0.0 + 0.5) / 2, 0.25 / 2])
    assert (low <= shares).all() and (shares <= high).all() and low[0] == high[0] == 1.0
    # two runs, one of them above 0.5: resampled 0, 1/2 and 1 with chances 1/4, 1/2 and 1/4
    _, low, high = performance_profile([[0.0, 1.0]], [0.5], confidence=0.8)
    assert (low[0], high[0]) == (0.0, 1.0)


def test_nothing_comes_of_no_runs() -> None:
    for scores in ([], [[]], [[1.0], []]):
        with pytest.raises(ValueError, match="at least one run"):
            aggregate(scores)
    with pytest.raises(ValueError, match="not a number"):
        aggregate([[1.0, np.nan, 2.0]])
    with pytest.raises(ValueError, match="1 tasks of X beside 2 of Y"):
        probability_of_improvement([[1.0]], [[1.0], [2.0]])
