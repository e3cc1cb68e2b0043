"""Matplotlib figures as SVG inside a page: colours follow the page's light or dark theme, text its font."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Palette:
    """Colours a figure may use: placeholders that become the page's CSS variables of the same names."""

    ink: str = "#010203"
    soft: str = "#010204"
    line: str = "#010205"
    card: str = "#010206"
    operator: str = "#010207"
    clone: str = "#010208"
    policy: str = "#010209"


PALETTE = Palette()
LIGHT = Palette("#1c2328", "#5f6c76", "#e4e1d9", "#ffffff", "#d2691e", "#7567cf", "#0c8570")
"""The page's light theme, for pictures that stand alone."""


def style(palette: Palette, font_size: float) -> Any:
    """Matplotlib settings of every figure."""
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": "irl_ros",
        "font.size": font_size,
        "axes.edgecolor": palette.line,
        "axes.labelcolor": palette.soft,
        "axes.titlecolor": palette.ink,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.color": palette.line,
        "grid.linewidth": 0.8,
        "text.color": palette.ink,
        "xtick.color": palette.line,
        "ytick.color": palette.line,
        "xtick.labelcolor": palette.soft,
        "ytick.labelcolor": palette.soft,
        "lines.solid_capstyle": "round",
        "legend.facecolor": palette.card,
        "legend.edgecolor": "none",
        "legend.labelcolor": palette.soft,
        "legend.handlelength": 1.4,
    }


@contextmanager
def drawing(width: float, height: float, font_size: float = 11.5) -> Iterator[tuple[Figure, Axes]]:
    """A figure with one plain pair of axes, sizes in px of a page that shows it unscaled."""
    with mpl.rc_context(style(PALETTE, font_size)):
        figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
        figure.patch.set_alpha(0.0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0.0)
        yield figure, axes


def inline_svg(figure: Figure, title: str) -> str:
    """The figure as an <svg> element without a reference to anything outside it.

    Args:
        figure: drawn within `drawing`.
        title: what it shows, for those who cannot see it.
    """
    FigureCanvasSVG(figure)
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "irl_ros"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, dpi=144)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)  # nothing refers to groups, and figures repeat their names
    width, height = 72 * figure.get_size_inches()
    # enlarged beyond reason where a page has few figures in a row, its text would shout
    shape = f'viewBox="0 0 {width:.0f} {height:.0f}" style="max-width: {1.35 * width:.0f}px" role="img"'
    text = re.sub(r"^<svg [^>]*>", f"<svg {shape}><title>{title}</title>", text)
    for name, placeholder in vars(PALETTE).items():
        text = text.replace(placeholder, f"var(--{name})")
    return re.sub(r"font: [^;\"]*;?", _only_size, text).strip()


def _only_size(match: re.Match[str]) -> str:
    """Of a `font:` shorthand the size; the family is the page's."""
    size = re.search(r"([\d.]+)px", match[0])
    bold = "font-weight: 600; " if re.search(r"\b(bold|600|700)\b", match[0]) else ""
    return f"{bold}font-size: {size[1] if size else 10}px;"
