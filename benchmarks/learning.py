#!/usr/bin/env python3
"""Learning and transfer, measured for several seeds: the figures quoted in the documentation.

For each seed a synthetic person throws offline into real bags; `learn`, `evaluate` and `transfer` do the
rest.

    python benchmarks/learning.py --out runs/benchmark --seeds 0,1,2

Every cell is kept in --out and not made again, so a stopped benchmark goes on with the same command. Seeds
are independent: two commands with other --seeds and the same --out may run side by side (give each
--threads 1); afterwards the command with all seeds only prints the tables.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from irl_ros.demos.demonstrations import load_demonstrations
from irl_ros.demos.faults import load_operator
from irl_ros.demos.operator import demonstrate
from irl_ros.demos.throws_bag import write_throws
from irl_ros.errors import InputError
from irl_ros.evaluation.evaluate import evaluate, figures_of
from irl_ros.irl.learn import learn
from irl_ros.irl.run_directory import read_metrics
from irl_ros.irl.transfer import transfer
from irl_ros.sim import load_world

WEAK = "weak_wrist"
TRANSFERS = {
    f"{place}_{start}_{reward}": (place, start, reward)
    for place, start in (("same", "fresh"), ("same", "warm"), ("weak", "fresh"))
    for reward in ("learned", "true")
}
Figures = dict[str, Any]


class Benchmark:
    """The cells of a benchmark, made when they are not there yet.

    Args:
        out: folder that keeps them.
        options: what was asked for.
    """

    def __init__(self, out: Path, options: argparse.Namespace) -> None:
        self.out, self.options, self.world = out, options, load_world(options.world)

    def seed(self, seed: int) -> Figures:
        """All figures of one seed: name of the cell → figures."""
        o, folder = self.options, self.out / f"seed_{seed}"
        demos, run = folder / "demos", folder / "learned"
        self._demonstrations(demos, seed)
        cells = {"operator": self._cell(folder / "operator.json", lambda: self._operator(demos))}
        how = {"world": o.world, "seed": seed, "device": o.device, "overrides": o.learn}
        self._run(run, partial(learn, [demos], **how))
        cells["clone"] = self._evaluation(folder, "clone", run / "bc")
        cells["policy"] = self._evaluation(folder, "policy", run)
        cells["speed"] = speed(run)
        if not o.transfer:
            return cells
        cells["weak_zero_shot"] = self._evaluation(folder, "weak_zero_shot", run, WEAK)
        for name, (place, start, reward) in TRANSFERS.items():
            how = {"reward": reward, "start": start, "seed": seed, "device": o.device}
            world = o.world if place == "same" else WEAK
            self._run(folder / name, partial(transfer, run, world, overrides=o.transfer_set, **how))
            cells[name] = self._evaluation(folder, name, folder / name)
            cells[name]["wall_s"] = speed(folder / name)["wall_s"]
        return cells

    def _demonstrations(self, folder: Path, seed: int) -> None:
        if not folder.is_dir():
            growing = folder.with_suffix(".new")
            shutil.rmtree(growing, ignore_errors=True)
            person = load_operator(self.options.operator)
            write_throws(growing, self.world, demonstrate(self.world, person, self.options.episodes, seed))
            growing.rename(folder)

    def _operator(self, demos: Path) -> Figures:
        return figures_of(load_demonstrations(demos, self.world).throws.outcome)

    def _run(self, run: Path, make: Callable[..., Path]) -> None:
        if not (run / "policy.yaml").is_file():
            print(f"--- {run.relative_to(self.out)}", flush=True)
            make(out=run, resume=(run / "run.yaml").is_file())

    def _evaluation(self, folder: Path, name: str, run: Path, world: str | None = None) -> Figures:
        throws = self.options.throws
        return self._cell(folder / f"{name}.json", lambda: evaluate(run, world=world, throws=throws))

    @staticmethod
    def _cell(path: Path, make: Callable[[], Figures]) -> Figures:
        if not path.is_file():
            whole = path.with_suffix(".new")
            whole.write_text(json.dumps(make(), indent=2))
            whole.rename(path)
        return json.loads(path.read_text())


def speed(run: Path) -> Figures:
    """How long a run took and how soon its practice throws hit."""
    metrics = read_metrics(run)
    last = metrics[-1]
    reached = next((m["wall_s"] for m in metrics if m["hit_10cm"] >= 0.95), None)
    horizon = yaml.safe_load((run / "run.yaml").read_text())["world"]["settings"]["horizon"]
    return {
        "rounds": last["iteration"],
        "throws": last["env_steps"] // horizon,
        "throws_per_s": last["env_steps"] / horizon / last["wall_s"],
        "wall_s": last["wall_s"],
        "wall_to_95_s": reached,
    }


# --- tables ---


def tables(results: dict[int, Figures]) -> str:
    """One table a part, as text that is also Markdown."""
    parts = [learning_table(results), speed_table(results)]
    if all("same_fresh_learned" in r for r in results.values()):
        parts.append(transfer_table(results))
    return "\n\n".join(parts)


def learning_table(results: dict[int, Figures]) -> str:
    throws = next(iter(results.values()))["policy"]["throws"]
    head = ["seed", "operator 10 cm", "5 cm", "clone 10 cm", "5 cm", "policy 10 cm", "5 cm", "95 % interval"]
    head += ["median", "95 % within", "limits left", "torque clipped"]
    rows = []
    for seed, r in results.items():
        row = [str(seed)]
        for who in ("operator", "clone", "policy"):
            row += [percent(r[who]["hit_10cm"]), percent(r[who]["hit_5cm"])]
        p = r["policy"]
        low, high = p["hit_10cm_ci95"]
        row += [f"{percent(low)} – {percent(high)}", cm(p["median_error_m"]), cm(p["p95_error_m"])]
        rows.append([*row, f"{p['limit_violations']} steps", f"{p['torque_saturation']:.2%}"])
    worst = worst_seed(results, "policy")
    figures = results[worst]["policy"]
    return (
        f"## Learning: {throws} throws at unseen targets, PyBullet\n\n{grid(head, rows)}\n\n"
        f"Worst seed: {worst}, {percent(figures['hit_10cm'])} within 10 cm and "
        f"{percent(figures['hit_5cm'])} within 5 cm."
    )


def speed_table(results: dict[int, Figures]) -> str:
    head = ["seed", "rounds", "throws", "throws/s", "wall", "wall to 95 % of practice throws"]
    rows = []
    for seed, r in results.items():
        s = r["speed"]
        reached = "never" if s["wall_to_95_s"] is None else f"{s['wall_to_95_s']:.0f} s"
        row = [str(seed), str(s["rounds"]), str(s["throws"]), f"{s['throws_per_s']:.0f}"]
        rows.append([*row, f"{s['wall_s']:.0f} s", reached])
    slowest = max(results, key=lambda seed: results[seed]["speed"]["wall_to_95_s"] or float("inf"))
    return f"## Speed of learning\n\n{grid(head, rows)}\n\nWorst seed: {slowest}."


def transfer_table(results: dict[int, Figures]) -> str:
    columns = ["policy", "same_fresh_learned", "same_fresh_true", "same_warm_learned", "same_warm_true"]
    columns += ["weak_zero_shot", "weak_fresh_learned", "weak_fresh_true"]
    titles = {"policy": "learned policy", "weak_zero_shot": f"{WEAK}: old policy"}
    titles |= {
        name: f"{'same world' if place == 'same' else WEAK}: {start}, {reward} reward"
        for name, (place, start, reward) in TRANSFERS.items()
    }
    rows = [
        [str(seed), *(f"{percent(r[c]['hit_10cm'])} ({percent(r[c]['hit_5cm'])})" for c in columns)]
        for seed, r in results.items()
    ]
    worst = []
    for column in columns:
        seed = worst_seed(results, column)
        worst.append(f"{percent(results[seed][column]['hit_10cm'])}, seed {seed}")
    rows.append(["worst", *worst])
    return "## Transfer: a policy from the frozen reward, hits within 10 cm (5 cm), PyBullet\n\n" + grid(
        ["seed", *(titles[c] for c in columns)], rows
    )


def worst_seed(results: dict[int, Figures], cell: str) -> int:
    return min(results, key=lambda seed: (results[seed][cell]["hit_10cm"], results[seed][cell]["hit_5cm"]))


def grid(head: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [[c.rjust(w) for c, w in zip(row, widths)] for row in [head, *rows]]
    lines.insert(1, ["-" * (w - 1) + ":" for w in widths])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def cm(value: float | None) -> str:
    return "not landed" if value is None else f"{100 * value:.1f} cm"


# --- the command ---


def main() -> int:
    o = arguments()
    if o.threads:
        torch.set_num_threads(o.threads)
    try:
        remember_settings(o)
        benchmark = Benchmark(o.out, o)
        results = {seed: benchmark.seed(seed) for seed in o.seeds}
    except InputError as error:
        print(f"{Path(__file__).name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {datetime.date.today()}"
    command = " ".join(["python", *sys.argv])
    text = f"`{command}` on {machine}\n\n{tables(results)}\n"
    (o.out / "results.json").write_text(json.dumps(results, indent=2))
    (o.out / "results.md").write_text(text)
    print(f"\n{text}")
    return 0


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, required=True, help="folder for bags, runs and results")
    p.add_argument("--seeds", type=lambda text: [int(s) for s in text.split(",")], default=[0, 1, 2])
    p.add_argument("--episodes", type=int, default=20, help="demonstrations a seed (%(default)s)")
    p.add_argument("--throws", type=int, default=1000, help="throws of an evaluation (%(default)s)")
    p.add_argument("--operator", default="default", help="preset in config/operators.yaml (%(default)s)")
    p.add_argument("--world", default="default", help="where is learned (%(default)s)")
    p.add_argument("--device", default="auto", help="where is learned (%(default)s)")
    p.add_argument("--threads", type=int, default=0, help="of torch; 0: its own choice")
    p.add_argument("--no-transfer", dest="transfer", action="store_false", help="learning only")
    for flag, name in (("--set", "learn"), ("--transfer-set", "transfer_set")):
        p.add_argument(flag, dest=name, action="append", default=[], metavar="KEY=VALUE", help="a setting")
    return p.parse_args()


def remember_settings(o: argparse.Namespace) -> None:
    """Refuse to mix cells of different settings in one folder."""
    asked = {k: getattr(o, k) for k in ("episodes", "throws", "operator", "world", "learn", "transfer_set")}
    path = o.out / "settings.json"
    if path.is_file():
        before = json.loads(path.read_text())
        for key, value in asked.items():
            if before.get(key) != value:
                problem = f"was begun with {key} = {before.get(key)}, not {value}"
                raise InputError(o.out, problem, "give another --out, or the same settings")
    else:
        o.out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asked, indent=2))


if __name__ == "__main__":
    raise SystemExit(main())
