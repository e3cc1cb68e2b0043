"""Verbs that leave a RUN: learn, transfer."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from irl_ros.cli.options import add_learning, add_paths, add_run, add_verb, add_world, learning_options


def add_learn(verbs: Any) -> None:
    example = "runs/demo/demos --out runs/mine --seed 1"
    p = add_verb(verbs, "learn", _learn, "learn a reward and a policy from bags", example, "--resume")
    add_paths(p)
    p.add_argument("--out", type=Path, required=True, help="the RUN folder to write")
    p.add_argument("--algo", default="airl", help="algorithm (%(default)s)")
    add_world(p, "default")
    add_learning(p)


def _learn(o: argparse.Namespace) -> None:
    from irl_ros.irl.learn import learn

    _finish(learn(o.paths, o.out, algo=o.algo, world=o.world, **learning_options(o)))


def add_transfer(verbs: Any) -> None:
    example = "runs/demo/learned --world weak_wrist --out runs/weak"
    p = add_verb(
        verbs,
        "transfer",
        _transfer,
        "a fresh policy in another world, from the frozen reward",
        example,
        resumed_by="--resume",
    )
    add_run(p)
    add_world(p, None)
    p.add_argument("--out", type=Path, required=True, help="the RUN folder to write")
    p.add_argument(
        "--reward", choices=("learned", "true"), default="learned", help="to optimise (%(default)s)"
    )
    p.add_argument(
        "--start",
        choices=("fresh", "warm"),
        default="fresh",
        help="untrained, or the old policy (%(default)s)",
    )
    add_learning(p)


def _transfer(o: argparse.Namespace) -> None:
    from irl_ros.irl.transfer import transfer

    _finish(transfer(o.run_dir, o.world, o.out, reward=o.reward, start=o.start, **learning_options(o)))


def _finish(run: Path) -> None:
    """Leave the report in a run that learn or transfer has ended, and say what may come next."""
    from irl_ros.evaluation.report import write_report

    report = write_report(run, sim="batch")
    print(f"{report} shows what was learned; next: irl-ros evaluate {run}")
