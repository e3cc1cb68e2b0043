"""Where a ball let go now would land: what a person who cannot see the arc wants to know."""

from __future__ import annotations

import numpy as np
import torch

from irl_ros.demos.ball_flight import free_flight
from irl_ros.sim.world import World

_THROWN = 0.3  # m/s; a slower hand drops the ball


def aim(world: World, q: np.ndarray, qd: np.ndarray, target: np.ndarray | None) -> str:
    """The tool's speed, and how far from the target a ball let go at q, qd (rad, rad/s, [n]) would land.

    Args:
        target: m, [3]; None while unknown.
    """
    kinematics = world.robot.kinematics(dtype=torch.float64)
    p, v = (x.numpy() for x in kinematics.tool_motion(torch.as_tensor(q), torch.as_tensor(qd)))
    speed = float(np.linalg.norm(v))
    if target is None or speed < _THROWN or p[2] <= target[2]:
        return f"tool {speed:.1f} m/s"
    miss = free_flight(world, p, v, float(target[2])).landing - target
    along = target[:2] / max(float(np.linalg.norm(target[:2])), 1e-6)
    far = float(miss[:2] @ along)
    left = float(miss[:2] @ np.array([-along[1], along[0]]))
    depth = f"{100 * abs(far):.0f} cm {'too far' if far > 0 else 'short'}"
    side = f"{100 * abs(left):.0f} cm {'left' if left > 0 else 'right'}"
    return f"tool {speed:.1f} m/s, let go now: {depth}, {side}"
