"""A State as one vector of numbers, and the bounds of its entries."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from irl_ros.robots.urdf import MOVING
from irl_ros.sim.reference import Flight
from irl_ros.sim.state import State
from irl_ros.sim.world import World

MISS = 1.5
"""Predicted landings further from the target than this, m each way, all look the same."""
SLACK = 0.1
"""Of bounds: rad or m beyond a joint's limit, share beyond a velocity limit; weak arms overshoot."""


def state_vector(s: State, flight: Flight, velocity: Tensor) -> Tensor:
    """q, q̇ as shares of the velocity limit, target, ball position and velocity, miss, held, landed, phase.

    The miss is where the ball would land if let go now, relative to the target: m, [2].

    Args:
        s: of any leading shape.
        flight: how a ball flies in its world.
        velocity: the robot's velocity limits, rad/s, [n].

    Returns:
        float32 [..., 2n + 14].
    """
    miss = flight.predicted_miss(s.ball_position, s.ball_velocity, s.target).clamp(-MISS, MISS)
    flags = torch.stack((s.held.float(), s.landed.float(), s.phase), -1)
    parts = (s.q, s.qd / velocity, s.target, s.ball_position, s.ball_velocity, miss, flags)
    return torch.cat([x.to(torch.float32) for x in parts], -1)


def state_bounds(world: World) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest entries of `state_vector` that an episode from home can show, float32 [2n + 14] each.

    All are finite, also of joints without limits: how far one gets in an episode is limited. Those of the
    ball are generous: what an arm stretched out with every joint at its fastest would throw.
    """
    robot, target = world.robot, world.settings.target
    time = world.horizon * world.dt
    low = np.maximum(robot.lower, world.home - time * world.velocity) - SLACK
    high = np.minimum(robot.upper, world.home + time * world.velocity) + SLACK
    slides = np.array([joint.kind == "prismatic" for joint in robot.chain if joint.kind in MOVING])
    reach = sum(float(np.linalg.norm(joint.translation)) for joint in robot.chain)
    reach += float(np.linalg.norm(robot.settings.tool_offset)) + float(np.maximum(-low, high)[slides].sum())
    speed = float(world.velocity[slides].sum() + reach * world.velocity[~slides].sum())
    speed += time * float(np.max(world.settings.gravity))
    share = np.full(robot.n, 1.0 + SLACK)
    far, ring, height = reach + time * speed, target.radius[1], abs(target.height) + SLACK
    high_rest = (ring, ring, height, *3 * [far], *3 * [speed], MISS, MISS, 1.0, 1.0, 1.0)
    low_rest = (*(-x for x in high_rest[:-3]), 0.0, 0.0, 0.0)
    return (
        np.concatenate((low, -share, low_rest)).astype(np.float32),
        np.concatenate((high, share, high_rest)).astype(np.float32),
    )
