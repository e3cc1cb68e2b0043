"""What there is to see of a throw, as points: the arm, the way the ball would fly, where balls landed."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import torch

from irl_ros.demos.ball_flight import free_flight
from irl_ros.sim.world import World

HELD = 0.05
"""m; a ball nearer than this to the tool is in the hand."""
_AT_REST = 0.02  # m/s; trackers tremble
_ARC_POINTS = 30
_KEPT = 100  # landings


class Scene:
    """Follows joints, ball and target, and says what to draw. All points in the world frame, m.

    Args:
        world: robot, gravity, drag.

    Attributes:
        q, qd: of the robot's joints, rad and rad/s, [n]; None before the first `joints`.
        ball: position and velocity, [3] each; None while nobody tracks it.
        target: [3]; None before one is given.
        landings: where balls came to rest, and their distance to the target then.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._kinematics = world.robot.kinematics(dtype=torch.float64)
        self.q: np.ndarray | None = None
        self.qd: np.ndarray | None = None
        self.ball: tuple[np.ndarray, np.ndarray] | None = None
        self.target: np.ndarray | None = None
        self.landings: deque[tuple[np.ndarray, float]] = deque(maxlen=_KEPT)
        self._flying = False

    def joints(self, q: Sequence[float], qd: Sequence[float]) -> None:
        """The arm's motion now."""
        self.q, self.qd = np.asarray(q, dtype=float), np.asarray(qd, dtype=float)

    def ball_at(self, position: Sequence[float], velocity: Sequence[float]) -> None:
        """The ball's motion now. One that comes to rest after a flight has landed."""
        self.ball = np.asarray(position, dtype=float), np.asarray(velocity, dtype=float)
        if self.held:
            self._flying = False
        elif float(np.linalg.norm(self.ball[1])) > _AT_REST:
            self._flying = True
        elif self._flying:
            self._flying = False
            miss = np.inf if self.target is None else float(np.linalg.norm((self.ball[0] - self.target)[:2]))
            self.landings.append((self.ball[0], miss))

    @property
    def held(self) -> bool:
        """The ball is in the hand, or nobody tracks it."""
        if self.ball is None or self.q is None:
            return True
        return bool(np.linalg.norm(self.ball[0] - self.tool()[0]) < HELD)

    def tool(self) -> tuple[np.ndarray, np.ndarray]:
        """Position and velocity of the hand, m and m/s, [3] each; `joints` must have come."""
        p, v = self._kinematics.tool_motion(torch.as_tensor(self.q), torch.as_tensor(self.qd))
        return p.numpy(), v.numpy()

    def arm(self) -> np.ndarray:
        """The arm as a line: base, joint frames, tool, [n + 2, 3]; empty before `joints`."""
        if self.q is None:
            return np.empty((0, 3))
        _, origins = self._kinematics.frames(torch.as_tensor(self.q))
        return np.vstack((np.zeros(3), origins.numpy(), self.tool()[0]))

    def arc(self) -> np.ndarray:
        """The flight to come, [m, 3]: of a ball let go now, or of the one that flies; empty where it lies."""
        if self.q is None:
            return np.empty((0, 3))
        if self.held:
            position, velocity = self.tool()
        else:
            assert self.ball is not None
            position, velocity = self.ball
        height = self.world.settings.target.height if self.target is None else float(self.target[2])
        if position[2] <= height + 1e-6 or (not self.held and not self._flying):
            return np.empty((0, 3))
        path = free_flight(self.world, position, velocity, height).positions
        chosen = np.unique(np.linspace(0, len(path) - 1, _ARC_POINTS).round().astype(int))
        return path[chosen]
