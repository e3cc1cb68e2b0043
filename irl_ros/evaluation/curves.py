"""Learning curves from metrics.jsonl. Each function draws one figure and returns it as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from irl_ros.evaluation.inline_svg import PALETTE, drawing, inline_svg
from irl_ros.evaluation.landings import Thrower

SMALL = (300, 210)
"""Of a figure that takes a third of the page, px."""
Metrics = Sequence[dict[str, Any]]


def hits_figure(metrics: Metrics, horizon: int, others: Sequence[Thrower], practice_every: int) -> str:
    """Hit rates on practice targets over throws made."""
    measured = [m for m in metrics if m["iteration"] % practice_every == 0 or m["state"] == "done"]
    with drawing(400, 260) as (figure, axes):
        _phases(axes, metrics, horizon)
        x, y = _series(metrics, "explore_hit_10cm", horizon)
        axes.plot(x, 100 * y, color=PALETTE.soft, linewidth=1.0, alpha=0.6, label="exploring, 10 cm")
        for key, style, label in (("hit_10cm", "-", "within 10 cm"), ("hit_5cm", (0, (4, 2)), "within 5 cm")):
            x, y = _series(measured, key, horizon)
            axes.plot(x, 100 * y, color=PALETTE.policy, linestyle=style, linewidth=1.9, label=label)
        for other in others:
            axes.axhline(
                100 * other.figures["hit_10cm"],
                color=getattr(PALETTE, other.colour),
                linestyle=(0, (1, 2)),
                linewidth=1.5,
                label=f"{other.name.lower()}, 10 cm",
            )
        axes.set(ylim=(0, 103), ylabel="hits, %")
        _finish(axes)
        axes.legend(loc="lower right", fontsize=10)
        return inline_svg(figure, "Hit rates while learning")


def curve_figure(
    metrics: Metrics,
    horizon: int,
    title: str,
    ylabel: str,
    series: Sequence[tuple[str, str, str]],
    size: tuple[int, int] = (400, 260),
) -> str:
    """Curves over throws made, each (key of metrics.jsonl, colour, label); "" if none is there."""
    with drawing(*size, 10.5 if size == SMALL else 11.5) as (figure, axes):
        drawn = False
        for key, colour, label in series:
            x, y = _series(metrics, key, horizon)
            if len(x):
                axes.plot(x, y, color=getattr(PALETTE, colour), linewidth=1.7, label=label or None)
                drawn = True
        if not drawn:
            return ""
        _phases(axes, metrics, horizon, named=size != SMALL)
        axes.set_ylabel(ylabel)
        _finish(axes)
        if any(label for _, _, label in series):
            axes.legend(loc="best", fontsize=10)
        return inline_svg(figure, title)


def accuracy_figure(metrics: Metrics, horizon: int) -> str:
    """How often the discriminator is right; "" if there was none."""
    x, y = _series(metrics, "discriminator_accuracy", horizon)
    if not len(x):
        return ""
    with drawing(*SMALL, 10.5) as (figure, axes):
        axes.axhline(50, color=PALETTE.soft, linestyle=(0, (1, 2)), linewidth=1.3)
        where: Any = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        axes.annotate("guessing", (1.0, 50), (0, -11), ha="right", color=PALETTE.soft, **where)
        axes.plot(x, 100 * y, color=PALETTE.policy, linewidth=1.7)
        axes.set(ylim=(30, 101), ylabel="right answers, %")
        _finish(axes)
        return inline_svg(figure, "Accuracy of the discriminator")


def _series(metrics: Metrics, key: str, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Thousands of throws made and the values of a key, where it was written."""
    rows = [(m["env_steps"] / horizon / 1000, m[key]) for m in metrics if m.get(key) is not None]
    x, y = np.array(rows, dtype=float).reshape(-1, 2).T
    finite = np.isfinite(y)
    return x[finite], y[finite]


def _phases(axes: Axes, metrics: Metrics, horizon: int, named: bool = True) -> None:
    """Shade every other phase of learning and name them all."""
    spans: list[tuple[str, float, float]] = []
    end = 0.0
    for m in metrics:
        begin, end = end, m["env_steps"] / horizon / 1000
        state = f"search {m['search']:.0f}" if "search" in m else m["state"]
        if m["state"] == "done":
            state = spans[-1][0] if spans else "learning"
        if spans and spans[-1][0] == state:
            spans[-1] = (state, spans[-1][1], end)
        else:
            spans.append((state, begin, end))
    for k, (state, begin, end) in enumerate(spans):
        if k % 2:
            axes.axvspan(begin, end, color=PALETTE.line, alpha=0.45, linewidth=0)
        if named and len(spans) > 1:
            where: Any = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
            # from its left edge on, but the first to the left of the second: it may be short
            place, side = (spans[1][1], "right") if k == 0 else (begin, "left")
            offset = (-4 if k == 0 else 4, 3)
            axes.annotate(state, (place, 1.0), offset, ha=side, color=PALETTE.soft, fontsize=10, **where)


def _finish(axes: Axes) -> None:
    axes.set_xlim(left=0)
    axes.set_xlabel("throws made, thousands")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(length=0)
