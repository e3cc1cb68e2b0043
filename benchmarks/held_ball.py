#!/usr/bin/env python3
"""What the held ball's weight would change, which the worlds leave out: an arm that carries it unknowingly.

    python benchmarks/held_ball.py [--throws 500] [--seed 0]

Over random throws of each robot, while the ball is held: the torque that the default ball adds (a share of
each joint's limit), and, since the servo does not know it, how much slower the tool is for it. The servo
makes good in each physics step what it missed in the one before, so what is missed at release is one step's:
h M⁻¹ Δτ. A ball let go that much slower lands that much shorter, times its flight.
"""

from __future__ import annotations

import argparse

import torch
from agreement import KINDS, prepared

from irl_ros.robots.dynamics import Dynamics
from irl_ros.sim import BatchWorld, load_world
from irl_ros.sim.world_settings import middle


def measure(robot: str, kind: str, count: int, seed: int) -> str:
    """One line of the table."""
    world, draw = load_world({"robot": robot}), torch.Generator().manual_seed(seed)
    simulator, dynamics = BatchWorld(world, dtype=torch.float64), Dynamics(world.robot)
    throws = simulator.play(prepared(world, kind, count, draw), world.sample_targets(count, draw))
    s, mass = throws.states, middle(world.settings.ball.mass)
    held = s.held[:, 1:] & s.held[:, :-1]
    q, qd = s.q[:, 1:][held], s.qd[:, 1:][held]
    qdd = (s.qd.diff(dim=1) / world.dt)[held]
    added = dynamics.inverse_dynamics(q, qd, qdd, mass) - dynamics.inverse_dynamics(q, qd, qdd)
    share = (added.abs() / torch.from_numpy(world.robot.effort)).amax(-1)
    missed = torch.linalg.solve(dynamics.mass_matrix(q, mass), added) * world.physics_dt
    jacobian = simulator.kinematics.jacobian(q)[:, :3]
    slower = (jacobian @ missed[..., None])[..., 0].norm(dim=-1)
    last = s.held.sum(1) - 1
    row = torch.arange(count)
    flight = simulator.flight.steps_to_plane(
        s.ball_position[row, last], s.ball_velocity[row, last], s.target[row, last, 2]
    )
    short = slower.max() * flight.max() * world.physics_dt
    return (
        f"{robot:8}{kind:12}{1e3 * mass:8.0f}{100 * share.median():12.2f}{100 * share.max():8.2f}"
        f"{1e3 * slower.median():14.2f}{1e3 * slower.max():8.2f}{1e3 * short:14.1f}"
    )


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--throws", type=int, default=500, help="of each line (default 500)")
    p.add_argument("--seed", type=int, default=0)
    o = p.parse_args()
    torch.set_num_threads(1)
    print(f"{'':28}{'torque, % of limit':>20}{'tool slower, mm/s':>22}{'short, mm':>14}")
    columns = f"{'median':>12}{'max':>8}{'median':>14}{'max':>8}{'at most':>14}"
    print(f"{'robot':8}{'actions':12}{'ball, g':>8}{columns}")
    for robot in ("panda", "iiwa", "xarm6"):
        for kind in KINDS:
            print(measure(robot, kind, o.throws, o.seed), flush=True)


if __name__ == "__main__":
    main()
