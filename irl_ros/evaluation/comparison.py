"""What a comparison has found: figures over seeds with intervals, the worst seed named, gaps told."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from irl_ros.evaluation.cells import DONE, FAILED, NO_REWARD, OPEN, Cell, Result
from irl_ros.evaluation.statistics import Interval, aggregate, probability_of_improvement

TRUE_REWARD = "true reward"
HITS = ("hit_10cm", "hit_5cm")
REWARD_FIGURES = {
    "Pearson, returns": ("pearson.return", False),
    "Pearson, steps": ("pearson.step", False),
    "Spearman, returns": ("spearman.return", False),
    "EPIC, steps": ("epic.step", True),
    "DARD, steps": ("dard.step", True),
    "STARC, steps": ("starc.step", True),
}
"""Title → (figure of `reward_recovery.recover`, lower is better)."""


@dataclass(frozen=True)
class Score:
    """A figure of the runs of a place in the table.

    Attributes:
        values: seed → figure; infinite for a run that never got there.
        failed: seeds whose run failed; they count as the worst, but in no mean.
        missing: seeds not made yet.
        lower_is_better: of the figure.
        note: why there is nothing to show, where there is a reason.
    """

    values: Mapping[int, float]
    failed: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()
    lower_is_better: bool = False
    note: str = ""

    @property
    def interval(self) -> Interval | None:
        """Interquartile mean with its interval; None without a run."""
        return aggregate([list(self.values.values())]) if self.values else None

    @property
    def worst_seed(self) -> int | None:
        """The seed that failed, or did worst; None without a run."""
        if self.failed:
            return self.failed[0]
        sign = -1 if self.lower_is_better else 1
        return min(self.values, key=lambda seed: sign * self.values[seed], default=None)

    @property
    def worst(self) -> float:
        """The figure of the worst seed; NaN where it failed or there is none."""
        return math.nan if self.failed or not self.values else self.values[self.worst_seed]  # type: ignore[index]

    @property
    def reached(self) -> int:
        """Runs with a finite figure."""
        return sum(math.isfinite(v) for v in self.values.values())

    def plain(self) -> dict[str, Any]:
        """As compare.json has it: infinite numbers are null there."""
        i = self.interval
        return {
            "iqm": i and i.value,
            "interval": i and [i.low, i.high],
            "worst_seed": self.worst_seed,
            "worst": self.worst,
            "runs": len(self.values),
            "failed_seeds": list(self.failed),
            "missing_seeds": list(self.missing),
            "by_seed": {str(k): v for k, v in self.values.items()},
        }


class Comparison:
    """The cells of a grid and their results.

    Args:
        cells: all, in order.
        people: how well the demonstrators threw, a line an operator and seed.
        title: facts for the head: what was asked for.
    """

    def __init__(
        self, cells: Sequence[Cell], people: Sequence[Mapping[str, Any]], title: Mapping[str, Any]
    ) -> None:
        self.cells, self.people, self.title = cells, people, title
        self.results: Mapping[Cell, Result] = {}

    def result(self, cell: Cell) -> Result:
        return self.results.get(cell) or Result(OPEN)

    # --- what there is ---

    @property
    def algos(self) -> list[str]:
        return list(dict.fromkeys(c.place.algo for c in self.cells if c.stage == "learn"))

    @property
    def schools(self) -> list[tuple[str, int]]:
        """(operator, number of demonstrations), in order."""
        places = [c.place for c in self.cells if c.stage == "learn"]
        found = dict.fromkeys((p.operator, p.demos or 0) for p in places)
        operators = list(dict.fromkeys(operator for operator, _ in found))
        return sorted(found, key=lambda s: (operators.index(s[0]), -s[1]))

    @property
    def transfers(self) -> list[tuple[str, int, str, str]]:
        """(operator, demonstrations, world, start) of transfers and of old policies in changed worlds."""
        found = dict.fromkeys(
            (c.place.operator, c.place.demos or 0, c.place.world, c.place.start)
            for c in self.cells
            if c.stage == "evaluate" and c.place.start and c.place.algo != TRUE_REWARD
        )
        worlds = list(dict.fromkeys(world for _, _, world, _ in found))
        order = ("old", "fresh", "warm")
        return sorted(found, key=lambda t: (self.schools.index(t[:2]), worlds.index(t[2]), order.index(t[3])))

    def failures(self) -> list[tuple[Cell, Result]]:
        return [(c, self.result(c)) for c in self.cells if self.result(c).status == FAILED]

    def sources(self) -> int:
        """How many states of the program the cells are of."""
        return len({r.source for r in self.results.values() if r.source})

    def done(self) -> int:
        return sum(self.result(c).status != OPEN for c in self.cells)

    # --- figures ---

    def score(
        self,
        stage: str,
        figure: str,
        algo: str,
        operator: str = "",
        demos: int | None = None,
        start: str = "",
        world: str | None = None,
        lower_is_better: bool = False,
    ) -> Score:
        """A figure over seeds; of a run that is done without one, infinitely bad: it never got there."""
        asked = (algo, operator, demos, start)
        never = math.inf if lower_is_better else -math.inf
        values: dict[int, float] = {}
        failed: list[int] = []
        missing: list[int] = []
        notes: list[str] = []
        for cell in self.cells:
            p = cell.place
            if cell.stage != stage or (p.algo, p.operator, p.demos, p.start) != asked:
                continue
            if world is not None and p.world != world:
                continue
            result = self.result(cell)
            if result.status == DONE:
                value = _at(result.figures or {}, figure)
                values[p.seed] = never if value is None else float(value)
            elif result.status == NO_REWARD:
                notes.append(NO_REWARD)
            else:
                (missing if result.status == OPEN else failed).append(p.seed)
        note = notes[0] if notes and not values else ""
        return Score(values, tuple(failed), tuple(missing), lower_is_better, note)

    def hits(self, algo: str, operator: str, demos: int, figure: str = "hit_10cm") -> Score:
        """Of the final policies."""
        return self.score("evaluate", figure, algo, operator, demos)

    def speed(self, algo: str, operator: str, demos: int, figure: str) -> Score:
        """How soon 95 % of practice throws hit: env_steps_to_95 or wall_to_95_s. A clone plays no rounds."""
        found = self.score("learn", figure, algo, operator, demos, lower_is_better=True)
        rounds = self.score("learn", "rounds", algo, operator, demos)
        if rounds.values and not any(rounds.values.values()):
            return Score({}, found.failed, found.missing, True, "no rounds")
        return found

    def reward(self, algo: str, operator: str, demos: int, figure: str, lower_is_better: bool) -> Score:
        """A figure of REWARD_FIGURES."""
        return self.score("reward", figure, algo, operator, demos, lower_is_better=lower_is_better)

    def transferred(
        self, algo: str, operator: str, demos: int, world: str, start: str, figure: str = "hit_10cm"
    ) -> Score:
        """Hits of the policy found for the frozen reward."""
        return self.score("evaluate", figure, algo, operator, demos, start, world)

    def yardstick(self, world: str, figure: str = "hit_10cm") -> Score:
        """Hits of a fresh policy found for the true reward."""
        return self.score("evaluate", figure, TRUE_REWARD, start="fresh", world=world)

    def ratio(
        self, algo: str, operator: str, demos: int, world: str, start: str, figure: str = "hit_10cm"
    ) -> Score:
        """Hits by the learned reward as a share of those by the true one, of the same seed and world."""
        learned = self.transferred(algo, operator, demos, world, start, figure)
        true = self.yardstick(world, figure).values
        values = {s: v / true[s] for s, v in learned.values.items() if true.get(s)}
        missing = tuple(s for s in learned.values if s not in true)
        note = learned.note or ("the true reward hits nothing" if not values and learned.values else "")
        return Score(values, learned.failed, learned.missing + missing, False, note)

    def improvement(self, algo: str, over: str, figure: str) -> Interval | None:
        """How likely a run of `algo` throws better than one of `over`, over all schools."""
        pairs = [
            (self.hits(algo, *s, figure).values, self.hits(over, *s, figure).values) for s in self.schools
        ]
        pairs = [(x, y) for x, y in pairs if x and y]
        if not pairs:
            return None
        return probability_of_improvement(
            [list(x.values()) for x, _ in pairs], [list(y.values()) for _, y in pairs]
        )

    # --- for machines ---

    def plain(self) -> dict[str, Any]:
        """What compare.json holds."""
        return {
            **self.title,
            "demonstrators": list(self.people),
            "tables": {
                "learning": self._learning(),
                "transfer": self._transfer(),
                "reward": self._rewards(),
                "improvement": self._improvement(),
            },
            "cells": [self._cell(c) for c in self.cells],
        }

    def _cell(self, cell: Cell) -> dict[str, Any]:
        r = self.result(cell)
        where = {"stage": cell.stage, **vars(cell.place), "status": r.status, "reason": r.reason}
        return {
            **where,
            "figures": r.figures,
            "seconds": r.seconds,
            "source": r.source,
            "run": str(cell.run),
            "key": cell.hash,
        }

    def _learning(self) -> list[dict[str, Any]]:
        return [
            {
                **_named(algo, operator, demos),
                **{figure: self.hits(algo, operator, demos, figure).plain() for figure in HITS},
                **{
                    f: self.speed(algo, operator, demos, f).plain()
                    for f in ("env_steps_to_95", "wall_to_95_s")
                },
            }
            for operator, demos in self.schools
            for algo in self.algos
        ]

    def _transfer(self) -> list[dict[str, Any]]:
        rows = []
        for operator, demos, world, start in self.transfers:
            for algo in self.algos:
                where = (algo, operator, demos, world, start)
                row: dict[str, Any] = {**_named(*where[:3]), "world": world, "start": start}
                row |= {f: self.transferred(*where, f).plain() for f in HITS}
                if start != "old":
                    row |= {f"ratio_{f.removeprefix('hit_')}": self.ratio(*where, f).plain() for f in HITS}
                rows.append(row)
        return rows

    def _rewards(self) -> list[dict[str, Any]]:
        return [
            {
                **_named(algo, operator, demos),
                **{
                    f: self.reward(algo, operator, demos, f, lower).plain()
                    for f, lower in REWARD_FIGURES.values()
                },
            }
            for operator, demos in self.schools
            for algo in self.algos
        ]

    def _improvement(self) -> list[dict[str, Any]]:
        return [
            {"algo": a, "over": b, "figure": figure, **(vars(i) if i else {"value": None})}
            for figure in HITS
            for a in self.algos
            for b in self.algos
            if a != b
            for i in [self.improvement(a, b, figure)]
        ]


def _named(algo: str, operator: str, demos: int) -> dict[str, Any]:
    return {"algo": algo, "operator": operator, "demos": demos}


def _at(figures: Mapping[str, Any], name: str) -> Any:
    """`figures` at a dotted name."""
    value: Any = figures
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
