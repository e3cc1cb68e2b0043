"""Figures of a comparison. Each function draws one and returns it as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator

from irl_ros.evaluation.comparison import Comparison, Score
from irl_ros.evaluation.curves import SMALL
from irl_ros.evaluation.inline_svg import PALETTE, drawing, inline_svg
from irl_ros.evaluation.statistics import performance_profile

ROW = 27
"""Height of an algorithm in a figure of intervals, px."""
DASHED = (0, (4, 2))


def intervals_figure(
    title: str,
    scores: Mapping[str, Score],
    unit: str,
    scale: float = 1.0,
    reference: float | None = None,
    ceiling: float = math.inf,
) -> str:
    """Interquartile mean and interval of each algorithm, a dot for each seed, the worst one by name.

    Args:
        title: for those who cannot see it.
        scores: algorithm → score; those without a run keep their row and say why.
        unit: of the axis.
        scale: from figures to that unit.
        reference: where a dotted line is drawn, in that unit.
        ceiling: nothing can be beyond it, in that unit.

    Returns:
        "" where no algorithm has a run.
    """
    finite = [scale * v for s in scores.values() for v in s.values.values() if math.isfinite(v)]
    if not finite:
        return ""
    shown = [*finite, *([] if reference is None else [reference])]
    # a difference that is nothing shall not fill the picture
    spread = max(max(shown) - min(shown), 0.05 * abs(max(shown))) or 0.1
    low, high = min(shown) - 0.08 * spread, min(max(shown) + 0.12 * spread, ceiling)
    with drawing(400, 58 + ROW * len(scores), 11) as (figure, axes):
        if reference is not None:
            axes.axvline(reference, color=PALETTE.ink, linewidth=1.2, linestyle=(0, (1, 2)))
        for row, (algo, score) in enumerate(scores.items()):
            _row(axes, row, score, scale, (low, high), PALETTE.clone if algo == "bc" else PALETTE.policy)
        axes.set_yticks(range(len(scores)), list(scores))
        axes.set(ylim=(len(scores) - 0.45, -0.7), xlim=(low, high), xlabel=unit)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        axes.tick_params(length=0)
        axes.tick_params(axis="y", labelcolor=PALETTE.ink)
        return inline_svg(figure, title)


def _row(axes: Axes, row: int, score: Score, scale: float, limits: tuple[float, float], colour: str) -> None:
    low, high = limits
    i = score.interval
    if i is None:
        text = "failed" if score.failed else score.note or "not made yet"
        axes.annotate(
            text, (low, row), (6, 0), textcoords="offset points", va="center", color=PALETTE.soft, fontsize=9
        )
        return

    def at(value: float) -> float:
        """Inside the axis: what lies beyond, or never was, is drawn at its end."""
        return min(max(scale * value, low), high) if math.isfinite(value) else (high if value > 0 else low)

    values = [at(v) for v in score.values.values()]
    axes.plot(
        [at(i.low), at(i.high)],
        [row, row],
        color=colour,
        linewidth=7,
        alpha=0.3,
        solid_capstyle="butt",
        clip_on=False,
    )
    axes.scatter(
        values, [row] * len(values), s=11, facecolors="none", edgecolors=colour, linewidths=0.9, clip_on=False
    )
    axes.plot(at(i.value), row, marker="|", markersize=13, markeredgewidth=2.6, color=colour, clip_on=False)
    worst = score.worst if not score.failed else (math.inf if score.lower_is_better else -math.inf)
    name = f"seed {score.worst_seed}" + (
        " failed" if score.failed else "" if math.isfinite(worst) else ": never"
    )
    right = at(worst) > (low + high) / 2
    place: dict[str, Any] = {
        "textcoords": "offset points",
        "va": "bottom",
        "ha": "right" if right else "left",
    }
    aside = 4 if right else -4 if at(worst) > low + 0.03 * (high - low) else 3  # clear of the names
    axes.annotate(name, (at(worst), row), (aside, 4.5), color=PALETTE.soft, fontsize=8.5, **place)
    if score.failed:
        axes.plot(at(worst), row, marker="x", markersize=6, color=PALETTE.soft, clip_on=False)


def demos_figure(c: Comparison, algo: str, operator: str) -> str:
    """Hits of one algorithm over the number of demonstrations, the others thin; "" without two numbers."""
    counts = sorted({demos for o, demos in c.schools if o == operator})
    if len(counts) < 2:
        return ""
    with drawing(*SMALL, 10.5) as (figure, axes):
        for other in c.algos:
            _line(
                axes, counts, [c.hits(other, operator, k, "hit_5cm") for k in counts], PALETTE.soft, 0.8, 0.45
            )
        for key, style in (("hit_5cm", DASHED), ("hit_10cm", "-")):
            scores = [c.hits(algo, operator, k, key) for k in counts]
            _line(axes, counts, scores, PALETTE.policy, 2.0, 1.0, style, band=True)
        axes.set_xscale("log")
        axes.set_xticks(counts, [str(k) for k in counts])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
        _percent_axis(axes, "demonstrations", "hits, %")
        return inline_svg(figure, f"{algo}: hits over the number of demonstrations, operator {operator}")


def _line(
    axes: Axes,
    counts: Sequence[int],
    scores: Sequence[Score],
    colour: str,
    width: float,
    alpha: float,
    style: Any = "-",
    band: bool = False,
) -> None:
    there = [(k, s.interval) for k, s in zip(counts, scores)]
    x = [k for k, i in there if i]
    ends = np.array([(100 * i.low, 100 * i.value, 100 * i.high) for _, i in there if i]).reshape(-1, 3)
    if band:
        axes.fill_between(x, ends[:, 0], ends[:, 2], color=colour, alpha=0.16, linewidth=0)
    axes.plot(
        x,
        ends[:, 1],
        color=colour,
        linewidth=width,
        alpha=alpha,
        linestyle=style,
        marker="o",
        markersize=width + 1,
    )


def profile_figure(c: Comparison, algo: str) -> str:
    """Share of runs that hit more than x within 10 cm (solid) and 5 cm (dashed); the others thin, 5 cm."""
    tau = np.linspace(0, 1, 201)
    with drawing(*SMALL, 10.5) as (figure, axes):
        for other in c.algos:
            if tasks := _tasks(c, other, "hit_5cm"):
                axes.plot(
                    100 * tau,
                    100 * performance_profile(tasks, tau)[0],
                    color=PALETTE.soft,
                    linewidth=0.8,
                    alpha=0.45,
                )
        drawn = False
        for key, style in (("hit_5cm", DASHED), ("hit_10cm", "-")):
            if tasks := _tasks(c, algo, key):
                shares, low, high = performance_profile(tasks, tau)
                axes.fill_between(
                    100 * tau, 100 * low, 100 * high, color=PALETTE.policy, alpha=0.16, linewidth=0
                )
                axes.plot(100 * tau, 100 * shares, color=PALETTE.policy, linewidth=2.0, linestyle=style)
                drawn = True
        _percent_axis(axes, "hits, %", "runs that hit more, %")
        axes.set_xlim(0, 100)
        return inline_svg(figure, f"{algo}: share of runs above a hit rate") if drawn else ""


def _tasks(c: Comparison, algo: str, figure: str) -> list[list[float]]:
    scores = [c.hits(algo, *school, figure) for school in c.schools]
    return [list(s.values.values()) for s in scores if s.values]


def _percent_axis(axes: Axes, xlabel: str, ylabel: str) -> None:
    axes.set(ylim=(0, 104), xlabel=xlabel, ylabel=ylabel)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(length=0)
