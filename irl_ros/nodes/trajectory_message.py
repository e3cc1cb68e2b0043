"""Trajectory ↔ trajectory_msgs/JointTrajectory."""

from __future__ import annotations

from builtin_interfaces.msg import Duration, Time
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from irl_ros.sim.hardware import Trajectory, TrajectoryPoint

_NS = 1_000_000_000


def to_message(trajectory: Trajectory, stamp: Time) -> JointTrajectory:
    """A message that starts at `stamp`, whatever clock `trajectory.start` is on."""
    message = JointTrajectory(joint_names=list(trajectory.joints))
    message.header.stamp = stamp
    for point in trajectory.points:
        seconds, nanoseconds = divmod(round(point.time * _NS), _NS)
        message.points.append(
            JointTrajectoryPoint(
                positions=list(point.positions),
                velocities=list(point.velocities),
                accelerations=list(point.accelerations),
                time_from_start=Duration(sec=seconds, nanosec=nanoseconds),
            )
        )
    return message


def from_message(message: JointTrajectory, now_ns: int, now: float) -> Trajectory:
    """The trajectory of a message.

    Args:
        message: as it came; a stamp of zero starts at once.
        now_ns: the time now on the clock of its stamp, ns.
        now: the same moment on the clock that `start` is wanted on, s.
    """
    points = [
        TrajectoryPoint(
            p.time_from_start.sec + p.time_from_start.nanosec / _NS,
            list(p.positions),
            list(p.velocities),
            list(p.accelerations),
            list(p.effort),
        )
        for p in message.points
    ]
    stamp = message.header.stamp.sec * _NS + message.header.stamp.nanosec
    start = None if stamp == 0 else now + (stamp - now_ns) / _NS
    return Trajectory(list(message.joint_names), points, start)
