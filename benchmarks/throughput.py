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
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from irl_ros.settings import as_dict
from irl_ros.sim.batch_world import BatchWorld
from irl_ros.sim.world import World, load_world

SIZES = (64, 256, 1024, 4096, 16384, 65536)
GPU_SIZES = (4096, 65536, 262144)
BULLET_THROWS = 64
Throw = Callable[[], Any]


class Table:
    """Measures and prints rows as they are known.

    Args:
        seconds: for a row.
        device: whose work is waited for.
    """

    def __init__(self, seconds: float, device: torch.device) -> None:
        self.seconds, self.device, self.first = seconds, device, 0.0
        self.clock = time.perf_counter if device.type == "cuda" else time.process_time

    def head(self) -> None:
        print(f"\n{'':56}{'N':>8}{'throws/s':>12}{'lowest':>12}{'highest':>12}{'ratio':>8}  bounded by")

    def row(self, name: str, count: int, throw: Throw, bound: str | Callable[[], str]) -> None:
        """`throw` makes `count` throws; `bound` says, or finds out, what takes the time."""
        rates = self.rates(count, throw)
        middle = statistics.median(rates)
        self.first = self.first or middle
        why = bound if isinstance(bound, str) else bound()
        numbers = f"{middle:12,.0f}{min(rates):12,.0f}{max(rates):12,.0f}{middle / self.first:8.1f}"
        print(f"{name:56}{count:8}{numbers}  {why}", flush=True)

    def rates(self, count: int, throw: Throw) -> list[float]:
        """Throws a second, again and again, after one to warm up."""
        self._timed(throw)
        rates: list[float] = []
        deadline = time.perf_counter() + self.seconds
        while len(rates) < 3 or time.perf_counter() < deadline:
            rates.append(count / self._timed(throw))
        return rates

    def _timed(self, throw: Throw) -> float:
        begin = self.clock()
        throw()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return self.clock() - begin


@contextlib.contextmanager
def skipping(what: str) -> Iterator[None]:
    """Say in a line why rows are missing."""
    try:
        yield
    except ImportError as error:
        print(f"{what}: skipped, {error}", flush=True)
    except Exception as error:
        print(f"{what}: failed, {type(error).__name__}: {str(error).splitlines()[0][:120]}", flush=True)


def random_actions(world: World, count: int, device: torch.device) -> list[torch.Tensor]:
    """Joint velocities anywhere in their range; let go after a third of the throw. [T] of [count, n + 1]."""
    draw = torch.Generator(device=device).manual_seed(0)
    shape = count, world.action_dim
    actions = [2 * torch.rand(shape, generator=draw, device=device) - 1 for _ in range(world.horizon)]
    for t, action in enumerate(actions):
        action[:, -1] = 1.0 if t >= world.horizon // 3 else -1.0
    return actions


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


def bullet_rows(table: Table, world: World) -> None:
    from irl_ros.sim.bullet_world import BulletWorld

    actions = [a[:BULLET_THROWS] for a in random_actions(world, BULLET_THROWS, torch.device("cpu"))]
    targets = world.sample_targets(BULLET_THROWS)
    with BulletWorld(world) as simulator:

        def open_loop() -> None:
            simulator.reset(targets)
            for action in actions:
                simulator.step(action)

        table.row("BulletWorld, ours", BULLET_THROWS, open_loop, "PyBullet's stepSimulation, 300 a throw")


def naive_row(table: Table, world: World) -> None:
    """As the PyBullet quickstart goes: a call a joint, velocity motors, the ball a body that flies."""
    import pybullet

    client = pybullet.connect(pybullet.DIRECT)
    pybullet.setGravity(0, 0, -world.settings.gravity, physicsClientId=client)
    pybullet.setTimeStep(world.physics_dt, physicsClientId=client)
    robot, here = world.robot, {"physicsClientId": client}
    body = pybullet.loadURDF(str(robot.urdf), useFixedBase=True, **here)
    infos = [pybullet.getJointInfo(body, i, **here) for i in range(pybullet.getNumJoints(body, **here))]
    index = {info[1].decode(): info[0] for info in infos}
    tool = {info[12].decode(): info[0] for info in infos}[robot.settings.end_effector]
    shape = pybullet.createCollisionShape(pybullet.GEOM_SPHERE, radius=0.03, **here)
    ball = pybullet.createMultiBody(0.05, shape, **here)
    actions = [a[0].tolist() for a in random_actions(world, 1, torch.device("cpu"))]

    def throw() -> None:
        for name, q in zip(robot.joints, robot.home):
            pybullet.resetJointState(body, index[name], q, 0.0, **here)
        for action in actions:
            for j, name in enumerate(robot.joints):
                speed, force = action[j] * world.velocity[j], robot.effort[j]
                pybullet.setJointMotorControl2(
                    body, index[name], pybullet.VELOCITY_CONTROL, targetVelocity=speed, force=force, **here
                )
            for _ in range(world.settings.physics_steps):
                if action[-1] < 0:
                    hand = pybullet.getLinkState(body, tool, computeLinkVelocity=1, **here)
                    pybullet.resetBasePositionAndOrientation(ball, hand[4], hand[5], **here)
                    pybullet.resetBaseVelocity(ball, hand[6], hand[7], **here)
                pybullet.stepSimulation(**here)
            for name in robot.joints:
                pybullet.getJointState(body, index[name], **here)
            pybullet.getBasePositionAndOrientation(ball, **here)

    table.row(
        "PyBullet, as a newcomer writes it", 1, throw, "a Python call a joint, meshes and motors in each step"
    )
    pybullet.disconnect(client)


def mujoco_rows(table: Table, world: World) -> None:
    import mujoco
    import numpy as np
    from mujoco import rollout

    from irl_ros.sim.bullet_arm import dynamics_urdf

    model = mujoco.MjModel.from_xml_string(dynamics_urdf(world.robot))
    model.opt.timestep = world.physics_dt
    steps, count = world.horizon * world.settings.physics_steps, 256
    data = mujoco.MjData(model)
    data.qpos[:] = world.home
    size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
    state = np.empty(size)
    mujoco.mj_getState(model, data, state, mujoco.mjtState.mjSTATE_FULLPHYSICS)
    start = np.tile(state, (count, 1))
    torque = np.random.default_rng(0).uniform(-0.2, 0.2, (count, steps, model.nv)) * world.robot.effort
    spec = mujoco.mjtState.mjSTATE_QFRC_APPLIED

    def throw() -> None:
        rollout.rollout(model, data, start, torque, control_spec=spec)

    bound = (
        f"MuJoCo {mujoco.__version__}: {steps} steps of the bare arm under given torques; no servo, no ball"
    )
    table.row("mujoco.rollout, one thread, arm alone", count, throw, bound)


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
