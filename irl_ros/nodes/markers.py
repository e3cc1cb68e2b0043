"""markers: what there is to see of a throw on irl/markers, for RViz and Foxglove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from geometry_msgs.msg import Point, PointStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from irl_ros.demos.resampler import JointOrder, twist_in_world
from irl_ros.evaluation.scene import Scene
from irl_ros.nodes import interface as names
from irl_ros.nodes.base import run
from irl_ros.nodes.managed import ManagedNode
from irl_ros.sim import load_world

_HIT = 0.10  # m
_GREY, _GREEN, _RED, _BLUE, _YELLOW = (
    ColorRGBA(r=r, g=g, b=b, a=a)
    for r, g, b, a in (
        (0.7, 0.7, 0.7, 1.0),
        (0.2, 0.7, 0.3, 0.6),
        (0.9, 0.3, 0.2, 1.0),
        (0.2, 0.5, 0.9, 0.9),
        (0.95, 0.75, 0.1, 1.0),
    )
)


class Markers(ManagedNode):
    """Draws target, arm, ball, the flight to come and the landings so far."""

    def __init__(self) -> None:
        super().__init__("markers")
        self.parameter("world", "default", "world: a shipped name or the path of a YAML")
        self.parameter("rate", 15.0, "drawings a second (wall)", 0.1, 100.0)

    def configure(self) -> None:
        self.scene = Scene(load_world(self.value("world")))
        self._order = JointOrder(self.scene.world.robot)
        self._drawn = self.create_publisher(MarkerArray, names.MARKERS, names.LATCHED)

    def activate(self) -> None:
        self.create_subscription(JointState, names.JOINT_STATES, self._on_joints, names.SENSOR)
        self.create_subscription(Odometry, names.BALL, self._on_ball, names.SENSOR)
        self.create_subscription(PointStamped, names.TARGET, self._on_target, names.LATCHED)
        self.create_wall_timer(1.0 / self.value("rate"), self._draw)

    def _on_joints(self, message: JointState) -> None:
        motion = self._order.pick(message.name, message.position, message.velocity)
        if motion is not None:
            q, qd = motion
            self.scene.joints(q, np.nan_to_num(qd))  # without velocities: as if it stood

    def _on_ball(self, message: Odometry) -> None:
        p, o, v = message.pose.pose.position, message.pose.pose.orientation, message.twist.twist.linear
        if not np.isfinite((p.x, p.y, p.z)).all():
            return  # the tracker has lost it
        self.scene.ball_at((p.x, p.y, p.z), twist_in_world((o.x, o.y, o.z, o.w), (v.x, v.y, v.z)))

    def _on_target(self, message: PointStamped) -> None:
        target = np.array([message.point.x, message.point.y, message.point.z])
        self.scene.target = target if np.isfinite(target).all() else None

    def _draw(self) -> None:
        scene, radius = self.scene, self.scene.world.settings.ball.radius
        markers = [self._lines("arm", scene.arm(), 0.05, _GREY), self._lines("arc", scene.arc(), 0.01, _BLUE)]
        if scene.target is not None:
            disc = self._marker("target", Marker.CYLINDER, (2 * _HIT, 2 * _HIT, 0.005), _GREEN)
            disc.pose.position = _point(scene.target)
            markers.append(disc)
        if scene.ball is not None:
            ball = self._marker("ball", Marker.SPHERE, (2 * radius,) * 3, _YELLOW)
            ball.pose.position = _point(scene.ball[0])
            markers.append(ball)
        spots = self._marker("landings", Marker.SPHERE_LIST, (0.03,) * 3, _GREEN)
        spots.points = [_point(where) for where, _ in scene.landings]
        spots.colors = [_GREEN if miss <= _HIT else _RED for _, miss in scene.landings]
        markers.append(_or_gone(spots))
        self._drawn.publish(MarkerArray(markers=markers))

    def _lines(self, name: str, points: np.ndarray, width: float, color: ColorRGBA) -> Marker:
        marker = self._marker(name, Marker.LINE_STRIP, (width, 0.0, 0.0), color)
        marker.points = [_point(p) for p in points]
        return _or_gone(marker)

    def _marker(self, name: str, kind: int, scale: Sequence[float], color: ColorRGBA) -> Marker:
        marker = Marker(ns=name, type=kind, action=Marker.ADD, color=color)
        marker.header.frame_id = names.WORLD_FRAME
        marker.header.stamp = self.get_clock().now().to_msg()
        marker.scale.x, marker.scale.y, marker.scale.z = map(float, scale)
        marker.pose.orientation.w = 1.0
        return marker

    def status(self) -> tuple[bool, str, Mapping[str, Any]]:
        seen = {"joint_states": self.scene.q, "ball": self.scene.ball, "target": self.scene.target}
        missing = [name for name, value in seen.items() if value is None]
        line = f"waiting for {', '.join(missing)}" if missing else "drawing"
        return True, line, {"landings": len(self.scene.landings)}


def _or_gone(marker: Marker) -> Marker:
    """Viewers complain about a marker of no points."""
    if not marker.points:
        marker.action = Marker.DELETE
    return marker


def _point(x: np.ndarray) -> Point:
    return Point(x=float(x[0]), y=float(x[1]), z=float(x[2]))


def main(arguments: Sequence[str] | None = None) -> int:
    torch.set_num_threads(1)
    return run(Markers, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
