"""reward.png: the learned reward over the floor, over distance, and its returns against the true ones."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from irl_ros.errors import InputError
from irl_ros.evaluation.coverage import THROWERS
from irl_ros.evaluation.inline_svg import LIGHT, style
from irl_ros.evaluation.plots import draw_picture, draw_profile
from irl_ros.evaluation.reward_recovery import Recovery
from irl_ros.evaluation.reward_view import view_reward

COLOURS = {
    "operator": LIGHT.operator,
    "elsewhere": "#e0b050",
    "policy": LIGHT.policy,
    "noisy": "#6fbf9f",
    "any_time": LIGHT.clone,
    "random": "#9aa5ad",
}
"""Of THROWERS, in the scatter of returns."""
NAMES = {"operator": "person", "elsewhere": "person, aimed elsewhere", "any_time": "policy, let go any time"}
NAMES |= {"policy": "policy", "noisy": "policy with noise", "random": "random swings"}


def write_reward_figure(recovery: Recovery, path: Path) -> None:
    """Draw what `irl-ros reward` found into a PNG.

    Raises:
        InputError: the file cannot be written.
    """
    view = view_reward(recovery.reward, recovery.world)
    with mpl.rc_context(style(LIGHT, 11.5)):
        figure = Figure(figsize=(17.5, 5.6), layout="constrained", facecolor=LIGHT.card)
        FigureCanvasAgg(figure)
        floor, profile, returns = figure.subplots(1, 3, width_ratios=(1.1, 1.0, 1.0))
        draw_picture(floor, view)
        draw_profile(profile, view, LIGHT)
        draw_returns(returns, recovery)
        floor.set_title("Learned reward of a ball lying beside the target", pad=18)
        profile.set_title("The same over its distance", pad=18)
        returns.set_title("Return of each throw", pad=18)
        try:
            figure.savefig(path, format="png", dpi=110, metadata={"Software": None})
        except OSError as error:
            raise InputError(path, f"cannot be written ({error.strerror})", "choose another --out") from None


def draw_returns(axes: Axes, recovery: Recovery) -> None:
    """Learned against true return of every throw, by who threw."""
    learned, true = recovery.returns.T.numpy()
    for name in THROWERS:
        by = recovery.coverage.by(name).numpy()
        if by.any():
            x, y = true[by], learned[by]
            axes.scatter(x, y, s=13, color=COLOURS[name], alpha=0.75, linewidths=0, label=NAMES[name])
    found = recovery.figures
    pearson, spearman = (found[key]["return"] for key in ("pearson", "spearman"))
    if pearson is not None:
        slope = pearson * learned.std() / true.std()
        ends = np.array([true.min(), true.max()])
        line = learned.mean() + slope * (ends - true.mean())
        axes.plot(ends, line, color=LIGHT.soft, linewidth=1.2, linestyle=(0, (4, 2)))
        axes.annotate(
            f"Pearson {pearson:.3f}\nSpearman {spearman:.3f}",
            (0.03, 0.97),
            xycoords="axes fraction",
            va="top",
            color=LIGHT.ink,
        )
    axes.set(xlabel="true return (sum over the episode)", ylabel="learned return")
    axes.grid()
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    axes.legend(loc="lower right", fontsize=9.5, markerscale=1.6)
