"""`irl-ros compare`: algorithms on the same demonstrations, side by side, over several seeds."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import irl_ros
from irl_ros import __version__
from irl_ros.errors import InputError
from irl_ros.evaluation.cell_runner import CellRunner
from irl_ros.evaluation.cells import Cell, Place, Result, finite
from irl_ros.evaluation.comparison import TRUE_REWARD, Comparison
from irl_ros.evaluation.comparison_page import comparison_page
from irl_ros.evaluation.comparison_text import markdown
from irl_ros.evaluation.evaluate import EVALUATION_SEED, figures_of
from irl_ros.evaluation.grid import RECORDED, Grid, Source, sources_of
from irl_ros.irl.run_directory import choose_device

REWARD_THROWS = 600
"""Throws over which the learned reward is compared with the true one."""
REFRESH = 300.0
"""Seconds between two writings of the tables while cells are being made."""


def compare(grid: Grid, out: str | Path, jobs: int = 1, retry: bool = False, command: str = "") -> Comparison:
    """Make the cells of `grid` that are not in `out` yet and write compare.json, compare.md, compare.html.

    Args:
        grid: what is compared.
        out: folder that keeps everything; several grids may share it, and cells they have in common.
        jobs: cells made at a time, each on one thread.
        retry: make cells again that failed before.
        command: quoted in the tables.

    Returns:
        What was found.

    Raises:
        InputError: the grid does not fit the bags, or `out` cannot be written.
        KeyboardInterrupt: stopped; the tables show what is there, the same call goes on.
    """
    out = Path(out)
    if out.is_file():
        raise InputError(out, "is a file", "choose another --out")
    sources = sources_of(grid, out)
    cells = Plan(grid, out, sources).cells
    comparison = Comparison(cells, _people(sources), _title(grid, jobs, command))
    print(f"{len(cells)} cells in {out}: {', '.join(grid.contenders)}", flush=True)
    written = time.monotonic()

    def after(cell: Cell, result: Result) -> None:
        nonlocal written
        if time.monotonic() - written > REFRESH:
            write(comparison, out)
            written = time.monotonic()

    runner = CellRunner(cells, jobs, retry, after, comparison.title["source"])
    comparison.results = runner.results
    try:
        runner.run()
    finally:
        write(comparison, out)
    return comparison


def write(comparison: Comparison, out: Path) -> None:
    """Leave compare.json, compare.md and compare.html in `out`, each whole or as it was."""
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("compare.json", json.dumps(finite(comparison.plain()), indent=1, allow_nan=False) + "\n"),
        ("compare.md", markdown(comparison)),
        ("compare.html", comparison_page(comparison)),
    ):
        part = out / f"{name}.part"
        part.write_text(text)
        os.replace(part, out / name)


def _title(grid: Grid, jobs: int, command: str) -> dict[str, Any]:
    return {
        "irl_ros": __version__,
        "command": command,
        "date": str(datetime.date.today()),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {jobs} cell{'s' * (jobs != 1)} at a time",
        "throws": grid.throws,
        "sim": grid.sim,
        "world": grid.places[grid.world].name,
        "variants": list(grid.variants),
        "source": source_sha256(),
    }


def source_sha256() -> str:
    """Of the package's Python files: the version says the same of a working copy from morning to night."""
    root = Path(irl_ros.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()


def _people(sources: Mapping[tuple[str, int], Source]) -> list[dict[str, Any]]:
    """How well the demonstrators threw: a line an operator and seed."""
    return [
        {"operator": operator, "seed": seed, **figures_of(source.demonstrations.throws.outcome)}
        for (operator, seed), source in sources.items()
        if operator != RECORDED or seed == 0
    ]


# --- cells ---


class Plan:
    """The cells of a grid, in the order they are made: seed by seed, so that a table that is stopped is whole
    for fewer seeds.
    """

    def __init__(self, grid: Grid, out: Path, sources: Mapping[tuple[str, int], Source]) -> None:
        self.grid, self.folder, self.cells = grid, out / "cells", list[Cell]()
        self.device = choose_device(grid.device).type
        self.world = grid.places[grid.world]
        counts = sorted(grid.demos, reverse=True) or [len(next(iter(sources.values())).demonstrations)]
        again = grid.transfer_demos or counts[:1]
        if unknown := sorted(set(again) - set(counts)):
            problem = f"{unknown[0]} is not among the numbers learned from: {', '.join(map(str, counts))}"
            raise InputError("--transfer-demos", problem)
        for seed in range(grid.seeds_at_most):
            algos = [name for name, c in grid.contenders.items() if seed < c.seeds]
            for operator in grid.people:
                source = sources[operator, seed]
                learned = {(a, k): self._learned(a, source, k, seed) for k in counts for a in algos}
                if "none" in grid.transfer_worlds:
                    continue
                yardsticks = self._yardsticks(seed, next(iter(learned.values())))
                for (algo, k), cell in learned.items():
                    if k in again:
                        self._transfers(cell, algo, seed, yardsticks)

    def _learned(self, name: str, source: Source, count: int, seed: int) -> Cell:
        contender = self.grid.contenders[name]
        paths, demonstrations = source.choose(count, seed)
        key = {
            "algo": contender.algo,
            "settings": contender.settings,
            "demos": demonstrations.sha256,
            "seed": seed,
            "world": self.world.sha256,
        }
        how: dict[str, Any] = {
            "paths": paths,
            "algo": contender.algo,
            "world": self.grid.world,
            "device": self.grid.device,
        }
        how |= {"seed": seed, "overrides": list(contender.overrides)}
        place = Place(name, source.operator, count, seed, self.world.name)
        cell = self._add("learn", place, key | {"device": self.device}, how)
        self._evaluation(cell, place, self.grid.world, self.grid.sim)
        about = {"run": cell.hash, "throws": REWARD_THROWS, "seed": EVALUATION_SEED}
        self._add("reward", place, about, {"throws": REWARD_THROWS}, (cell,), cell, needs_reward=True)
        return cell

    def _yardsticks(self, seed: int, learned: Cell) -> dict[str, Cell]:
        """What the true reward leads to in each world: one for all algorithms of a seed."""
        found = {}
        for name, world in self.grid.places.items():
            place = Place(TRUE_REWARD, "", None, seed, world.name, "fresh")
            known = next((c for c in self.cells if c.stage == "transfer" and c.place == place), None)
            at_home = world.settings.start == "home"
            found[name] = known or self._transfer(place, None if at_home else learned, "true", name)
        return found

    def _transfers(self, learned: Cell, algo: str, seed: int, yardsticks: Mapping[str, Cell]) -> None:
        p = learned.place
        for name in yardsticks:
            world = self.grid.places[name]
            same_robot = world.robot.sha256 == self.world.robot.sha256
            if name != self.grid.world and same_robot:
                old = Place(algo, p.operator, p.demos, seed, world.name, "old")
                self._evaluation(learned, old, name, "batch")
            for start in self.grid.starts:
                if start == "fresh" or same_robot:
                    place = Place(algo, p.operator, p.demos, seed, world.name, start)
                    self._transfer(place, learned, "learned", name)

    def _transfer(self, place: Place, source: Cell | None, reward: str, world: str) -> Cell:
        key = {
            "reward": reward,
            "start": place.start,
            "from": None if source is None else source.hash,
            "settings": self.grid.transfer_settings,
            "seed": place.seed,
            "world": self.grid.places[world].sha256,
        }
        how: dict[str, Any] = {
            "source": None if source is None else source.run,
            "world": world,
            "reward": reward,
        }
        how |= {"start": place.start, "seed": place.seed, "device": self.grid.device}
        how |= {"overrides": list(self.grid.transfer_overrides)}
        needs = () if source is None else (source,)
        key["device"] = self.device
        cell = self._add("transfer", place, key, how, needs, needs_reward=reward == "learned")
        self._evaluation(cell, place, world, "batch")
        return cell

    def _evaluation(self, of: Cell, place: Place, world: str, sim: str) -> None:
        throws = self.grid.throws
        key: dict[str, Any] = {
            "run": of.hash,
            "world": self.grid.places[world].sha256,
            "throws": throws,
            "sim": sim,
        }
        how: dict[str, Any] = {"world": world, "throws": throws, "sim": sim}
        self._add("evaluate", place, key | {"seed": EVALUATION_SEED}, how, (of,), of)

    def _add(
        self,
        stage: str,
        place: Place,
        key: dict[str, Any],
        how: dict[str, Any],
        needs: tuple[Cell, ...] = (),
        run_of: Cell | None = None,
        needs_reward: bool = False,
    ) -> Cell:
        whole = {"stage": stage, **key, "version": __version__}
        cell = Cell(stage, place, whole, self.folder, how, needs, run_of, needs_reward)
        self.cells.append(cell)
        return cell
