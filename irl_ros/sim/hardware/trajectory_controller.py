"""ros2_control's joint_trajectory_controller: a motion is accepted or refused, then followed to its end."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence

import numpy as np

from irl_ros.errors import InputError, unknown_name
from irl_ros.sim.hardware.setpoint import Setpoint
from irl_ros.sim.hardware.trajectory import Trajectory, TrajectoryPoint, between

_STILL = float(np.finfo(np.float32).eps)  # rad/s; what upstream calls zero at the end


class TrajectoryController:
    """Follows the last trajectory it accepted; holds its last point ever after.

    As in ros2_controllers 6.9 (validate_trajectory_msg, Trajectory::sample) with the defaults there: every
    joint is named, the end is at rest, integration is off, and no tolerance is checked. A new trajectory
    replaces the old one at once, from the state measured then; between now and its first point the arm goes
    on the curve that joins both. Whoever sent it may be dead.

    Args:
        name: for messages.
        joints: the controller's, in its own order.
    """

    def __init__(self, name: str, joints: Sequence[str]) -> None:
        self.name, self.joints = name, list(joints)
        self.active = True
        self.trajectory: Trajectory | None = None
        self._hold: np.ndarray | None = None

    def activate(self, q: np.ndarray) -> None:
        """Begin (again): hold where the arm is, rad, [n]."""
        self.active, self.trajectory, self._hold = True, None, np.array(q, dtype=float)

    def receive(self, trajectory: Trajectory, now: float, q: np.ndarray, qd: np.ndarray) -> None:
        """A trajectory arrives at `now`, s, while the arm is measured at q with qd, rad and rad/s, [n].

        Raises:
            InputError: it is refused; the motion under way goes on.
        """
        self._check(trajectory, now)
        order = [list(trajectory.joints).index(joint) for joint in self.joints]
        first, start = trajectory.points[0], now if trajectory.start is None else trajectory.start
        # what the first point gives, the state before it gives too, or the first curve would be another one
        velocity = qd.tolist() if len(first.velocities) else []
        acceleration = [0.0] * len(qd) if len(first.accelerations) else []
        points = [_ordered(p, order, start) for p in trajectory.points]
        self._points = [TrajectoryPoint(now, q.tolist(), velocity, acceleration), *points]
        # a start in the past: upstream leaps onto the curve. So do we: what happens then should be seen
        self._times = [-math.inf, *(p.time for p in points)]
        self.trajectory = trajectory

    def update(self, now: float) -> Setpoint | None:
        """What the arm should do by `now`, s; None while nothing was ever commanded."""
        if not self.active:
            return None
        if self.trajectory is None:
            return None if self._hold is None else Setpoint(self._hold, np.zeros(len(self.joints)))
        index = bisect.bisect_right(self._times, now)
        if index == len(self._points):
            last = self._points[-1]
            return Setpoint(np.asarray(last.positions), np.zeros(len(self.joints)))
        position, velocity, _ = between(self._points[index - 1], self._points[index], now)
        return Setpoint(position, velocity)

    @property
    def end(self) -> float | None:
        """When the trajectory is over, s; None without one."""
        return None if self.trajectory is None else self._times[-1]

    def _check(self, trajectory: Trajectory, now: float) -> None:
        def refuse(problem: str, cure: str = "") -> None:
            raise InputError(self.name, f"refuses a trajectory: {problem}", cure)

        if not self.active:
            refuse("the controller is not active")
        if len(trajectory.joints) != len(self.joints):
            refuse(f"it names {len(trajectory.joints)} joints", f"name all {len(self.joints)}")
        if not trajectory.points:
            refuse("it has no points")
        for joint in trajectory.joints:
            if joint not in self.joints:
                refuse(*unknown_name("joint", joint, self.joints))
        if any(abs(v) > _STILL for v in trajectory.points[-1].velocities):
            refuse("it ends with velocity", "end at rest")
        if trajectory.start is not None and trajectory.start + trajectory.duration < now:
            refuse("it ends in the past")
        for i, (before, point) in enumerate(zip([None, *trajectory.points], trajectory.points)):
            if before is not None and point.time <= before.time:
                refuse(f"point {i} is not later than the one before")
            self._check_point(point, i, refuse)

    def _check_point(self, point: TrajectoryPoint, i: int, refuse: Callable[..., None]) -> None:
        fields = ("positions", "velocities", "accelerations")
        for field in fields:
            given = getattr(point, field)
            if len(given) != len(self.joints) and (len(given) or field == "positions"):
                refuse(f"point {i} has {len(given)} {field}", f"give {len(self.joints)}")
            # upstream does not look; in the simulator it would spread everywhere
            if not np.isfinite(np.asarray(given, dtype=float)).all():
                refuse(f"point {i}: {field} are not finite")
        if len(point.effort):
            refuse(f"point {i} has effort", "leave it out: the command interface is position")


def _ordered(point: TrajectoryPoint, order: list[int], start: float) -> TrajectoryPoint:
    """With the controller's joint order, and its time on the arm's clock."""
    values = [
        [x[i] for i in order] if len(x) else []
        for x in (point.positions, point.velocities, point.accelerations)
    ]
    return TrajectoryPoint(start + point.time, *values)
