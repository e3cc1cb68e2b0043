#!/usr/bin/env python3
"""PyBullet on all cores: what a throw costs, how long `evaluate` takes, and learning there.

    python benchmarks/bullet_pool.py throws [--robot panda]   # throws for each second of processor time
    python benchmarks/bullet_pool.py evaluate                 # 1,000 throws, as `irl-ros evaluate`
    python benchmarks/bullet_pool.py learn [--seeds 0,1] [--set key=value]   # --sim pybullet against batch

Processor time is of this program and its simulation processes together. Unlike the time on the clock it says
something on a machine that other work shares, though crowded caches make it longer too: compare ratios.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from irl_ros.demos.operator import demonstrate
from irl_ros.demos.throws_bag import write_throws
from irl_ros.evaluation.evaluate import evaluate
from irl_ros.irl.learn import learn
from irl_ros.irl.run_directory import read_metrics
from irl_ros.rl.policy import Policy
from irl_ros.sim import BulletPool, BulletWorld, State, World, load_world, throw

TICKS = os.sysconf("SC_CLK_TCK")


class Spent:
    """Time on the clock and of processors, s."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0


@contextmanager
def spending() -> Iterator[Spent]:
    """Measures what happens inside, simulation processes included."""
    spent, close = Spent(), BulletPool.close

    def closing(pool: BulletPool) -> None:
        spent.cpu += sum(cpu_of(process.pid) for process in pool._processes)
        close(pool)

    BulletPool.close = closing  # type: ignore[method-assign]
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield spent
    finally:
        BulletPool.close = close  # type: ignore[method-assign]
        spent.wall = time.perf_counter() - wall
        spent.cpu += time.process_time() - cpu


def cpu_of(pid: int) -> float:
    """Processor time that a process has had, s (proc(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident() -> float:
    """Memory of this process, MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def swing(world: World) -> Callable[[State], torch.Tensor]:
    """A swing of all joints that lets go at 40 % of the episode."""

    def act(state: State) -> torch.Tensor:
        action = torch.zeros(len(state.phase), world.action_dim, dtype=state.q.dtype)
        action[:, :-1] = 0.5 * torch.sin(6 * state.phase[:, None] + torch.arange(world.robot.n))
        action[:, -1] = torch.where(state.phase > 0.4, 1.0, -1.0)
        return action

    return act


def measure_throws(robot: str) -> None:
    """A table: one world with N throws, then pools."""
    world = load_world({"robot": robot})
    act = swing(world)
    columns = f"{'throws at once':>16}{'ms of cpu a throw':>20}{'throws a cpu second':>22}{'memory, MB':>13}"
    print(f"{robot:24}{columns}")
    for count in (1, 16, 256):
        before, repeats = resident(), max(1, 64 // count)
        with BulletWorld(world) as simulator, spending() as spent:
            for _ in range(repeats):
                throw(simulator, act, world.sample_targets(count))
            grown = resident() - before
        print(row("one world", count, spent.cpu / repeats / count) + f"{grown:13.0f}", flush=True)
    for processes in (1, 2):
        with spending() as spent, BulletPool(world, processes) as pool:
            pool.throw(act, world.sample_targets(256))
        print(row(f"{processes} process(es)", 256, spent.cpu / 256), flush=True)


def row(name: str, count: int, seconds: float) -> str:
    return f"{name:24}{count:16}{1e3 * seconds:20.2f}{1 / seconds:22.0f}"


def measure_evaluate(throws: int) -> None:
    """What `irl-ros evaluate` does, on a policy that has learned nothing: it costs the same."""
    with tempfile.TemporaryDirectory() as folder:
        Policy(load_world()).save(Path(folder))
        with spending() as spent:
            evaluate(folder, throws=throws)
    cores = len(os.sched_getaffinity(0))
    print(
        f"{throws} throws: {spent.wall:.1f} s, {spent.cpu:.1f} s of cpu: {spent.cpu / cores:.1f} s on each of"
        f" {cores} cores; load average {os.getloadavg()[0]:.1f}"
    )


def measure_learning(seeds: list[int], sims: list[str], episodes: int, overrides: list[str]) -> None:
    """Both simulators on the same demonstrations; policies judged in PyBullet."""
    print("| seed | --sim | hits @10 cm | @5 cm | throws learned from | wall, s | cpu, s |")
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            bags, world = Path(folder) / "demos", load_world()
            write_throws(bags, world, demonstrate(world, episodes=episodes, seed=seed))
            for sim in sims:
                with spending() as spent:
                    out = Path(folder) / sim
                    run = learn([bags], out, sim=sim, device="cpu", seed=seed, overrides=overrides)
                made = read_metrics(run)[-1]["env_steps"] // world.horizon
                f: dict[str, Any] = evaluate(run)
                print(
                    f"| {seed} | {sim} | {f['hit_10cm']:.1%} | {f['hit_5cm']:.1%} | {made:,} |"
                    f" {spent.wall:.0f} | {spent.cpu:.0f} |",
                    flush=True,
                )


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=("throws", "evaluate", "learn"))
    p.add_argument("--robot", default="panda", help="of `throws` (%(default)s)")
    p.add_argument("--throws", type=int, default=1000, help="of `evaluate` (%(default)s)")
    p.add_argument("--seeds", default="0,1", help="of `learn`: people and learners (%(default)s)")
    p.add_argument("--sims", default="batch,pybullet", help="of `learn` (%(default)s)")
    p.add_argument("--demos", type=int, default=20, help="throws demonstrated, of `learn` (%(default)s)")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as `irl-ros learn --set`")
    o = p.parse_args()
    torch.set_num_threads(1)
    if o.what == "throws":
        measure_throws(o.robot)
    elif o.what == "evaluate":
        measure_evaluate(o.throws)
    else:
        measure_learning([int(s) for s in o.seeds.split(",")], o.sims.split(","), o.demos, o.set)


if __name__ == "__main__":
    main()
