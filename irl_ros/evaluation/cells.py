"""Cells of a comparison: one learning, evaluation, transfer or reward measurement each, made once and kept.

A cell is a JSON file beside the RUN it speaks of. Its name ends in a hash of everything that determines it,
so that a changed setting, demonstration, world or version makes another cell and never passes for this one.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from irl_ros.evaluation.evaluate import evaluate
from irl_ros.evaluation.reward_recovery import recover
from irl_ros.irl.learn import learn
from irl_ros.irl.run_directory import read_metrics
from irl_ros.irl.transfer import transfer
from irl_ros.rl.policy import load_policy

DONE, FAILED, BLOCKED, NO_REWARD, OPEN = "done", "failed", "blocked", "no reward", "not made yet"
REACHED = 0.95
"""Share of practice throws within 10 cm at which a run has got there."""


@dataclass(frozen=True)
class Place:
    """Where in the table a cell belongs.

    Attributes:
        algo: which contender.
        operator: whose demonstrations.
        demos: how many of them; None where that plays no part.
        seed: of the run.
        world: where it throws.
        start: of a transfer: "fresh" or "warm"; "old" is the old policy, unchanged; "" otherwise.
    """

    algo: str
    operator: str
    demos: int | None
    seed: int
    world: str
    start: str = ""


@dataclass(frozen=True)
class Result:
    """What came of a cell.

    Attributes:
        status: one of the words above.
        reason: why it failed or is blocked, one line.
        figures: of a done cell.
        seconds: it took, cut short or not.
        source: sha256 of the program that made it.
    """

    status: str
    reason: str = ""
    figures: dict[str, Any] | None = None
    seconds: float = 0.0
    source: str = ""


@dataclass(frozen=True, eq=False)
class Cell:
    """One thing to make.

    Attributes:
        stage: what kind: see STAGES.
        place: where in the table.
        key: everything that determines it, plain values.
        folder: that keeps it.
        how: what its stage's function is told.
        needs: cells to be made before it.
        run_of: the cell whose RUN it works on; None: it makes its own.
        needs_reward: it is about the reward that its one need has learned, if that learns one.
    """

    stage: str
    place: Place
    key: dict[str, Any]
    folder: Path
    how: dict[str, Any]
    needs: tuple[Cell, ...] = ()
    run_of: Cell | None = None
    needs_reward: bool = False

    @property
    def hash(self) -> str:
        """Of the key."""
        return hashlib.sha256(json.dumps(self.key, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def name(self) -> str:
        """For people and folders: what and where."""
        p = self.place
        words = [self.stage, p.algo, p.operator, "" if p.demos is None else str(p.demos), f"seed{p.seed}"]
        if self.stage not in ("learn", "reward"):
            words += [p.world, p.start]
        return "-".join(w.replace(" ", "_") for w in words if w)

    @property
    def file(self) -> Path:
        """Its JSON."""
        return self.folder / f"{self.name}-{self.hash}.json"

    @property
    def run(self) -> Path:
        """The RUN that this cell makes, or that it works on."""
        return self.file.with_suffix("") if self.run_of is None else self.run_of.run

    def result(self) -> Result | None:
        """What is on disk; None where it has not been made, or is of another key."""
        try:
            kept = json.loads(self.file.read_text())
            if kept["key"] == json.loads(json.dumps(self.key)):
                return Result(**{name: kept[name] for name in Result.__dataclass_fields__})
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return None

    def keep(self, result: Result) -> None:
        """Write the JSON, whole or not at all."""
        content = {
            "stage": self.stage,
            "place": vars(self.place),
            **vars(result),
            "figures": finite(result.figures),
            "key": self.key,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.file.with_name(self.file.name + f".{os.getpid()}.part")
        part.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
        os.replace(part, self.file)

    def forget(self) -> None:
        """Remove what was made, so that it is made again from the beginning."""
        self.file.unlink(missing_ok=True)
        if self.run_of is None:
            shutil.rmtree(self.run, ignore_errors=True)

    def make(self) -> dict[str, Any]:
        """Do the work, going on where a kill left it; returns the figures.

        Raises:
            FloatingPointError: learning has diverged.
        """
        return STAGES[self.stage](self.run, **self.how)


def finite(value: Any) -> Any:
    """The same with None in place of numbers that JSON does not know."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- the work of each stage: (run, **how) → figures ---


def _learn(run: Path, **how: Any) -> dict[str, Any]:
    learn(out=run, resume=_begun(run), **how)
    return {**_pace(run), "reward": (run / "reward.yaml").is_file()}


def _transfer(run: Path, source: Path | None, **how: Any) -> dict[str, Any]:
    transfer(source, out=run, resume=_begun(run), **how)
    return _pace(run)


def _begun(run: Path) -> bool:
    """Whether there is something to resume; what a kill left before there was is swept away."""
    if (run / "run.yaml").is_file():
        return True
    shutil.rmtree(run, ignore_errors=True)
    return False


def _pace(run: Path) -> dict[str, Any]:
    """Rounds, env steps and seconds of a run, in all and until practice hits were at REACHED.

    A clone plays no rounds and is not practised: its steps are 0, and it has reached nothing on the way.
    """
    if not all(bool(torch.isfinite(p).all()) for p in load_policy(run).parameters()):
        raise FloatingPointError("the policy holds numbers that are not finite: learning has diverged")
    metrics = read_metrics(run)
    last = metrics[-1] if metrics else {"iteration": 0, "env_steps": 0, "wall_s": 0.0}
    there = next((m for m in metrics if m.get("hit_10cm", 0.0) >= REACHED), None)
    return {
        "rounds": last["iteration"],
        "env_steps": last["env_steps"],
        "wall_s": last["wall_s"],
        "env_steps_to_95": None if there is None else there["env_steps"],
        "wall_to_95_s": None if there is None else there["wall_s"],
    }


def _evaluate(run: Path, **how: Any) -> dict[str, Any]:
    return evaluate(run, **how)


def _reward(run: Path, throws: int) -> dict[str, Any]:
    return recover(run, throws=throws).figures


STAGES: dict[str, Callable[..., dict[str, Any]]] = {
    "learn": _learn,
    "evaluate": _evaluate,
    "transfer": _transfer,
    "reward": _reward,
}
