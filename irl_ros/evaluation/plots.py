"""Figures of landings and rewards. Each function draws one and returns it as inline SVG."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Circle, Wedge

from irl_ros.evaluation.inline_svg import PALETTE, Palette, drawing, inline_svg
from irl_ros.evaluation.landings import Thrower, from_above, misses
from irl_ros.evaluation.reward_view import RewardView
from irl_ros.sim import World

HIT, CLOSE = 0.10, 0.05  # m
NEAR = 0.26  # half the width of the scatter of misses, m
SHOWN = 400  # landings in a scatter: more only blacken it
HEAT = LinearSegmentedColormap.from_list("heat", ["#10202e", "#124b5f", "#0e8a72", "#8fd19e", "#f7f3c0"])


# --- where the balls came down ---


def misses_figure(thrower: Thrower) -> str:
    """Landings around the target, seen by the thrower, with rings of 5 and 10 cm."""
    assert thrower.throws is not None
    places = misses(thrower.throws)[:SHOWN]
    landed = np.isfinite(places).all(1)
    inside = landed & (np.abs(places) < NEAR).all(1)
    with drawing(270, 262, 9.5) as (figure, axes):
        _rings(axes)
        colour = getattr(PALETTE, thrower.colour)
        _dots(axes, places[inside], colour, len(places))
        outside = places[landed & ~inside]
        edge = outside / np.abs(outside).max(1, keepdims=True) * NEAR * 0.985
        axes.scatter(
            edge[:, 0], edge[:, 1], s=13, marker="D", facecolors="none", edgecolors=colour, linewidths=0.8
        )
        axes.set(xlim=(-NEAR, NEAR), ylim=(-NEAR, NEAR), aspect="equal")
        axes.set_xticks([-0.2, 0.0, 0.2], ["20 cm left", "0", "20 right"])
        axes.set_yticks([-0.2, 0.0, 0.2], ["20 short", "0", "20 far"], rotation=90, va="center")
        axes.grid(linewidth=0.6, alpha=0.7)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        axes.tick_params(length=0)
        return inline_svg(figure, f"{thrower.name}: where the balls landed around the target")


def unseen_note(thrower: Thrower) -> str:
    """What the scatter of misses cannot show."""
    assert thrower.throws is not None
    places = misses(thrower.throws)[:SHOWN]
    landed = np.isfinite(places).all(1)
    beyond = int((landed & ~(np.abs(places) < NEAR).all(1)).sum())
    notes = [f"{len(places)} landings" if landed.all() else f"{int(landed.sum())} of {len(places)} landed"]
    if beyond:
        notes.append(f"{beyond} beyond the edge, marked ◇ on it")
    return ", ".join(notes)


def above_figure(thrower: Thrower, world: World) -> str:
    """Targets and landings on the floor, seen from above, the robot's front up."""
    assert thrower.throws is not None
    throws = thrower.throws[slice(0, SHOWN)]
    targets = from_above(throws.states.target[:, 0])
    places = from_above(throws.outcome.landing)
    landed = np.isfinite(places).all(1)
    hit = throws.outcome.hits(HIT).numpy()
    with drawing(270, 240, 9.5) as (figure, axes):
        top, side = _ring_of_targets(axes, world)
        lines = np.stack((targets[landed], places[landed]), 1)
        axes.add_collection(LineCollection(list(lines), colors=PALETTE.soft, linewidths=0.6, alpha=0.35))
        colour = getattr(PALETTE, thrower.colour)
        _dots(axes, places[landed & hit], colour, len(places))
        x, y = places[landed & ~hit].T
        axes.scatter(x, y, s=9, facecolors="none", edgecolors=colour, linewidths=0.8)
        axes.set(
            xlim=(-side - 0.15, side + 0.15), ylim=(-0.09, top + 0.2), aspect="equal", xticks=[], yticks=[]
        )
        for spine in axes.spines.values():
            spine.set_visible(False)
        return inline_svg(figure, f"{thrower.name}: targets and landings seen from above")


def _ring_of_targets(axes: Axes, world: World) -> tuple[float, float]:
    """Draw the robot and the band of floor that targets lie on; how far it goes ahead and aside, m."""
    t = world.settings.target
    (inner, outer), (first, last) = t.radius, t.azimuth
    low, high = (90 + float(np.degrees(a)) for a in (first, last))
    band = Wedge((0, 0), outer, low, high, width=max(outer - inner, 0.01), facecolor=PALETTE.line, alpha=0.55)
    axes.add_patch(band)
    axes.add_patch(Circle((0, 0), 0.055, facecolor=PALETTE.soft, linewidth=0))
    axes.annotate("robot", (0.08, 0.0), va="center", color=PALETTE.soft, fontsize=10)
    for radius in (inner, outer):
        angle = max(first, -np.pi / 2)  # its right-hand corner, where the label has room
        place = (-radius * np.sin(angle), radius * np.cos(angle))
        axes.annotate(
            f"{radius:.2g} m", place, (5, -4), textcoords="offset points", color=PALETTE.soft, fontsize=8.5
        )
    return outer, outer * max(abs(np.sin(first)), abs(np.sin(last)))


def _rings(axes: Axes) -> None:
    axes.add_patch(Circle((0, 0), HIT, facecolor=PALETTE.line, alpha=0.45, linewidth=0))
    for radius in (CLOSE, HIT):
        axes.add_patch(Circle((0, 0), radius, fill=False, edgecolor=PALETTE.soft, linewidth=0.9, alpha=0.8))
    axes.plot(0, 0, marker="+", markersize=7, color=PALETTE.ink, linewidth=0)


def _dots(axes: Axes, places: np.ndarray, colour: str, count: int) -> None:
    """Filled dots, smaller and lighter where `count` is large."""
    few = count <= 60
    axes.scatter(
        places[:, 0], places[:, 1], s=16 if few else 8, color=colour, alpha=0.85 if few else 0.5, linewidths=0
    )


# --- the learned reward ---


def reward_picture(view: RewardView) -> str:
    """The learned reward over where the ball lies."""
    with drawing(400, 350) as (figure, axes):
        draw_picture(axes, view)
        return inline_svg(figure, "Learned reward of a ball lying beside the target")


def reward_profile(view: RewardView) -> str:
    """The same over the distance alone, beside the task's own reward."""
    with drawing(400, 350) as (figure, axes):
        draw_profile(axes, view, PALETTE)
        return inline_svg(figure, "Reward over the distance from the target")


def draw_picture(axes: Axes, view: RewardView) -> None:
    """What `reward_picture` shows, on axes of any figure."""
    edge = 100 * view.offsets[-1]
    image = axes.imshow(
        view.picture,
        extent=(-edge, edge, -edge, edge),
        origin="lower",
        cmap=HEAT,
        interpolation="bilinear",
    )
    for radius in (100 * CLOSE, 100 * HIT):
        axes.add_patch(Circle((0, 0), radius, fill=False, edgecolor="#ffffff", linewidth=1.0, alpha=0.85))
    axes.set(xlabel="right of the target, cm", ylabel="beyond the target, cm")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)


def draw_profile(axes: Axes, view: RewardView, palette: Palette) -> None:
    """What `reward_profile` shows, on axes of any figure."""
    distance = 100 * view.distance
    axes.axvspan(0, 100 * HIT, color=palette.line, alpha=0.5, linewidth=0)
    axes.annotate(
        "hit",
        (100 * HIT / 2, 1.0),
        (0, 3),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="center",
        color=palette.soft,
        fontsize=10,
    )
    axes.fill_between(distance, view.low, view.high, color=palette.policy, alpha=0.18, linewidth=0)
    label = "learned (band: all directions)"
    axes.plot(distance, view.profile, color=palette.policy, linewidth=2.2, label=label)
    label, dashes = "the task's own, scaled", (0, (4, 2))
    axes.plot(distance, view.true, color=palette.soft, linewidth=1.6, linestyle=dashes, label=label)
    label, dots = "learned, ball still in the hand", (0, (1, 2))
    axes.axhline(view.held, color=palette.ink, linewidth=1.2, linestyle=dots, label=label)
    axes.set(xlim=(0, distance[-1]), ylabel="reward a step")
    axes.set_xlabel("distance of the ball from the target, cm")
    axes.grid(axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(length=0)
    axes.legend(loc="upper right", fontsize=10)
