"""The report's page: one HTML file that needs no network, in light or dark, on a desk or a phone."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from matplotlib.image import imsave

STYLE = """
:root { color-scheme: light dark;
  --paper: #faf9f6; --card: #ffffff; --ink: #1c2328; --soft: #5f6c76; --line: #e4e1d9;
  --operator: #d2691e; --clone: #7567cf; --policy: #0c8570; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #13171a; --card: #1b2125; --ink: #e9ecee; --soft: #9ba8b1; --line: #313a41;
  --operator: #f2a365; --clone: #aaa0f5; --policy: #43cbab; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.55;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", sans-serif;
  font-variant-numeric: tabular-nums; -webkit-text-size-adjust: 100%; }
main { max-width: 1080px; margin: 0 auto; padding: 2.6rem 1.25rem 4rem; }
h1 { font-size: clamp(1.7rem, 4.6vw, 2.6rem); line-height: 1.15; letter-spacing: -0.02em;
  margin: 0.2rem 0 0.8rem; text-wrap: balance; }
h2 { font-size: 1.3rem; letter-spacing: -0.01em; margin: 3.2rem 0 0.2rem; }
h3 { font-size: 0.98rem; margin: 0 0 0.15rem; }
p { margin: 0.35rem 0 0.9rem; max-width: 46rem; text-wrap: pretty; }
.eyebrow { color: var(--soft); font-size: 0.85rem; margin: 0; overflow-wrap: anywhere; }
.lead { font-size: 1.12rem; }
.soft, figcaption { color: var(--soft); font-size: 0.88rem; }
.grid { display: grid; gap: 1rem; margin-top: 1rem; }
.two { grid-template-columns: repeat(auto-fit, minmax(min(25rem, 100%), 1fr)); }
.three { grid-template-columns: repeat(auto-fit, minmax(min(16.5rem, 100%), 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  padding: 1rem 1.1rem; margin: 0; min-width: 0; }
.card svg { display: block; width: 100%; height: auto; margin: 0 auto; overflow: visible; }
.who { display: flex; align-items: baseline; gap: 0 0.5rem; flex-wrap: wrap; }
.dot { width: 0.7rem; height: 0.7rem; border-radius: 50%; background: var(--c); flex: none;
  align-self: center; }
.big { font-size: 2.9rem; font-weight: 650; letter-spacing: -0.03em; line-height: 1.1; color: var(--c);
  margin: 0.3rem 0 0; }
.bar { height: 8px; border-radius: 4px; background: var(--line); margin: 0.55rem 0 0.75rem;
  position: relative; overflow: hidden; }
.bar i { position: absolute; inset: 0 auto 0 0; border-radius: 4px; background: var(--c); opacity: 0.38; }
.bar i + i { opacity: 1; }
dl { display: grid; grid-template-columns: 1fr auto; gap: 0.15rem 1rem; margin: 0; font-size: 0.93rem; }
dt { color: var(--soft); }
dd { margin: 0; text-align: right; }
.film { display: grid; grid-template-columns: repeat(6, 1fr); gap: 4px; border-radius: 14px;
  overflow: hidden; margin: 1.6rem 0 0.5rem; }
.film img { display: block; width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
td, th { text-align: left; padding: 0.3rem 0.9rem 0.3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
tr:last-child > * { border-bottom: 0; }
th { color: var(--soft); font-weight: 500; }
details { margin-top: 0.8rem; }
summary { cursor: pointer; font-weight: 600; padding: 0.35rem 0; }
pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace;
  font-size: 0.86em; background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 0.7rem 0.9rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
.wide td, .wide th { white-space: nowrap; }
svg text { font-family: inherit; }
@media (max-width: 640px) { main { padding-top: 1.5rem; } .card { padding: 0.85rem 0.8rem; }
  .film { grid-template-columns: repeat(3, 1fr); } .big { font-size: 2.4rem; } }
"""


def page(title: str, body: Sequence[str]) -> str:
    """A whole document; empty parts are left out."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def escape(text: object) -> str:
    return html.escape(str(text))


def section(title: str, text: str, *content: str) -> str:
    """A heading, a few words (HTML) and what they are about; "" without content."""
    content = tuple(c for c in content if c)
    if not content:
        return ""
    return f"<section>\n<h2>{escape(title)}</h2>\n<p>{text}</p>\n" + "\n".join(content) + "\n</section>"


def grid(columns: str, items: Sequence[str]) -> str:
    """Cards side by side where there is room. `columns`: "two" or "three"."""
    items = [item for item in items if item]
    return f'<div class="grid {columns}">\n' + "\n".join(items) + "\n</div>" if items else ""


def card(title: str, picture: str, caption: str = "", colour: str = "") -> str:
    """A figure with its title; "" without a picture."""
    if not picture:
        return ""
    dot = f'<span class="dot" style="--c: var(--{colour})"></span>' if colour else ""
    head = f'<div class="who">{dot}<h3>{escape(title)}</h3></div>'
    below = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f'<figure class="card">{head}{picture}{below}</figure>'


def rows(pairs: Sequence[tuple[object, ...]], heads: tuple[str, ...] = ()) -> str:
    """A table of two or more columns."""
    top = "<tr>" + "".join(f"<th>{escape(h)}</th>" for h in heads) + "</tr>" if heads else ""
    body = "".join(
        f"<tr><th>{escape(first)}</th>" + "".join(f"<td>{escape(v)}</td>" for v in rest) + "</tr>"
        for first, *rest in pairs
    )
    return f"<table>{top}{body}</table>"


def picture(image: np.ndarray, description: str) -> str:
    """uint8 [height, width, 3] as an <img> that carries its own data."""
    height, width, _ = image.shape
    data = base64.b64encode(png(image)).decode()
    shape = f'width="{width}" height="{height}" alt="{escape(description)}"'
    return f'<img {shape} src="data:image/png;base64,{data}">'


def png(image: np.ndarray) -> bytes:
    """uint8 [height, width, 3] as a PNG file."""
    file = io.BytesIO()
    imsave(file, image, format="png")
    return file.getvalue()
