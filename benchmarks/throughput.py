#!/usr/bin/env python3
"""Throws a second, in one table: PyBullet as a newcomer writes it, our worlds, MuJoCo's rollout as the peer.

    python benchmarks/throughput.py [--device D] [--seconds 3] [--rows naive,bullet,mujoco,torch,compiled]

A throw is one episode of the world (60 control steps of 5 physics steps unless --world says otherwise) with
random actions prepared beforehand, or with the default policy deciding. On the CPU one thread is used and
the rate is per second of processor time, so that other work on the machine counts as little as can be; on a
GPU it is per second on the clock. Each row is repeated for --seconds; median, lowest and highest are shown,
and the ratio of medians to the first row. What needs a package that is not installed is skipped and says so.

    python benchmarks/throughput.py --write-robot DIR

copies the robot's URDF and YAML to DIR, for --robot on a machine without pybullet_data.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from throughput_peers import bullet_rows, mujoco_rows, naive_row
from throughput_table import Table, Throw, random_actions, skipping

from irl_ros.settings import as_dict
from irl_ros.sim.batch_world import BatchWorld
from irl_ros.sim.world import World, load_world

SIZES = (64, 256, 1024, 4096, 16384, 65536)
GPU_SIZES = (4096, 65536, 262144)


def batch_rows(table: Table, world: World, policy: Any, kinds: list[str], given: list[int] | None) -> None:
    device = table.device
    sizes = given or (GPU_SIZES if device.type == "cuda" else SIZES)
    for kind in kinds:
        begin = time.perf_counter()
        simulator = BatchWorld(world, device, compiled=kind == "compiled")
        waited = time.perf_counter() - begin
        if kind == "compiled" and not simulator.compiled:
            print("BatchWorld compiled: skipped, nothing could be compiled here")
            continue
        if simulator.compiled:
            print(f"(compiled code was ready after {waited:.1f} s: seconds the first time, then it is kept)")
        for count in sizes:
            if not simulator.compiled and count > 16384 and device.type == "cpu":
                continue  # minutes, and no news
            with skipping(f"BatchWorld, {kind}: N = {count}"):
                whole_rows(table, simulator, policy, count)
                stepped_rows(table, simulator, policy, count)


def whole_rows(table: Table, simulator: BatchWorld, policy: Any, count: int) -> None:
    """Throws from first to last in compiled code, states of every step kept."""
    if not simulator.compiled:
        return
    from irl_ros.rl.fly import fly

    world, device = simulator.world, table.device
    targets = world.sample_targets(count).to(device)
    actions = torch.stack(random_actions(world, count, device), 1)
    name = "BatchWorld, compiled, whole throws:"
    table.row(f"{name} dynamics", count, lambda: simulator.play(actions, targets), "arm's inverse dynamics")
    if policy is None:
        return
    dynamics = statistics.median(table.rates(count, lambda: simulator.play(actions, targets)))

    def share() -> str:
        made = statistics.median(table.rates(count, made_by_policy))
        return f"dynamics {made / dynamics:.0%}; the rest: network, observations, noise"

    def made_by_policy() -> Any:
        return fly(simulator, policy.observation, policy, targets)

    table.row(f"{name} default policy", count, made_by_policy, share)


def stepped_rows(table: Table, simulator: BatchWorld, policy: Any, count: int) -> None:
    """Throws a control step at a time, as any policy and any reward may want them."""
    world, device = simulator.world, table.device
    targets, actions = world.sample_targets(count).to(device), random_actions(world, count, device)
    name = f"BatchWorld, {'compiled' if simulator.compiled else 'torch'}, step by step:"

    def open_loop() -> None:
        simulator.reset(targets)
        for action in actions:
            simulator.step(action)

    def closed_loop() -> None:
        with torch.no_grad():
            state = simulator.reset(targets)
            for _ in range(world.horizon):
                state = simulator.step(policy.sample(policy.observation(state)))

    table.row(f"{name} dynamics", count, open_loop, partial(shares, table, simulator, None, open_loop))
    if policy is not None:
        why = partial(shares, table, simulator, policy, closed_loop)
        table.row(f"{name} default policy", count, closed_loop, why)


def shares(table: Table, simulator: BatchWorld, policy: Any, throw: Throw) -> str:
    """What takes the time of a throw, measured with the parts timed."""
    spent: dict[str, float] = defaultdict(float)

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any) -> Any:
            begin = table.clock()
            result = function(*args)
            if table.device.type == "cuda":
                torch.cuda.synchronize()
            spent[name] += table.clock() - begin
            return result

        return wrapper

    parts: list[tuple[Any, str, str]] = [
        (simulator.arm, "advance", "arm"),
        (simulator.flight, "advance", "flight"),
    ]
    if simulator.compiled:
        parts = [(simulator._native, "run", "compiled code")]
    if policy is not None:
        parts += [(policy, "sample", "policy"), (policy.observation, "forward", "observation")]
    for owner, method, name in parts:
        object.__setattr__(owner, method, timed(name, getattr(owner, method)))
    try:
        total = table._timed(throw)
    finally:
        for owner, method, _ in parts:
            object.__delattr__(owner, method)
    text = ", ".join(
        f"{name} {share / total:.0%}" for name, share in sorted(spent.items(), key=lambda x: -x[1])
    )
    return f"{text}, rest {1 - sum(spent.values()) / total:.0%}"


def write_robot(world: World, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    robot = world.robot
    shutil.copy(robot.urdf, folder / robot.urdf.name)
    settings = {k: v for k, v in as_dict(robot.settings).items() if v is not None}
    (folder / f"{robot.name}.yaml").write_text(yaml.safe_dump({**settings, "urdf": robot.urdf.name}))
    print(folder / f"{robot.name}.yaml")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--world", default="default", help="name or YAML (default: default)")
    p.add_argument("--robot", help="name or YAML, instead of the world's")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--seconds", type=float, default=3.0, help="for each row (default 3)")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--rows", default="naive,bullet,mujoco,torch,compiled", help="which (default: all)")
    p.add_argument("--sizes", help="N of the batched rows, as in 256,4096")
    p.add_argument("--write-robot", type=Path, metavar="DIR")
    o = p.parse_args()
    torch.set_num_threads(o.threads)
    torch.manual_seed(0)
    world = load_world(o.world)
    if o.robot:
        world = load_world({**as_dict(world.settings), "robot": o.robot})
    if o.write_robot:
        write_robot(world, o.write_robot)
        return
    device, rows = torch.device(o.device), o.rows.split(",")
    chip = torch.cuda.get_device_name() if device.type == "cuda" else f"{processor()}, {o.threads} thread(s)"
    print(
        f"{world.robot.name}, {world.horizon} x {world.settings.physics_steps} steps; {chip}; "
        f"torch {torch.__version__}"
    )
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}")
    table = Table(o.seconds, torch.device("cpu"))
    table.head()
    for name, measure in (("naive", naive_row), ("bullet", bullet_rows), ("mujoco", mujoco_rows)):
        if name in rows:
            with skipping(name):
                measure(table, world)
    kinds = [kind for kind in ("torch", "compiled") if kind in rows]
    if not kinds:
        return
    on_device = Table(o.seconds, device)
    on_device.first = table.first
    policy = None
    with skipping("policy"):
        from irl_ros.rl.policy import Policy

        policy = Policy(world).to(device).eval()
    given = [int(size) for size in o.sizes.split(",")] if o.sizes else None
    batch_rows(on_device, world, policy, kinds, given)


def processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
