"""The algorithms on other people's tasks: `irl-ros bench`, for Gymnasium environments."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from irl_ros.errors import InputError, unknown_name
from irl_ros.evaluation.bench_cell import EVALUATION_EPISODES, BenchCell, mean_return
from irl_ros.evaluation.bench_expert import demonstrate, stated_return, train_expert
from irl_ros.evaluation.bench_settings import BenchSettings, bench_settings, settings_of
from irl_ros.evaluation.cell_runner import CellRunner
from irl_ros.evaluation.cells import DONE, Place, Result, finite
from irl_ros.evaluation.compare import source_sha256
from irl_ros.irl.algorithms import ALGORITHMS
from irl_ros.rl.gym_bundle import load_gym_policy
from irl_ros.rl.gym_world import GymWorld
from irl_ros.settings import as_dict

THROWS_ONLY = {
    "maxent": "knows the finite MDP of a throw only",
    "gcl": "has controllers for throws only, not for choices or absorbing states",
}
"""Algorithms that stay away from Gymnasium environments, and why."""


def bench(
    env: str,
    out: str | Path,
    algos: Sequence[str] = ("bc", "airl"),
    seeds: int = 3,
    demos: int = 50,
    horizon: int | None = None,
    expert: str | Path | None = None,
    expert_return: float | None = None,
    seed: int = 0,
    jobs: int = 1,
    retry: bool = False,
    config: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Make an expert, let it demonstrate, let every algorithm learn from that with every seed.

    What is in `out` already is not made again; what was stopped goes on.

    Args:
        env: id of a Gymnasium environment.
        out: folder of the bench; every environment and horizon has a folder of its own in it.
        algos: of ALGORITHMS.
        seeds: how many learning seeds: 0, 1, ….
        demos: episodes the expert demonstrates.
        horizon: steps of every episode; default: the environment's own limit.
        expert: folder of an expert made earlier; default: one is made in `out`.
        expert_return: mean return at which the training of the expert ends; default: what is known of `env`,
            else all its rounds are taken.
        seed: of the expert and its demonstrations.
        jobs: algorithms and seeds learned at a time, each on one thread.
        retry: make again what has failed before.
        config: YAML with keys of BenchSettings, in place of those of config/bench.yaml.
        overrides: `key=value` on top.

    Returns:
        The figures, ready for JSON: see `bench_table.bench_table`.

    Raises:
        InputError: something given is wrong; nothing was written.
        RuntimeError: the expert did not reach its return.
        KeyboardInterrupt: stopped; bench.json shows what is there, the same call goes on.
    """
    for algo in algos:
        if algo not in ALGORITHMS:
            raise InputError("--algo", *unknown_name("algorithm", algo, ALGORITHMS))
    for algo, why in ((a, THROWS_ONLY[a]) for a in algos if a in THROWS_ONLY):
        raise InputError(f"--algo {algo}", why, "leave it out")
    settings, world = bench_settings(config, overrides), GymWorld(env, horizon)
    if Path(out).exists() and not Path(out).is_dir():
        raise InputError(out, "is not a folder", "choose another --out")
    out = Path(out) / f"{re.sub('[^A-Za-z0-9.-]', '_', env)}-{world.horizon}"
    torch.set_num_threads(settings.trainer.threads)
    goal = stated_return(world, expert_return)
    if expert is None:
        folder = out / f"expert-{_hash_of(_expert_key(world, goal, settings, seed))}"
        if not (folder / "policy.yaml").is_file():
            print(f"expert for {env}, to a return of {'its best' if goal is None else goal}: {folder}")
            train_expert(world, folder, goal, settings, seed)
    else:
        folder = Path(expert)
    task, agent = load_gym_policy(folder, world)
    shown = demonstrate(task, agent, demos, seed, out)
    torch.manual_seed(seed)
    figures: dict[str, Any] = {
        "env": env,
        "horizon": world.horizon,
        "demos": demos,
        "seeds": seeds,
        "episodes": EVALUATION_EPISODES,
        "expert": mean_return(task, agent),
        "demonstrations": float(shown.returns.mean()),
        "random": mean_return(task, None),
        "settings": {k: v for a in algos for k, v in settings_of(settings, a).items()},
        "cells": [],
    }
    print(f"settings of every seed:\n{yaml.safe_dump(figures['settings'], default_flow_style=None)}")
    cells = [BenchCell.of(algo, k, world, shown, settings, out) for k in range(seeds) for algo in algos]
    runner = CellRunner(cells, jobs, retry, lambda *_: keep(), source_sha256())

    def keep() -> None:
        made = [(cell, runner.results[cell]) for cell in cells if cell in runner.results]
        figures["cells"] = [_figures(cell.place, result) for cell, result in made]
        (out / "bench.json").write_text(json.dumps(finite(figures), indent=1, allow_nan=False) + "\n")

    try:
        runner.run()
    finally:
        keep()
    return figures


def _figures(place: Place, result: Result) -> dict[str, Any]:
    """Of a cell; `failed` is why it has none, or None."""
    none = {"return": None, "fresh_return": None, "env_steps": None, "wall_s": None}
    figures = none if result.figures is None else result.figures
    failed = None if result.status == DONE else result.reason
    return {"algo": place.algo, "seed": place.seed, "failed": failed, **figures}


def _hash_of(key: dict[str, Any]) -> str:
    """Twelve letters that change with anything in `key`."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]


def _expert_key(world: GymWorld, goal: float | None, settings: BenchSettings, seed: int) -> dict[str, Any]:
    return {
        "env": world.name,
        "horizon": world.horizon,
        "goal": goal,
        "seed": seed,
        "expert": as_dict(settings.expert),
        "agent": as_dict(settings.agent),
    }
