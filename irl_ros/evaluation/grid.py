"""What is to be compared: algorithms, seeds, demonstrations, worlds; checked before anything is made."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from irl_ros import __version__
from irl_ros.demos.demonstrations import Demonstrations, load_demonstrations
from irl_ros.demos.faults import load_operator
from irl_ros.demos.operator import demonstrate
from irl_ros.demos.throws_bag import write_throws
from irl_ros.errors import InputError, unknown_name
from irl_ros.evaluation.cells import Cell, Place
from irl_ros.irl.algorithms import ALGORITHMS, GAMES
from irl_ros.irl.learn import LearnSettings, check_sim
from irl_ros.irl.run_directory import as_paths
from irl_ros.irl.transfer import TransferSettings
from irl_ros.settings import as_dict, build, override
from irl_ros.sim import World, load_world

RECORDED = "bags"
"""What demonstrations from bags are called beside those of synthetic operators."""


@dataclass(frozen=True)
class Contender:
    """A row of the tables.

    Attributes:
        name: of the row.
        algo: which algorithm.
        seeds: how many.
        settings: all that make a difference to it.
        overrides: `key=value` from the defaults to those.
    """

    name: str
    algo: str
    seeds: int
    settings: Mapping[str, Any]
    overrides: Sequence[str]


@dataclass(frozen=True)
class Grid:
    """What is compared. Checked when made.

    Attributes:
        algos: names of ALGORITHMS, each with an optional ":N" for another number of seeds.
        variants: further rows, "NAME=ALGO KEY=VALUE …": an algorithm with other settings.
        paths: bags; none: synthetic operators demonstrate.
        seeds: how many, from 0 on. With bags they are seeds of learning; a synthetic operator is another
            person with another habit and other targets for each.
        demos: how many demonstrations are learned from; empty: all that the bags hold, or 20. Of bags, each
            seed draws its own; of synthetic ones they are the first.
        operators: presets of config/operators.yaml; empty: "default".
        world: where is learned.
        transfer_worlds: where the frozen reward is optimised again, beside `world`; ["none"]: nowhere.
        starts: of those: "fresh", "warm".
        transfer_demos: numbers of demonstrations whose rewards are optimised again; empty: the largest.
        throws: of an evaluation.
        sim: where final policies are evaluated: "pybullet" or "batch". All else is in the batched world.
        device: where is learned.
        overrides, transfer_overrides: settings of learning and of transfer, `key=value`.
        contenders: the rows, by name.

    Raises:
        InputError: something is unknown or contradictory.
    """

    algos: Sequence[str] = ALGORITHMS
    variants: Sequence[str] = ()
    paths: Sequence[str | Path] = ()
    seeds: int = 5
    demos: Sequence[int] = ()
    operators: Sequence[str] = ()
    world: str = "default"
    transfer_worlds: Sequence[str] = ()
    starts: Sequence[str] = ("fresh", "warm")
    transfer_demos: Sequence[int] = ()
    throws: int = 1000
    sim: str = "pybullet"
    device: str = "auto"
    overrides: Sequence[str] = ()
    transfer_overrides: Sequence[str] = ()
    contenders: Mapping[str, Contender] = field(init=False)

    def __post_init__(self) -> None:
        rows = [self._contender("--algos", text.partition(":")[0], text) for text in self.algos]
        for text in self.variants:
            name, equals, what = text.partition("=")
            if not equals or not what.split() or not re.fullmatch(r"[\w.+-]+", name):
                cure = "for example --variant 'logit=airl airl.policy_reward=logit'"
                raise InputError("--variant", f"'{text}' is not NAME=ALGO KEY=VALUE …", cure)
            rows.append(self._contender("--variant", name, *what.split()))
        if len({row.name for row in rows}) < len(rows):
            raise InputError("--algos and --variant", "two rows have one name")
        object.__setattr__(self, "contenders", {row.name: row for row in rows})
        for option, values in (
            ("--demos", self.demos),
            ("--operators", self.operators),
            ("--transfer-worlds", self.transfer_worlds),
            ("--starts", self.starts),
        ):
            if len(set(values)) < len(values):
                raise InputError(option, f"names one twice: {', '.join(map(str, values))}")
        if self.paths and self.operators:
            raise InputError(
                "--operators", "are for demonstrations made here, and bags were given", "drop one"
            )
        for start in self.starts:
            if start not in ("fresh", "warm"):
                raise InputError("--starts", *unknown_name("start", start, ("fresh", "warm")))
        for k in self.transfer_demos:
            if self.demos and k not in self.demos:
                raise InputError("--transfer-demos", f"{k} is not among --demos")
        check_sim(self.sim)
        for name in self.people:
            if name != RECORDED:
                load_operator(name)
        _ = self.places, self.transfer_settings

    def _contender(self, where: str, name: str, what: str, *overrides: str) -> Contender:
        algo, colon, count = what.partition(":")
        if algo not in ALGORITHMS:
            raise InputError(where, *unknown_name("algorithm", algo, ALGORITHMS))
        if colon and not (count.isascii() and count.isdigit() and int(count) > 0):
            raise InputError(where, f"'{what}': expected a number of seeds after the colon")
        changed = [*self.overrides, *overrides]
        settings = as_dict(build(LearnSettings, override({}, changed), where if overrides else "--set"))
        own = {k: v for k, v in settings.items() if k not in GAMES or k == algo}
        return Contender(name, algo, int(count) if colon else self.seeds, own, changed)

    @property
    def seeds_at_most(self) -> int:
        """Of the contender with the most."""
        return max(c.seeds for c in self.contenders.values())

    @property
    def people(self) -> Sequence[str]:
        """Whose demonstrations."""
        return [RECORDED] if self.paths else (self.operators or ["default"])

    @cached_property
    def places(self) -> dict[str, World]:
        """Worlds by the name or path they were given as; the first is where is learned."""
        names = [self.world, *(w for w in self.transfer_worlds if w != "none")]
        found = {name: load_world(name) for name in names}
        if len({w.name for w in found.values()}) < len(found):
            raise InputError("--transfer-worlds", "two worlds have one name", "rename a YAML")
        return found

    @cached_property
    def transfer_settings(self) -> dict[str, Any]:
        return as_dict(build(TransferSettings, override({}, list(self.transfer_overrides)), "--transfer-set"))


@dataclass(frozen=True)
class Source:
    """Demonstrations of one person, all there are.

    Attributes:
        operator: who; RECORDED for bags.
        paths: the bags.
        demonstrations: what they hold.
    """

    operator: str
    paths: list[str]
    demonstrations: Demonstrations

    def choose(self, count: int, seed: int) -> tuple[list[str], Demonstrations]:
        """Paths and content of `count` of them; of bags each seed draws its own, more hold those of fewer."""
        d = self.demonstrations
        if count == len(d):
            return self.paths, d
        order = torch.randperm(len(d), generator=torch.Generator().manual_seed(seed)).tolist()
        chosen = sorted(order[:count]) if self.operator == RECORDED else list(range(count))
        return [d.sources[i] for i in chosen], d.select(chosen)


# --- demonstrations ---


def sources_of(grid: Grid, out: Path) -> dict[tuple[str, int], Source]:
    """(operator, seed) → demonstrations."""
    world, seeds = grid.places[grid.world], grid.seeds_at_most
    if grid.paths:
        paths = as_paths(grid.paths)
        demonstrations = load_demonstrations(paths, world)
        if max(grid.demos, default=0) > len(demonstrations):
            raise InputError(
                "--demos", f"{max(grid.demos)} are not there: the bags hold {len(demonstrations)}"
            )
        return {(RECORDED, s): Source(RECORDED, paths, demonstrations) for s in range(seeds)}
    count = max(grid.demos, default=20)
    return {(p, s): _synthetic(p, s, count, world, out / "demos") for s in range(seeds) for p in grid.people}


def _synthetic(operator: str, seed: int, count: int, world: World, folder: Path) -> Source:
    person = load_operator(operator)
    key = {
        "operator": as_dict(person),
        "world": world.sha256,
        "episodes": count,
        "seed": seed,
        "version": __version__,
    }
    place = Place(operator, operator, count, seed, world.name)
    path = Cell("demos", place, key, folder, {}).file.with_suffix("")
    if not path.is_dir():
        growing = path.with_suffix(".new")
        shutil.rmtree(growing, ignore_errors=True)
        try:
            write_throws(growing, world, demonstrate(world, person, count, seed))
        except OSError as error:
            raise InputError(
                folder, f"cannot be written ({error.strerror})", "choose another --out"
            ) from None
        growing.rename(path)
    return Source(operator, [str(path)], load_demonstrations(path, world))
