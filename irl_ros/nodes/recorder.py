"""recorder: episodes to rosbag2 folders as they are thrown, at the word of services or of an action."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from geometry_msgs.msg import PointStamped
from nav_msgs.msg import Odometry
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool, Trigger

from irl_ros.demos.bag import roles_of
from irl_ros.demos.episode_report import episode_report
from irl_ros.demos.episode_tape import SimulatedTime
from irl_ros.demos.recording_session import Answer, RecordingSession, SessionSettings, State
from irl_ros.demos.session_folder import LAYOUTS, SessionFolder
from irl_ros.demos.start_gate import COMMANDED, ROLES
from irl_ros.msg import EpisodeEvent
from irl_ros.nodes import interface as names
from irl_ros.nodes.base import run
from irl_ros.nodes.managed import ManagedNode
from irl_ros.nodes.record_action import RecordAction
from irl_ros.settings import build
from irl_ros.sim import load_world

Tell = Callable[[str, Sequence[str], float], bool]
"""Takes state ('waiting', 'countdown'), what is waited for and s left; False breaks the beginning off."""
_STEP = 0.1  # s between two looks at what is missing
_TICKS_KEPT = 10_000_000_000  # ns of /clock before the newest tick, outside episodes
_KINDS = {
    "joint_states": (JointState, names.SENSOR_RECORDED),
    "ball": (Odometry, names.SENSOR_RECORDED),
    "target": (PointStamped, names.LATCHED),
    "commands": (Float64MultiArray, names.COMMAND_RECORDED),
    "gripper": (Float64MultiArray, names.COMMAND_RECORDED),
}


class Recorder(ManagedNode):
    """A RecordingSession on topics."""

    def __init__(self) -> None:
        super().__init__("recorder")
        self.parameter("world", "default", "world: a shipped name or the path of a YAML")
        self.parameter("out", "demos", "folder that gets the bags; its numbers go on")
        self.parameter("layout", "bags", "bags: one an episode; split: one of many files", choices=LAYOUTS)
        self.parameter("storage", "mcap", "of the bags", choices=("mcap", "sqlite3"))
        self.parameter("operator_name", "", "who throws; noted in every episode")
        self.parameter("needs", list(ROLES), "topics an episode does not start without, by role")
        self.parameter("max_age", 1.0, "oldest joint state and ball to start with, s (wall)", 0.01, 60.0)
        self.parameter("max_duration", 60.0, "an episode is stopped after this many s (wall)", 1.0, 3600.0)
        self.parameter("countdown", 0.0, "from order to start, s", 0.0, 60.0, live=True)
        self.parameter("audit", True, "read every kept episode back and print what it holds", live=True)

    def configure(self) -> None:
        self.world = load_world(self.value("world"))
        self._clock_ticks = SimulatedTime() if self.value("use_sim_time") else None
        self._events = self.create_publisher(EpisodeEvent, names.EPISODE, names.EVENT)
        roles = roles_of(self.world.robot)
        asked = {key: self.value(key) for key in ("operator_name", "needs", "max_age", "max_duration")}
        settings = build(SessionSettings, asked, "parameter")
        self.session = RecordingSession(
            self.world,
            SessionFolder(self.value("out"), self.value("layout"), self.value("storage")),
            {role: (self.resolve_topic_name(name), kind) for role, (name, kind) in roles.items()},
            announce=self._events.publish,
            stamp=lambda: self.get_clock().now().nanoseconds,
            wall=time.time_ns,
            settings=settings,
            clock=self._clock_ticks,
        )
        self._beginning: object | None = None
        self._offer()

    def activate(self) -> None:
        self._listen()
        self.create_wall_timer(0.5, self._on_watch)

    def deactivate(self) -> None:
        """An open episode is not a demonstration yet."""
        self._beginning = None
        if self.session.state is State.UNSAVED:
            self.end("service")  # once more: it was judged, and only the disk stood in the way
        if self.session.state is not State.READY:
            self.session.discard()
            lost = Answer(False, f"episode {self.session.number} was still open and is not kept")
            self._tell(lost, keeps=False)

    def cleanup(self) -> None:
        if hasattr(self, "session"):  # else `configure` broke off
            self.session.folder.close()

    def _listen(self) -> None:
        if self._clock_ticks:
            self.create_subscription(ClockMessage, names.CLOCK, self._on_clock, names.COMMAND_RECORDED)
        for role, (kind, qos) in _KINDS.items():
            topic = self.session.topics[role][0]
            self.create_subscription(kind, topic, self._taker(role), qos, raw=True)

    def _offer(self) -> None:
        # a countdown takes a while; in the common group the messages it waits for could not come
        group = MutuallyExclusiveCallbackGroup()
        self.create_service(Trigger, "~/start_episode", self._on_start, callback_group=group)
        self.create_service(Trigger, "~/stop_episode", self._answering(self.session.stop, keeps=True))
        self.create_service(Trigger, "~/discard_episode", self._answering(self._discard))
        self.create_service(Trigger, "~/withdraw_episode", self._answering(self.session.withdraw))
        self.create_service(SetBool, "~/judge_episode", self._on_judge)
        self._action = RecordAction(self)

    def _taker(self, role: str) -> Callable[[bytes, dict[str, int]], None]:
        def take(cdr: bytes, info: dict[str, int]) -> None:
            when = info["source_timestamp"] if self._clock_ticks else info["received_timestamp"]
            self.session.hear(role, when, cdr, self.seconds())

        return take

    def _on_clock(self, message: ClockMessage, info: dict[str, int]) -> None:
        now = info["source_timestamp"]
        assert self._clock_ticks is not None
        self._clock_ticks.tick(now, message.clock.sec * 1_000_000_000 + message.clock.nanosec)
        if self.session.state is State.READY:
            self._clock_ticks.forget(now - _TICKS_KEPT)

    async def _on_start(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return _filled(response, await self.begin())

    async def begin(self, patience: float = 0.0, tell: Tell = lambda *_: True) -> Answer:
        """Wait for what is missing, count down and start an episode.

        Args:
            patience: longest wait for topics, s (wall).
            tell: called while it waits and counts.
        """
        if not self.active:
            return Answer(False, f"the recorder is {self.state_label}")
        if self._beginning:
            return Answer(False, "an episode is about to begin already")
        token = self._beginning = object()
        try:
            going = await self._wait(token, patience, tell) and await self._count_down(token, tell)
        finally:
            if self._beginning is token:
                self._beginning = None
        broken_off = Answer(False, "broken off before it began")
        answer = self.session.start(self.seconds(), self._offered()) if going else broken_off
        self.get_logger().info(f"recording {answer.text}" if answer.done else answer.text)
        return answer

    async def _wait(self, token: object, patience: float, tell: Tell) -> bool:
        """Until no topic is missing or patience ends; whether to go on."""
        end = self.seconds() + patience
        while self.session.state is State.READY and (missing := self._missing()):
            left = end - self.seconds()
            if left <= 0.0:
                break  # the session refuses, and says what is missing
            if not tell("waiting", missing, left):
                return False
            await self.sleep(min(_STEP, left))
            if self._beginning is not token:
                return False
        return True

    async def _count_down(self, token: object, tell: Tell) -> bool:
        """Seconds as a person counts them, unless the episode will be refused anyhow; whether to go on."""
        countdown = self.value("countdown")
        if not countdown or self.session.state is not State.READY or self._missing():
            return True
        for left in range(math.ceil(countdown), 0, -1):
            self.get_logger().info(f"episode {self.session.folder.next_number} in {left} …")
            if not tell("countdown", (), float(min(left, countdown))):
                return False
            await self.sleep(min(1.0, countdown - left + 1))
            if self._beginning is not token:
                return False
        return tell("countdown", (), 0.0)

    def _missing(self) -> list[str]:
        return self.session.missing(self.seconds(), self._offered())

    def _offered(self) -> set[str]:
        return {role for role in COMMANDED if self.count_publishers(self.session.topics[role][0])}

    def _discard(self) -> Answer:
        if self._beginning:
            self._beginning = None
            return Answer(True, "countdown broken off")
        return self.session.discard()

    def end(self, ended_by: str) -> None:
        """Stop the open episode and keep it; the action is told as everybody is."""
        self._tell(self.session.stop(ended_by), keeps=True)

    def _answering(self, order: Callable[[], Answer], keeps: bool = False):
        def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            return _filled(response, self._tell(order(), keeps))

        return answer

    def _on_judge(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """The person in charge ends the episode with a word about it."""
        outcome = "success" if request.data else "failure"
        return _filled(response, self._tell(self.session.stop("operator", outcome), keeps=True))

    def _tell(self, answer: Answer, keeps: bool) -> Answer:
        """Print what an order has done, and tell the action."""
        kept = self.session.last if keeps and answer.done else None
        audit = episode_report(kept.path, self.world) if kept and self.value("audit") else []
        if answer.done:
            self.get_logger().info("\n".join([answer.text, *audit]))
        else:
            self.get_logger().error(answer.text)
        self._action.on_end(answer, kept, audit)
        return answer

    def _on_watch(self) -> None:
        if self.session.expired(self.seconds()):
            self.end("timeout")

    def status(self) -> tuple[bool, str, Mapping[str, Any]]:
        session = self.session
        line = session.state.value
        if session.state is not State.READY:
            line = f"episode {session.number}: {line}"
        figures = {
            "saved": session.saved,
            "hits": session.hits,
            "last_bag": session.last.path if session.last else "",
        }
        return session.state is not State.UNSAVED, line, figures


def _filled(response: Any, answer: Answer) -> Any:
    response.success, response.message = answer.done, answer.text
    return response


def main(arguments: Sequence[str] | None = None) -> int:
    return run(Recorder, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
