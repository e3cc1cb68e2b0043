"""A timed joint motion by points, and the curve that joint_trajectory_controller puts through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TrajectoryPoint:
    """One point of a trajectory_msgs/JointTrajectory; what is empty is not given.

    Attributes:
        time: from the start of the trajectory, s.
        positions, velocities, accelerations: rad, rad/s, rad/s², one for each joint.
        effort: N m.
    """

    time: float
    positions: Sequence[float]
    velocities: Sequence[float] = ()
    accelerations: Sequence[float] = ()
    effort: Sequence[float] = ()


@dataclass(frozen=True)
class Trajectory:
    """Points for named joints.

    Attributes:
        joints: names, in the order of the points' numbers.
        points: in the order of time.
        start: when it begins, s on the arm's clock; None: at once.
    """

    joints: Sequence[str]
    points: Sequence[TrajectoryPoint]
    start: float | None = None

    @property
    def duration(self) -> float:
        """Time of the last point, s."""
        return self.points[-1].time


def between(a: TrajectoryPoint, b: TrajectoryPoint, time: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Position, velocity and acceleration, each [n], at `time` s between two points.

    Linear, cubic or quintic: the lowest degree that meets all that both points give.
    """
    span, t = b.time - a.time, time - a.time
    rows: list[tuple[Sequence[float], Sequence[float]]] = [(a.positions, b.positions)]
    if len(a.velocities) and len(b.velocities):
        rows.append((a.velocities, b.velocities))
        if len(a.accelerations) and len(b.accelerations):
            rows.append((a.accelerations, b.accelerations))
    polynomial = _hermite([np.asarray(x, dtype=float) for row in rows for x in row], span)
    powers = t ** np.arange(6.0)
    k = np.arange(6.0)
    first = k[1:] * powers[:-1]
    second = k[2:] * k[1:-1] * powers[:-2]
    return powers @ polynomial, first @ polynomial[1:], second @ polynomial[2:]


def _hermite(ends: list[np.ndarray], span: float) -> np.ndarray:
    """Coefficients [6, n], lowest power first, of the curve through values (and derivatives) at both ends."""
    out = np.zeros((6, len(ends[0])))
    x0, x1 = ends[0], ends[1]
    out[0] = x0
    if span <= 0.0:
        return out
    if len(ends) == 2:
        out[1] = (x1 - x0) / span
        return out
    v0, v1 = ends[2] * span, ends[3] * span
    out[1] = v0
    if len(ends) == 4:
        out[2] = 3 * (x1 - x0) - 2 * v0 - v1
        out[3] = 2 * (x0 - x1) + v0 + v1
    else:
        a0, a1 = ends[4] * span**2, ends[5] * span**2
        out[2] = a0 / 2
        out[3] = 10 * (x1 - x0) - 6 * v0 - 4 * v1 - (3 * a0 - a1) / 2
        out[4] = 15 * (x0 - x1) + 8 * v0 + 7 * v1 + (3 * a0 - 2 * a1) / 2
        out[5] = 6 * (x1 - x0) - 3 * (v0 + v1) - (a0 - a1) / 2
    return out / span ** np.arange(6.0)[:, None]
