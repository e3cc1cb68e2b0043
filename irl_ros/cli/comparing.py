"""Verbs that make many runs, side by side: compare, bench."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from irl_ros.cli.options import (
    DONE,
    FAILED,
    add_jobs,
    add_set,
    add_verb,
    add_world,
    check_folder,
    count,
    count_list,
    name_list,
    natural,
)


def add_compare(verbs: Any) -> None:
    example = "runs/demo/demos --algos airl,bc --seeds 3 --demos 3,10 --out runs/compare"
    p = add_verb(
        verbs,
        "compare",
        _compare,
        "algorithms side by side, over seeds and numbers of demonstrations",
        example,
        resumed_by="the same command",
    )
    p.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PATH",
        help="bags; without them synthetic operators demonstrate",
    )
    p.add_argument("--out", type=Path, required=True, help="folder that keeps every cell, and the tables")
    p.add_argument(
        "--algos",
        type=name_list,
        default=(),
        metavar="A,B,…",
        help="algorithms, all by default; airl:3 takes 3 seeds",
    )
    p.add_argument(
        "--variant",
        dest="variants",
        action="append",
        default=[],
        metavar="NAME=ALGO KEY=VALUE …",
        help="a further row: an algorithm with other settings; may be repeated",
    )
    p.add_argument("--seeds", type=count, default=5, help="how many, from 0 on (%(default)s)")
    p.add_argument(
        "--demos", type=count_list, default=(), metavar="K,…", help="numbers of demonstrations (all, or 20)"
    )
    p.add_argument(
        "--operators", type=name_list, default=(), metavar="O,…", help="synthetic ones: clean, default, tired"
    )
    add_world(p, "default")
    p.add_argument(
        "--transfer-worlds",
        type=name_list,
        default=(),
        metavar="W,…",
        help="where rewards are optimised again, beside --world; none: nowhere",
    )
    p.add_argument(
        "--starts",
        type=name_list,
        default=("fresh", "warm"),
        metavar="S,…",
        help="of that: fresh,warm by default",
    )
    p.add_argument(
        "--transfer-demos", type=count_list, default=(), metavar="K,…", help="of these --demos (the most)"
    )
    p.add_argument("--throws", type=count, default=1000, help="of an evaluation (%(default)s)")
    p.add_argument(
        "--sim", choices=("pybullet", "batch"), default="pybullet", help="of final policies (%(default)s)"
    )
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, … (%(default)s)")
    add_jobs(p)
    add_set(p)
    p.add_argument(
        "--transfer-set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one setting of transfers",
    )


def _compare(o: argparse.Namespace) -> int:
    from irl_ros.evaluation.compare import compare
    from irl_ros.evaluation.comparison_text import markdown
    from irl_ros.evaluation.grid import Grid

    names = ("paths", "seeds", "demos", "operators", "world", "transfer_worlds", "starts", "transfer_demos")
    asked = {k: getattr(o, k) for k in (*names, "variants", "throws", "sim", "device", "overrides")}
    asked |= {"algos": o.algos} if o.algos else {}
    grid = Grid(**asked, transfer_overrides=o.transfer_set)
    found = compare(grid, o.out, o.jobs, o.retry, command=shlex.join(["irl-ros", *sys.argv[1:]]))
    print(f"\n{markdown(found)}")
    if failed := found.failures():
        print(f"{len(failed)} cells failed: compare.md says why; --retry makes them again")
    print(f"{o.out / 'compare.html'} shows what was found")
    return FAILED if failed else DONE


def add_bench(verbs: Any) -> None:
    example = "--env Pendulum-v1 --algo bc,airl --seeds 3 --out runs/bench"
    p = add_verb(
        verbs,
        "bench",
        _bench,
        "the algorithms on a Gymnasium environment, beside published figures",
        example,
        resumed_by="the same command",
    )
    p.add_argument("--env", required=True, help="id of an environment with vectors as observations")
    p.add_argument(
        "--algo", type=name_list, default=["bc", "airl"], metavar="A,B,…", help="algorithms (bc,airl)"
    )
    p.add_argument("--seeds", type=count, default=3, help="how many, from 0 on (%(default)s)")
    p.add_argument("--demos", type=count, default=50, help="episodes the expert shows (%(default)s)")
    p.add_argument("--horizon", type=count, help="steps of every episode (the environment's own limit)")
    p.add_argument(
        "--expert", type=Path, metavar="DIR", help="an expert-… folder of an earlier bench (one is made)"
    )
    p.add_argument(
        "--expert-return",
        type=float,
        metavar="R",
        help="what the expert has to earn (what is known to be good)",
    )
    p.add_argument("--out", type=Path, default=Path("runs/bench"), help="keeps what was made (%(default)s)")
    p.add_argument("--seed", type=natural, default=0, help="of the expert and what it shows (%(default)s)")
    add_jobs(p)
    p.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    p.add_argument("--config", type=Path, help="YAML of settings, in place of those of config/bench.yaml")
    add_set(p)


def _bench(o: argparse.Namespace) -> int:
    check_folder("--json", o.json)
    from irl_ros.evaluation.bench import bench
    from irl_ros.evaluation.bench_table import bench_rows, bench_table

    names = ["env", "out", "seeds", "demos", "horizon", "expert", "expert_return", "seed"]
    asked = {key: getattr(o, key) for key in [*names, "jobs", "retry", "config", "overrides"]}
    figures = bench(algos=o.algo, **asked)
    print(f"\n{bench_table(figures)}")
    if o.json:
        o.json.write_text(json.dumps({**figures, "rows": bench_rows(figures)}, indent=2) + "\n")
    return FAILED if any(cell["failed"] for cell in figures["cells"]) else DONE
