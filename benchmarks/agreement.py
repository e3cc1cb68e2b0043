"""How closely BatchWorld follows BulletWorld: the same random throws in both, for each shipped robot.

    python benchmarks/agreement.py [--throws 200] [--seed 0]

Prints a line for each robot and kind of action: how many throws landed, how far apart the two worlds'
landings are where no joint's torque was clipped, and how often it was.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from irl_ros.sim import BatchWorld, BulletWorld, Throws, World, load_world, throw

CHUNK = 20  # throws at once in PyBullet, 28 MB each


def waves(world: World, count: int, draw: torch.Generator) -> torch.Tensor:
    """Sines of random amplitude, frequency and phase for each joint."""
    t = torch.arange(world.horizon, dtype=torch.float64)[:, None]
    amplitude, pace, phase = torch.rand(3, count, 1, world.robot.n, generator=draw, dtype=torch.float64)
    return amplitude * torch.sin(0.3 * pace * t + 6.3 * phase)


def white(world: World, count: int, draw: torch.Generator) -> torch.Tensor:
    """Every joint anywhere in its range, anew at each control step."""
    return 2 * torch.rand(count, world.horizon, world.robot.n, generator=draw, dtype=torch.float64) - 1


def full_speed(world: World, count: int, draw: torch.Generator) -> torch.Tensor:
    """Every joint as fast as it may from the start, each in a random direction that turns round once."""
    t = torch.arange(world.horizon)[:, None]
    turn = torch.randint(10, world.horizon, (count, 1, world.robot.n), generator=draw)
    sign = torch.where(torch.rand(count, 1, world.robot.n, generator=draw) < 0.5, -1.0, 1.0).double()
    return torch.where(t < turn, sign, -sign)


def bang_bang(world: World, count: int, draw: torch.Generator) -> torch.Tensor:
    """Full speed one way or the other, decided anew at each control step."""
    return torch.where(white(world, count, draw) < 0, -1.0, 1.0).double()


KINDS: dict[str, Callable[[World, int, torch.Generator], torch.Tensor]] = {
    "waves": waves,
    "white": white,
    "full speed": full_speed,
    "bang-bang": bang_bang,
}


def open_loop(simulator: BatchWorld | BulletWorld, actions: torch.Tensor, targets: torch.Tensor) -> Throws:
    """Throws with prepared actions [N, T, n + 1]."""
    upcoming = iter(actions.unbind(1))
    return throw(simulator, lambda state: next(upcoming), targets)


def compare(robot: str, kind: str, count: int, seed: int) -> str:
    """One line of the table."""
    world, draw = load_world({"robot": robot}), torch.Generator().manual_seed(seed)
    joints = KINDS[kind](world, count, draw)
    release = torch.randint(3, 25, (count, 1), generator=draw)
    opening = torch.where(torch.arange(world.horizon) >= release, 1.0, -1.0).double()
    actions = torch.cat((joints, opening[..., None]), -1)
    targets = world.sample_targets(count, draw)
    batch = open_loop(BatchWorld(world, dtype=torch.float64), actions, targets).outcome
    with BulletWorld(world) as simulator:
        simulator.reset(targets[:CHUNK])  # clients are made once, not for every throw
        begin = time.perf_counter()
        parts = [
            open_loop(simulator, a, t)
            for a, t in zip(actions.split(CHUNK), targets.split(CHUNK), strict=True)
        ]
        seconds = time.perf_counter() - begin
    bullet = Throws.cat(parts).outcome
    clean = bullet.torque_saturation == 0
    apart = (batch.landing - bullet.landing).norm(dim=-1)
    seen = apart[clean & ~apart.isnan()]
    numbers = f"{seen.median():12.1e}{seen.max():12.1e}" if len(seen) else f"{'-':>12}{'-':>12}"
    return (
        f"{robot:8}{kind:12}{count:8}{int((~apart.isnan()).sum()):8}{numbers}"
        f"{100 * (1 - clean.double().mean()):14.1f}{100 * bullet.torque_saturation.mean():13.2f}"
        f"{bullet.limit_violations.mean():12.2f}{count / seconds:11.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--throws", type=int, default=200, help="throws of each kind (default 200)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'':36}{'landings apart, m':>24}{'torque clipped, % of':>27}{'violations':>12}{'PyBullet':>11}")
    columns = f"{'median':>12}{'max':>12}{'throws':>14}{'steps':>13}{'a throw':>12}{'throws/s':>11}"
    print(f"{'robot':8}{'actions':12}{'throws':>8}{'landed':>8}{columns}")
    for robot in ("panda", "iiwa"):
        for kind in KINDS:
            print(compare(robot, kind, options.throws, options.seed), flush=True)


if __name__ == "__main__":
    main()
