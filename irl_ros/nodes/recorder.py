"""recorder: episodes to rosbag2 folders, one each, as they are thrown."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from geometry_msgs.msg import PointStamped
from nav_msgs.msg import Odometry
from rclpy.serialization import deserialize_message, serialize_message
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from irl_ros.demos.interpolation import Track
from irl_ros.errors import InputError
from irl_ros.msg import EpisodeEvent
from irl_ros.nodes import interface as names
from irl_ros.nodes.base import IrlNode, run
from irl_ros.nodes.episode_tape import HIT, EpisodeTape, SimulatedTime, landing_error
from irl_ros.sim import load_world

_TICKS_KEPT = 10_000_000_000  # ns of /clock before the newest tick, outside episodes


class Recorder(IrlNode):
    """Keeps the open episode in memory and writes it when it is stopped: a crash loses at most that one."""

    def __init__(self) -> None:
        super().__init__("recorder")
        self.world = load_world(
            self.parameter("world", "default", "world: a shipped name or the path of a YAML")
        )
        self.out = Path(self.parameter("out", "demos", "folder that gets one bag for each episode"))
        self._who = self.parameter("operator_name", "", "who throws; noted in every episode")
        self._limit = self.parameter(
            "max_duration", 60.0, "an episode is stopped after this many s (wall)", 1.0, 3600.0
        )
        self._count, self.episode = _next_number(self.out), -1
        self.saved, self.hits, self.last_bag = 0, 0, None
        self._tape: EpisodeTape | None = None
        self._released: int | None = None
        self._latest: dict[str, tuple[int, bytes]] = {}
        self._clock_ticks = SimulatedTime() if self.get_parameter("use_sim_time").value else None
        self._events = self.create_publisher(EpisodeEvent, names.EPISODE, names.EVENT)
        self._listen()
        for verb, answer in (
            ("start", self._on_start),
            ("stop", self._on_stop),
            ("discard", self._on_discard),
        ):
            self.create_service(Trigger, f"~/{verb}_episode", answer)
        self.create_wall_timer(0.5, self._on_watch)

    def _listen(self) -> None:
        if self._clock_ticks:
            self.create_subscription(ClockMessage, names.CLOCK, self._on_clock, names.COMMAND_RECORDED)
        commands, gripper = names.controller_topics(self.world.robot)
        needed = {
            names.JOINT_STATES: (JointState, names.SENSOR_RECORDED),
            names.BALL: (Odometry, names.SENSOR_RECORDED),
            names.TARGET: (PointStamped, names.LATCHED),
            commands: (Float64MultiArray, names.COMMAND_RECORDED),
            gripper: (Float64MultiArray, names.COMMAND_RECORDED),
        }
        self._topics = {name: self.resolve_topic_name(name) for name in (*needed, names.EPISODE)}
        self._types = {self._topics[n]: _type_name(kind) for n, (kind, _) in needed.items()}
        self._types[self._topics[names.EPISODE]] = _type_name(EpisodeEvent)
        self._gripper = self._topics[gripper]
        self._sources = {
            name: self.create_subscription(kind, name, self._taker(self._topics[name]), qos, raw=True)
            for name, (kind, qos) in needed.items()
        }

    def _taker(self, topic: str):
        def take(cdr: bytes, info: dict[str, int]) -> None:
            when = info["source_timestamp"] if self._clock_ticks else info["received_timestamp"]
            self._latest[topic] = (when, cdr)
            if self._tape is not None:
                self._tape.add(when, topic, cdr)
                if topic == self._gripper and self._released is None:
                    self._note_release(when, cdr)

        return take

    def _on_clock(self, message: ClockMessage, info: dict[str, int]) -> None:
        now = info["source_timestamp"]
        self._clock_ticks.tick(now, message.clock.sec * 1_000_000_000 + message.clock.nanosec)
        if self._tape is None:
            self._clock_ticks.forget(now - _TICKS_KEPT)

    def _on_start(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._tape is not None:
            return _answer(response, False, f"episode {self.episode} is open: stop or discard it first")
        if missing := self._missing():
            return _answer(response, False, f"waiting for {', '.join(missing)}")
        self._tape, self._released = EpisodeTape(), None
        self._opened, self.episode, self._count = self.seconds(), self._count, self._count + 1
        now = time.time_ns()
        for name in (names.JOINT_STATES, names.BALL, names.TARGET):
            when, cdr = self._latest[self._topics[name]]
            # the target holds from before; the arm's state is the one the throw starts from
            self._tape.add(now if name == names.TARGET else when, self._topics[name], cdr)
        self._events.publish(self._event(EpisodeEvent.START))
        return _answer(response, True, f"episode {self.episode}")

    def _missing(self) -> list[str]:
        """Topics an episode lacks: measurements must have come, commands at least be on offer."""
        silent = [
            n for n in (names.JOINT_STATES, names.BALL, names.TARGET) if self._topics[n] not in self._latest
        ]
        commands = [n for n in names.controller_topics(self.world.robot) if not self.count_publishers(n)]
        return silent + commands

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._tape is None:
            return _answer(response, False, "no episode is open")
        return _answer(response, *self._save("service"))

    def _on_discard(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._tape is None:
            return _answer(response, False, "no episode is open")
        self._tape = None
        self._events.publish(self._event(EpisodeEvent.DISCARD))
        return _answer(response, True, f"episode {self.episode} discarded")

    def _save(self, ended_by: str) -> tuple[bool, str]:
        error = self._landing_error()
        outcome = "success" if error <= HIT else "failure"
        landed = f"{100 * error:.1f} cm from the target" if np.isfinite(error) else "did not land"
        stop = self._event(EpisodeEvent.STOP, outcome=outcome, ended_by=ended_by, notes=landed)
        tape, self._tape = self._tape, None
        try:
            self.last_bag = tape.save(
                self.out / f"episode_{self.episode:04d}", self._types, self._clock_ticks
            )
        except InputError as fault:
            self.get_logger().error(str(fault))
            return False, str(fault)
        self._events.publish(stop)  # who hears it may read the bag
        self.saved, self.hits = self.saved + 1, self.hits + (error <= HIT)
        self.get_logger().info(f"{self.last_bag}: {outcome}, {landed}")
        return True, f"{self.last_bag}: {outcome}, {landed}"

    def _landing_error(self) -> float:
        if self._released is None:
            return float("inf")
        balls = [deserialize_message(cdr, Odometry) for cdr in self._tape.of(self._topics[names.BALL])]
        times = np.array([m.header.stamp.sec * 1_000_000_000 + m.header.stamp.nanosec for m in balls])
        position = np.array([(p.x, p.y, p.z) for p in (m.pose.pose.position for m in balls)])
        velocity = np.array([(v.x, v.y, v.z) for v in (m.twist.twist.linear for m in balls)])
        ball = Track.of((times - times[0]) * 1e-9, position, velocity)
        point = deserialize_message(self._tape.of(self._topics[names.TARGET])[-1], PointStamped).point
        target = np.array([point.x, point.y, point.z])
        return landing_error(self.world, ball, (self._released - times[0]) * 1e-9, target)

    def _note_release(self, when: int, cdr: bytes) -> None:
        values = deserialize_message(cdr, Float64MultiArray).data
        if len(values) and values[0] > 0.0:
            simulated = self._clock_ticks.at(when) if self._clock_ticks else None
            self._released = when if simulated is None else simulated
            self._events.publish(self._event(EpisodeEvent.RELEASE, stamp=self._released))

    def _event(self, event: int, stamp: int | None = None, **facts: str) -> EpisodeEvent:
        """An event of the open episode, which goes onto its tape."""
        message = EpisodeEvent(episode=self.episode, event=event, operator_name=self._who, **facts)
        message.header.stamp = self.get_clock().now().to_msg()
        if stamp is not None:
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 1_000_000_000)
        if self._tape is not None:
            self._tape.add(time.time_ns(), self._topics[names.EPISODE], serialize_message(message))
        return message

    def _on_watch(self) -> None:
        if self._tape is not None and self.seconds() - self._opened > self._limit:
            self._save("timeout")

    def close(self) -> None:
        """An open episode is not a demonstration yet."""
        if self._tape is not None:
            self.get_logger().warning(f"episode {self.episode} was still open and is not kept")

    def status(self) -> tuple[bool, str, Mapping[str, Any]]:
        line = "ready" if self._tape is None else f"recording episode {self.episode}"
        return True, line, {"saved": self.saved, "hits": self.hits, "last_bag": self.last_bag}


def _answer(response: Trigger.Response, success: bool, message: str) -> Trigger.Response:
    response.success, response.message = success, message
    return response


def _type_name(kind: type) -> str:
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"


def _next_number(folder: Path) -> int:
    """One more than the highest episode there."""
    found = [re.fullmatch(r"episode_(\d+)", p.name) for p in folder.iterdir()] if folder.is_dir() else []
    return max((int(m[1]) + 1 for m in found if m), default=0)


def main(arguments: Sequence[str] | None = None) -> int:
    return run(Recorder, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
