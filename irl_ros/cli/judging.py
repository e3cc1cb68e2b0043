"""Verbs that look at a RUN: evaluate, reward, report."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from irl_ros.cli.options import add_run, add_verb, add_world, check_folder, count, natural


def add_evaluate(verbs: Any) -> None:
    p = add_verb(
        verbs,
        "evaluate",
        _evaluate,
        "throw at unseen targets",
        "runs/demo/learned --throws 1000 --json result.json",
    )
    add_run(p)
    add_world(p, None)
    p.add_argument("--throws", type=count, default=1000, help="how many (%(default)s)")
    p.add_argument("--seed", type=natural, default=1_000_000, help="draws the targets (%(default)s)")
    p.add_argument(
        "--sim", choices=("pybullet", "batch"), default="pybullet", help="world to throw in (%(default)s)"
    )
    p.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")


def _evaluate(o: argparse.Namespace) -> None:
    check_folder("--json", o.json)
    from irl_ros.evaluation.evaluate import evaluate, table

    result = evaluate(o.run_dir, world=o.world, throws=o.throws, seed=o.seed, sim=o.sim)
    print(table(result))
    if o.json:
        o.json.write_text(json.dumps(result, indent=2) + "\n")


def add_reward(verbs: Any) -> None:
    purpose = "how near the learned reward is to the true one, and a picture of it"
    p = add_verb(verbs, "reward", _reward, purpose, "runs/demo/learned --json reward.json")
    add_run(p)
    add_world(p, None)
    p.add_argument("--throws", type=count, default=600, help="good and bad, to compare over (%(default)s)")
    p.add_argument("--seed", type=natural, default=1_000_000, help="draws the throws (%(default)s)")
    p.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    p.add_argument("--out", type=Path, metavar="PNG", help="the picture (RUN/reward.png)")


def _reward(o: argparse.Namespace) -> None:
    check_folder("--json", o.json)
    check_folder("--out", o.out)
    from irl_ros.evaluation.reward_figure import write_reward_figure
    from irl_ros.evaluation.reward_recovery import recover, table

    recovery = recover(o.run_dir, world=o.world, throws=o.throws, seed=o.seed)
    picture = o.out or o.run_dir / "reward.png"
    write_reward_figure(recovery, picture)
    print(f"{table(recovery.figures)}\n\n{picture} shows it")
    if o.json:
        o.json.write_text(json.dumps(recovery.figures, indent=2) + "\n")


def add_report(verbs: Any) -> None:
    p = add_verb(verbs, "report", _report, "write the HTML report of a RUN again", "runs/demo/learned")
    add_run(p)


def _report(o: argparse.Namespace) -> None:
    from irl_ros.evaluation.report import write_report

    print(write_report(o.run_dir))
