"""Throws → rosbag2 folders, one an episode like the recorder's: for demonstrations made without ROS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from irl_ros.demos.message_types import (
    EPISODE_EVENT,
    FLOAT_ARRAY,
    JOINT_STATE,
    ODOMETRY,
    POINT_STAMPED,
    typestore,
)
from irl_ros.demos.writer import EpisodeBagWriter
from irl_ros.sim.state import Throws
from irl_ros.sim.world import World

START, STOP, RELEASE = 0, 1, 3  # EpisodeEvent's constants
BEGIN = 1_700_000_000.0  # stamp of the first episode, s
PAUSE = 5.0  # from the end of an episode to the next one, s
ANSWER = 0.0005  # from a state to the command that answers it, s


def write_throws(
    folder: str | Path,
    world: World,
    throws: Throws,
    operator_name: str = "synthetic",
    storage: str = "mcap",
) -> list[Path]:
    """Write throws as bags `folder`/episode_0000, episode_0001, … that `load_demonstrations` reads.

    Args:
        folder: gets the bags.
        world: where they were thrown.
        throws: M of them.
        operator_name: noted in the episodes.
        storage: "mcap" or "sqlite3".

    Raises:
        InputError: a bag of that name is there already, or the folder cannot be written.
    """
    width = world.dt * world.horizon + PAUSE
    return [
        _EpisodeBag(Path(folder) / f"episode_{i:04d}", world, BEGIN + i * width, operator_name).write(
            i, throws[i], storage
        )
        for i in range(len(throws))
    ]


class _EpisodeBag:
    """One episode: messages collected with their receive times, then written in that order."""

    def __init__(self, path: Path, world: World, begin: float, operator_name: str) -> None:
        self.path, self.world, self.begin, self.operator_name = path, world, begin, operator_name
        controllers = world.robot.settings.controllers
        self.commands = "/" + controllers.get("commands", "arm_controller/commands").lstrip("/")
        self.gripper = "/" + controllers.get("gripper", "gripper_controller/commands").lstrip("/")
        self.topics = {
            "/joint_states": JOINT_STATE,
            self.commands: FLOAT_ARRAY,
            self.gripper: FLOAT_ARRAY,
            "/ball/odometry": ODOMETRY,
            "/target": POINT_STAMPED,
            "/irl/episode": EPISODE_EVENT,
        }
        self.rows: list[tuple[int, str, bytes]] = []

    def write(self, number: int, throw: Throws, storage: str) -> Path:
        """The bag of one throw (leading shape [])."""
        world, dt = self.world, self.world.dt
        s, actions = throw.states.to("cpu", torch.float64), throw.actions.double().cpu().numpy()
        motion = [x.numpy() for x in (s.q, s.qd, s.ball_position, s.ball_velocity)]
        self._put("/target", -0.01, header=self._header(-0.01), point=self._point(s.target[0].numpy()))
        self._event(number, -0.001, START)
        self._numbers(self.gripper, -0.0005, np.array([-1.0]))
        opened = False
        for k in range(world.horizon + 1):
            self._state(k * dt, *(x[k] for x in motion))
            if k == world.horizon:
                break
            self._numbers(self.commands, k * dt + ANSWER, actions[k, :-1] * world.velocity)
            if actions[k, -1] > 0 and not opened:
                opened = True
                self._numbers(self.gripper, k * dt + ANSWER, np.array([1.0]))
                self._event(number, k * dt + ANSWER, RELEASE)
        outcome = "success" if bool(throw.outcome.hits(0.10)) else "failure"
        self._event(number, world.horizon * dt + 0.001, STOP, outcome)
        with EpisodeBagWriter(self.path, self.topics, storage) as bag:
            for received, topic, data in sorted(self.rows, key=lambda row: row[0]):
                bag.write(topic, self.topics[topic], received, data)
        return self.path

    def _put(self, topic: str, time: float, **fields: Any) -> None:
        message = self._message(self.topics[topic], **fields)
        data = bytes(typestore().serialize_cdr(message, self.topics[topic]))
        self.rows.append((round((self.begin + time) * 1e9), topic, data))

    @staticmethod
    def _message(kind: str, **fields: Any) -> Any:
        return typestore().types[kind](**fields)

    def _header(self, time: float) -> Any:
        seconds, nanoseconds = divmod(round((self.begin + time) * 1e9), 10**9)
        stamp = self._message("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
        return self._message("std_msgs/msg/Header", stamp=stamp, frame_id="world")

    def _point(self, p: np.ndarray, kind: str = "Point") -> Any:
        return self._message(f"geometry_msgs/msg/{kind}", x=float(p[0]), y=float(p[1]), z=float(p[2]))

    def _numbers(self, topic: str, time: float, values: np.ndarray) -> None:
        layout = self._message("std_msgs/msg/MultiArrayLayout", dim=[], data_offset=0)
        self._put(topic, time, layout=layout, data=values.astype(float))

    def _state(self, time: float, q: np.ndarray, qd: np.ndarray, p: np.ndarray, v: np.ndarray) -> None:
        names, effort = list(self.world.robot.joints), np.zeros(0)
        header = self._header(time)
        self._put("/joint_states", time, header=header, name=names, position=q, velocity=qd, effort=effort)
        upright = self._message("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0)
        pose = self._message("geometry_msgs/msg/Pose", position=self._point(p), orientation=upright)
        twist = self._message(
            "geometry_msgs/msg/Twist",
            linear=self._point(v, "Vector3"),
            angular=self._point(np.zeros(3), "Vector3"),
        )
        self._put(
            "/ball/odometry",
            time,
            header=header,
            child_frame_id="ball",
            pose=self._message("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36)),
            twist=self._message(
                "geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=np.zeros(36)
            ),
        )

    def _event(self, number: int, time: float, event: int, outcome: str = "") -> None:
        self._put(
            "/irl/episode",
            time,
            header=self._header(time),
            episode=number,
            event=event,
            outcome=outcome,
            ended_by="operator" if event == STOP else "",
            operator_name=self.operator_name,
            notes="",
        )
