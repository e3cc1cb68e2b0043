"""compare.html: a comparison in one file, in pictures and tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from irl_ros.evaluation import comparison_plots as plots
from irl_ros.evaluation import comparison_text as text
from irl_ros.evaluation.comparison import REWARD_FIGURES, Comparison, Score
from irl_ros.evaluation.page import card, escape, grid, page, section

CENTIMETRES = {"hit_10cm": "10 cm", "hit_5cm": "5 cm"}
READING = "Bar: interquartile mean over seeds; band: its 95 % interval; rings: seeds, the worst one by name. "


def comparison_page(c: Comparison) -> str:
    """The whole page."""
    parts = [_head(c), *_learning(c), _speed(c), _transfers(c), _rewards(c), _demonstrations(c), _profiles(c)]
    return page("Algorithms side by side", [*parts, _tables(c)])


def _head(c: Comparison) -> str:
    t = c.title
    label = f"irl_ros {t['irl_ros']} · compare · {t['world']} · {t['date']} · {t['machine']}"
    missing = len(c.cells) - c.done()
    state = f" {missing} of {len(c.cells)} cells are not made yet." if missing else ""
    if failed := c.failures():
        state += f" {len(failed)} cells failed: the last table says why."
    title = f"{len(c.algos)} algorithms on the same throws"
    return (
        f'<header>\n<p class="eyebrow">{escape(label)}</p>\n<h1>{title}</h1>\n'
        f'<p class="lead">{escape(summary(c) + state)}</p>\n</header>'
    )


def summary(c: Comparison) -> str:
    """The best of the first table, in words."""
    if not c.schools:
        return ""
    school = c.schools[0]
    scores = {a: c.hits(a, *school, "hit_5cm") for a in c.algos}
    ranked = [(s.interval.value, a) for a, s in scores.items() if s.interval and not s.failed]
    if not ranked:
        return ""
    best = max(ranked)[1]
    ten = c.hits(best, *school)
    assert ten.interval is not None
    within, sharp = text.percent(ten.interval.value), text.percent(max(ranked)[0])
    worst = f"on its worst seed ({scores[best].worst_seed}) {text.percent(scores[best].worst)} within 5 cm"
    return (
        f"From {text.school(*school)}, the sharpest is {best}: {within} of its throws land within 10 cm of "
        f"unseen targets and {sharp} within 5 cm; {worst}."
    )


def _intervals(
    c: Comparison, title: str, score: Callable[[str], Score], unit: str, scale: float = 1.0, **how: Any
) -> str:
    scores = {algo: score(algo) for algo in c.algos}
    return card(title, plots.intervals_figure(title, scores, unit, scale, **how))


def _learning(c: Comparison) -> list[str]:
    found = []
    for operator, demos in c.schools:
        people = [p for p in c.people if p["operator"] == operator]
        cards = []
        for figure, near in CENTIMETRES.items():
            own = sum(p[figure] for p in people) / max(len(people), 1)
            score = partial(c.hits, operator=operator, demos=demos, figure=figure)
            how: dict[str, Any] = {"reference": 100 * own, "ceiling": 100.0}
            cards.append(_intervals(c, f"Within {near}", score, "hits, %", 100.0, **how))
        words = READING + "Dotted: the demonstrators' own throws."
        found.append(section(text.school(operator, demos).capitalize(), words, grid("two", cards)))
    return found


def _speed(c: Comparison) -> str:
    if not c.schools:
        return ""
    school = c.schools[0]
    cards = [
        _intervals(c, "Env steps", lambda a: c.speed(a, *school, "env_steps_to_95"), "thousands", 1e-3),
        _intervals(c, "Wall", lambda a: c.speed(a, *school, "wall_to_95_s"), "s, on this machine"),
    ]
    words = f"Until 95 of 100 practice throws are within 10 cm, from the clone on: {text.school(*school)}."
    return section("How soon", escape(words), grid("two", cards))


def _transfers(c: Comparison) -> str:
    cards = []
    for operator, demos, world, start in c.transfers:
        if start == "old":
            continue
        for figure, near in CENTIMETRES.items():
            title = f"{world}, {start} start, within {near}"
            if len({t[:2] for t in c.transfers}) > 1:
                title += f" ({text.school(operator, demos)})"
            where: dict[str, Any] = {"operator": operator, "demos": demos, "world": world, "start": start}
            score = partial(c.ratio, figure=figure, **where)
            cards.append(_intervals(c, title, score, "learned / true", reference=1.0))
    words = (
        "Hits of a policy found for the frozen learned reward, over those of a fresh one found for the true "
        "reward, same seed, same world. At 1.00 the learned reward is as good to optimise as the true one."
    )
    return section("The frozen reward, optimised again", words, grid("two", cards))


def _rewards(c: Comparison) -> str:
    if not any(cell.stage == "reward" for cell in c.cells):
        return ""
    cards = []
    operator, demos = c.schools[0]
    for name, (figure, lower) in REWARD_FIGURES.items():
        score = partial(c.reward, operator=operator, demos=demos, figure=figure, lower_is_better=lower)
        unit = "0 same, 0.71 unrelated, 1 opposite" if lower else "correlation"
        cards.append(_intervals(c, name, score, unit, ceiling=1.0))
    words = f"The learned reward against the true one over throws of all kinds: {text.school(*c.schools[0])}."
    return section("How near the reward is", escape(words), grid("two", cards))


def _demonstrations(c: Comparison) -> str:
    operators = list(dict.fromkeys(o for o, _ in c.schools))
    cards = [
        card(a if len(operators) == 1 else f"{a}, {o}", plots.demos_figure(c, a, o))
        for o in operators
        for a in c.algos
    ]
    words = "Solid: within 10 cm; dashed: within 5 cm; thin: the others within 5 cm."
    return section("How many demonstrations it takes", words, grid("three", cards))


def _profiles(c: Comparison) -> str:
    cards = [card(algo, plots.profile_figure(c, algo)) for algo in c.algos]
    words = (
        "Share of runs, of all seeds and demonstrators together, that hit more than so many. Solid: within "
        "10 cm; dashed: within 5 cm; thin: the others within 5 cm."
    )
    return section("How sure it is", words, grid("three", cards))


def _tables(c: Comparison) -> str:
    """The Markdown tables, folded."""
    folds = []
    for part in (
        text.learning,
        text.sharpness,
        text.transfers,
        text.rewards,
        text.improvement,
        text.by_seed,
        text.failures,
    ):
        body = part(c)
        if body:
            title = body.splitlines()[0].lstrip("# ")
            shown = " open" if part is text.failures else ""
            folds.append(f"<details{shown}><summary>{escape(title)}</summary>{html_of(body)}</details>")
    command = f"<pre>{escape(c.title['command'])}</pre>" if c.title["command"] else ""
    return section("The numbers", escape(text.EXPLANATION), command, *folds)


def html_of(markdown: str) -> str:
    """The few forms our tables use, as HTML: headings, paragraphs, tables, `code`, *emphasis*."""
    found = []
    for block in markdown.split("\n\n")[1:]:
        lines = block.splitlines()
        if block.startswith("#"):
            found.append(f"<h3>{_inline(block.lstrip('# '))}</h3>")
        elif block.startswith("|"):
            rows = [
                [c.strip() for c in line.strip("|").split("|")]
                for line in lines
                if not line.startswith("| --")
            ]
            head, *body = (
                "<tr>" + "".join(f"<{tag}>{_inline(c)}</{tag}>" for c in row) + "</tr>"
                for tag, row in [("th", rows[0]), *(("td", r) for r in rows[1:])]
            )
            found.append(f'<div class="wide"><table>{head}{"".join(body)}</table></div>')
        else:
            found.append(f"<p>{_inline(block)}</p>")
    return "\n".join(found)


def _inline(words: str) -> str:
    words = re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(words))
    return re.sub(r"\*([^*]+)\*", r"<em>\1</em>", words)
