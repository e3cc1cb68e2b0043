"""The table of a bench: returns of expert, random actions and every algorithm, beside published ones."""

from __future__ import annotations

import math
from typing import Any

from irl_ros.irl.algorithms import ALGORITHMS

PUBLISHED: dict[str, dict[str, Any]] = {
    "Pendulum-v1": {
        "expert": -179.6,
        "random": -654.5,
        "airl": {"state": -221.5, "state-action": -204.7},
        "gail": -226.0,
        "gan_gcl": -261.5,
    }
}
"""Fu, Luo & Levine 2018, Table 2: means of 5 runs from 50 demonstrations; AIRL's by `reward.inputs`."""
NOTES = {
    "Pendulum-v1": "published: Fu, Luo & Levine 2018 on Pendulum-v0, 50 demonstrations, exploring policies;\n"
    "AIRL's with the same inputs of g as here (g(s) -221.5, g(s, a) -204.7). Their code plays episodes\n"
    "of 100 steps (--horizon 100 here), the environment's own have 200."
}
COLUMNS = ("", "return", "worst", "of expert", "fresh policy", "worst", "env steps", "published")
WIDTHS = (14, 18, 9, 10, 18, 9, 11, 10)


def bench_rows(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a policy, from what `bench` returns.

    Keys of a row: name; mean, error (standard error over seeds, None for one seed) and worst of the true
    return; share of the way from random to expert; fresh_mean, fresh_error and fresh_worst of a fresh policy
    on the frozen reward; env_steps; failed, how many seeds have diverged and are in no other figure;
    published. None where there is nothing to say.
    """
    inputs = figures["settings"].get("reward", {}).get("inputs", "state")
    known = {
        name: value[inputs] if isinstance(value, dict) else value
        for name, value in PUBLISHED.get(figures["env"], {}).items()
    }
    rows = [_row(name, [figures[name]], known) for name in ("expert", "demonstrations", "random")]
    for algo in dict.fromkeys(c["algo"] for c in figures["cells"]):
        cells = [c for c in figures["cells"] if c["algo"] == algo]
        row = _row(algo, [c["return"] for c in cells if c["return"] is not None], known)
        row["failed"] = sum(c["return"] is None for c in cells)
        fresh = _row("", [c["fresh_return"] for c in cells if c["fresh_return"] is not None], {})
        row |= {f"fresh_{key}": fresh[key] for key in ("mean", "error", "worst")}
        row["env_steps"] = max((c["env_steps"] or 0 for c in cells), default=None)
        rows.append(row)
    span = figures["expert"] - figures["random"]
    for row in rows:
        row["share"] = (row["mean"] - figures["random"]) / span if span and row["mean"] is not None else None
    return rows


def bench_table(figures: dict[str, Any]) -> str:
    """The rows for a terminal."""
    rows = bench_rows(figures)
    head = (
        f"{figures['env']}, {figures['horizon']} steps, {figures['demos']} demonstrations,"
        f" seeds 0 to {figures['seeds'] - 1}: true return of every policy's mode over"
        f" {figures['episodes']} episodes"
    )
    lines = [head, _line(COLUMNS)]
    for row in rows:
        published = row["published"]
        lines.append(
            _line(
                (
                    row["name"],
                    _plus_minus(row["mean"], row["error"]),
                    _worst(row),
                    "" if row["share"] is None else f"{row['share']:.1%}",
                    _plus_minus(row.get("fresh_mean"), row.get("fresh_error")),
                    _number(row.get("fresh_worst")),
                    f"{row['env_steps']:,}" if row.get("env_steps") else "",
                    _number(published),
                )
            )
        )
    lines.append("fresh policy: untrained, on the frozen learned reward. ±: standard error over seeds.")
    if figures["env"] in NOTES:
        lines.append(NOTES[figures["env"]])
    return "\n".join(lines)


def _row(name: str, returns: list[float], published: dict[str, float]) -> dict[str, Any]:
    count = len(returns)
    mean = sum(returns) / count if count else None
    error = None
    if mean is not None and count > 1:
        error = math.sqrt(sum((x - mean) ** 2 for x in returns) / (count - 1) / count)
    worst = min(returns) if count else None
    return {"name": name, "mean": mean, "error": error, "worst": worst, "published": published.get(name)}


def _line(words: tuple[str, ...]) -> str:
    others = "".join(f"{word:>{width}}" for word, width in zip(words[1:], WIDTHS[1:]))
    return f"{words[0]:<{WIDTHS[0]}}{others}".rstrip()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _worst(row: dict[str, Any]) -> str:
    if row.get("failed"):
        return f"{row['failed']} failed"
    return _number(row["worst"]) if row["name"] in ALGORITHMS else ""


def _plus_minus(mean: float | None, error: float | None) -> str:
    if mean is None:
        return ""
    return f"{mean:.1f}" if error is None else f"{mean:.1f} ± {error:.1f}"
