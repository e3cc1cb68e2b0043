"""The tables of a comparison as Markdown, ready for a document."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from irl_ros.evaluation.cells import BLOCKED
from irl_ros.evaluation.comparison import HITS, REWARD_FIGURES, Comparison, Score

STARTS = {"old": "old policy, unchanged", "fresh": "fresh start", "warm": "warm start"}
EXPLANATION = (
    "Figures are interquartile means over seeds, with 95 % stratified bootstrap intervals in brackets and "
    "the worst seed behind. Of five seeds such an interval holds the truth about three times in four: read "
    "the worst seed."
)


def markdown(c: Comparison) -> str:
    """All tables."""
    parts = [
        head(c),
        learning(c),
        sharpness(c),
        transfers(c),
        rewards(c),
        improvement(c),
        by_seed(c),
        failures(c),
    ]
    return "\n\n".join(p for p in parts if p) + "\n"


def head(c: Comparison) -> str:
    t = c.title
    lines = [
        f"`{t['command']}`" if t["command"] else "",
        f"{t['machine']}, {t['date']}, irl_ros {t['irl_ros']}.",
    ]
    if c.done() < len(c.cells):
        lines.append(f"**Not finished: {c.done()} of {len(c.cells)} cells.**")
    if failed := c.failures():
        lines.append(f"**{len(failed)} cells failed** (the last table says why).")
    if c.sources() > 1:
        lines.append(
            f"Cells were made by {c.sources()} states of the source (compare.json tells which by which)."
        )
    lines += [f"`{variant}`." for variant in t["variants"]]
    return "\n\n".join([" ".join(x for x in lines if x), EXPLANATION])


def learning(c: Comparison) -> str:
    t = c.title
    columns = [
        "within 10 cm",
        "worst",
        "within 5 cm",
        "worst",
        "env steps to 95 %",
        "worst",
        "wall to 95 %",
        "worst",
    ]
    parts = [
        f"## Throws at unseen targets ({t['throws']}, {t['sim']})",
        "To 95 %: until 95 of 100 practice throws are within 10 cm, counted from the clone on.",
    ]
    for operator, demos in c.schools:
        rows = []
        for algo in c.algos:
            where = (algo, operator, demos)
            row = [algo]
            for figure in HITS:
                row += with_worst(c.hits(*where, figure), percent)
            for figure, text in (("env_steps_to_95", thousands), ("wall_to_95_s", seconds)):
                row += with_worst(c.speed(*where, figure), text)
            rows.append(row)
        people = [p for p in c.people if p["operator"] == operator]
        rates = ", ".join(f"{p['hit_10cm']:.0%} ({p['hit_5cm']:.0%})" for p in people)
        who = f"The demonstrators themselves, within 10 cm (5 cm): {rates}."
        parts += [f"### {school(operator, demos)}", grid(["", *columns], rows), who]
    return "\n\n".join(parts)


def sharpness(c: Comparison) -> str:
    """How far from the target, and whether joints stayed inside their limits."""
    columns = [
        "median miss",
        "worst",
        "95 % of throws within",
        "worst",
        "limits left, steps",
        "torque clipped",
    ]
    parts = [f"## Misses and limits ({c.title['throws']} throws, {c.title['sim']})"]
    for operator, demos in c.schools:
        rows = []
        for algo in c.algos:
            where = (algo, operator, demos)
            row = [algo]
            for figure in ("median_error_m", "p95_error_m"):
                row += with_worst(c.score("evaluate", figure, *where, lower_is_better=True), centimetres)
            left = c.score("evaluate", "limit_violations", *where).values.values()
            clipped = c.score("evaluate", "torque_saturation", *where).values.values()
            row.append(f"{sum(left):.0f}" if left else "–")
            known = [v for v in clipped if math.isfinite(v)]
            rows.append([*row, f"{sum(known) / len(known):.2%}" if known else "–"])
        parts += [f"### {school(operator, demos)}", grid(["", *columns], rows)]
    return "\n\n".join(parts)


def transfers(c: Comparison) -> str:
    """What the frozen rewards lead to, as a share of what the true one leads to."""
    if not c.transfers:
        return ""
    parts = [
        "## The frozen reward, optimised again",
        "Ratio: hits of the policy found for the learned reward over those of a fresh one found for the true "
        f"reward, same seed, same world ({c.title['throws']} throws, batched world).",
    ]
    hits = ["within 10 cm", "worst", "within 5 cm", "worst"]
    for operator, demos, world, start in c.transfers:
        again = start != "old"  # an old policy was not made for the reward
        rows = []
        for algo in c.algos:
            where = (algo, operator, demos, world, start)
            row = [algo]
            for figure in HITS if again else ():
                row += with_worst(c.ratio(*where, figure), share)
            for figure in HITS:
                row += with_worst(c.transferred(*where, figure), percent)
            rows.append(row)
        row = ["*true reward, fresh*", *[""] * (4 * again)]
        for figure in HITS:
            row += with_worst(c.yardstick(world, figure), percent)
        head = ["", *(["ratio @10 cm", "worst", "ratio @5 cm", "worst"] if again else []), *hits]
        parts += [f"### World {world}, {STARTS[start]}: {school(operator, demos)}", grid(head, [*rows, row])]
    return "\n\n".join(parts)


def rewards(c: Comparison) -> str:
    """How near the learned reward is to the true one."""
    if not any(cell.stage == "reward" for cell in c.cells):
        return ""
    parts = [
        "## The learned reward against the true one",
        "Over throws of all kinds (`irl-ros reward`). Correlations: 1 is best. Distances: 0 is best.",
    ]
    head = ["", *(column for name in REWARD_FIGURES for column in (name, "worst"))]
    for operator, demos in c.schools:
        rows = []
        for algo in c.algos:
            scores = [c.reward(algo, operator, demos, *how) for how in REWARD_FIGURES.values()]
            rows.append([algo, *(cell for score in scores for cell in with_worst(score, fine))])
        parts += [f"### {school(operator, demos)}", grid(head, rows)]
    return "\n\n".join(parts)


def improvement(c: Comparison) -> str:
    """How likely the algorithm of the row throws better than that of the column."""
    if len(c.algos) < 2:
        return ""
    rows = []
    for a in c.algos:
        cells = [c.improvement(a, b, "hit_5cm") if a != b else None for b in c.algos]
        rows.append([a, *(f"{i.value:.2f} [{i.low:.2f}, {i.high:.2f}]" if i else "–" for i in cells)])
    text = (
        "Probability that a run of the row hits more within 5 cm than one of the column, over all operators."
    )
    return f"## Who beats whom\n\n{text}\n\n{grid(['', *c.algos], rows)}"


def by_seed(c: Comparison) -> str:
    """Every seed, within 10 cm (5 cm)."""
    seeds = sorted({cell.place.seed for cell in c.cells})
    rows = []
    for operator, demos in c.schools:
        for algo in c.algos:
            ten, five = (c.hits(algo, operator, demos, f) for f in HITS)
            rows.append([school(operator, demos), algo, "final policy", *_seeds(ten, five, seeds)])
    for operator, demos, world, start in c.transfers:
        for algo in c.algos:
            ten, five = (c.transferred(algo, operator, demos, world, start, f) for f in HITS)
            rows.append([school(operator, demos), algo, f"{world}, {start}", *_seeds(ten, five, seeds)])
    for world in dict.fromkeys(w for _, _, w, _ in c.transfers):
        ten, five = (c.yardstick(world, f) for f in HITS)
        rows.append(["", "*true reward*", f"{world}, fresh", *_seeds(ten, five, seeds)])
    head = ["", "", "", *(f"seed {s}" for s in seeds)]
    return f"## Every seed: hits within 10 cm (5 cm), %\n\n{grid(head, rows)}"


def _seeds(ten: Score, five: Score, seeds: Sequence[int]) -> list[str]:
    def one(seed: int) -> str:
        if seed in ten.values:
            return f"{100 * ten.values[seed]:.1f} ({100 * five.values[seed]:.1f})"
        return "failed" if seed in ten.failed else ten.note or ("open" if seed in ten.missing else "–")

    return [one(s) for s in seeds]


def failures(c: Comparison) -> str:
    """Cells that failed, and why."""
    failed = c.failures()
    if not failed:
        return ""
    rows = [[cell.name, result.reason.replace("|", "/")] for cell, result in failed]
    blocked = sum(c.result(cell).status == BLOCKED for cell in c.cells)
    more = f" {blocked} cells that need them were not made." if blocked else ""
    return f"## Failed\n\nMade again with `--retry`.{more}\n\n{grid(['cell', 'reason'], rows, left=True)}"


# --- cells of a table ---


def school(operator: str, demos: int) -> str:
    """ "20 demonstrations, tired"."""
    whose = "from bags" if operator == "bags" else f"operator {operator}"
    return f"{demos} demonstration{'s' * (demos != 1)}, {whose}"


def with_worst(score: Score, text: Callable[[float], str]) -> list[str]:
    """A score as two table cells: interquartile mean [interval], and the worst seed by name."""
    i = score.interval
    if i is None:
        if score.failed:
            return ["failed", f"seed {score.failed[0]}: failed"]
        return [score.note or ("open" if score.missing else "–"), ""]
    body = text(i.value)
    if i.low < i.high:
        body += f" [{text(i.low)}, {text(i.high)}]"
    if score.lower_is_better and score.reached < len(score.values):
        body += f" ({score.reached}/{len(score.values)} get there)"
    if score.failed:
        body += f" ({len(score.failed)} failed)"
    if score.missing:
        body += f" ({len(score.missing)} open)"
    worst = "failed" if math.isnan(score.worst) else text(score.worst)
    return [body, f"seed {score.worst_seed}: {worst}"]


def grid(head: Sequence[str], rows: Sequence[Sequence[str]], left: bool = False) -> str:
    """A Markdown table, columns aligned in the source too."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [
        [cell.ljust(w) if left or i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))]
        for row in [head, *rows]
    ]
    rule = ["-" * max(w, 3) if left or i == 0 else "-" * (max(w, 3) - 1) + ":" for i, w in enumerate(widths)]
    lines.insert(1, rule)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def share(value: float) -> str:
    return f"{value:.2f}"


def centimetres(value: float) -> str:
    return f"{100 * value:.1f} cm" if math.isfinite(value) else "not landed"


def fine(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "undefined"


def thousands(value: float) -> str:
    return f"{value / 1000:.0f}k" if math.isfinite(value) else "never"


def seconds(value: float) -> str:
    return f"{value:.0f} s" if math.isfinite(value) else "never"
