"""How closely BatchWorld follows BulletWorld: the same random throws in both, for each shipped robot.

    python benchmarks/agreement.py [--throws 500] [--seed 0] [--robots panda,iiwa,xarm6]

Prints a line for each robot, kind of action and world: how many throws landed, and how far the batched world
is from PyBullet: joint positions at any time, the ball where it is let go (position, velocity), and where it
lands, in float64 and, landing alone, in float32. "strong" is the robot's own world; in "weak" each throw
draws 30 to 100 % of the torque and 0 to 2 kg of payload: torques are clipped, joints fall to their stops.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch

from irl_ros.sim import BatchWorld, BulletWorld, Conditions, Throws, World, load_world, throw

WEAK = {"effort_scale": [0.3, 1.0], "payload": [0.0, 2.0]}
WORLDS: dict[str, dict[str, Any]] = {"strong": {}, "weak": {"arm": WEAK}}


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


def prepared(world: World, kind: str, count: int, draw: torch.Generator) -> torch.Tensor:
    """Actions [N, T, n + 1] that let go at a time of their own each."""
    release = torch.randint(10, 35, (count, 1), generator=draw)
    opening = torch.where(torch.arange(world.horizon) >= release, 1.0, -1.0).double()
    return torch.cat((KINDS[kind](world, count, draw), opening[..., None]), -1)


def in_pybullet(
    world: World, actions: torch.Tensor, targets: torch.Tensor, drawn: Conditions | None
) -> tuple[Throws, float]:
    """The throws, and how many a second of processor time."""
    upcoming = iter(actions.unbind(1))
    with BulletWorld(world) as simulator:
        begin = time.process_time()
        throws = throw(simulator, lambda state: next(upcoming), targets, conditions=drawn)
        return throws, len(actions) / (time.process_time() - begin)


def apart(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Largest distance of each throw's values, [N]; 0 where neither has any."""
    return (one.double() - other).flatten(1).abs().nan_to_num(0.0).amax(1)


def compare(robot: str, kind: str, strength: str, count: int, seed: int) -> str:
    """One line of the table."""
    world, draw = load_world({"robot": robot, **WORLDS[strength]}), torch.Generator().manual_seed(seed)
    actions, targets = prepared(world, kind, count, draw), world.sample_targets(count, draw)
    drawn = world.sample_conditions(count, draw)
    bullet, rate = in_pybullet(world, actions, targets, drawn)
    batch = BatchWorld(world, dtype=torch.float64).play(actions, targets, conditions=drawn)
    single = BatchWorld(world).play(actions.float(), targets, conditions=drawn)
    row = torch.arange(count)
    last = bullet.states.held.sum(1) - 1  # the last step in which the ball is held
    let_go = [
        apart(getattr(batch.states, name)[row, last], getattr(bullet.states, name)[row, last]).max()
        for name in ("ball_position", "ball_velocity")
    ]
    landing = apart(batch.outcome.landing, bullet.outcome.landing)
    rough = apart(single.outcome.landing, bullet.outcome.landing)
    other = (batch.outcome.landing.isnan() != bullet.outcome.landing.isnan()).any()
    landed = f"{int(bullet.states.landed[:, -1].sum()):8}{'!' if other else ' '}"
    share = bullet.outcome.torque_saturation
    joints = apart(batch.states.q, bullet.states.q)
    numbers = (joints.median(), joints.max(), *let_go, landing.median(), landing.max())
    return (
        f"{robot:8}{kind:12}{strength:8}{count:7}{landed}"
        + "".join(f"{x:10.1e}" for x in (*numbers, rough.median(), rough.max()))
        + f"{100 * (share > 0).double().mean():9.1f}{100 * share.mean():9.2f}{rate:9.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--throws", type=int, default=500, help="throws of each line (default 500)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--robots", default="panda,iiwa,xarm6")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{'':36}{'q':>10}{'released, m, m/s':>20}{'landing, m':>20}{'in float32':>20}{'clipped, % of':>18}"
    )
    columns = ("max", "max", "max", "median", "max", "median", "max")
    print(
        f"{'robot':8}{'actions':12}{'arm':8}{'throws':>7}{'landed':>8} "
        + "".join(f"{x:>10}" for x in columns)
        + f"{'throws':>9}{'steps':>9}{'Bullet/s':>9}"
    )
    for robot in options.robots.split(","):
        for strength in WORLDS:
            for kind in KINDS:
                print(compare(robot, kind, strength, options.throws, options.seed), flush=True)


if __name__ == "__main__":
    main()
