"""Who carries out a person's orders about episodes: our recorder, or plain events for `ros2 bag record`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rclpy.task import Future
from std_srvs.srv import SetBool, Trigger

from irl_ros.msg import EpisodeEvent
from irl_ros.nodes import interface as names
from irl_ros.nodes.base import IrlNode

Tell = Callable[[str], None]


class EpisodeOrders(Protocol):
    """Takes the orders start, keep, success, failure, discard and withdraw."""

    def give(self, order: str) -> None: ...

    def released(self) -> None:
        """The hand has let go of the ball."""


_VERBS = {"start": "start", "keep": "stop", "discard": "discard", "withdraw": "withdraw"}
"""Order → verb of the recorder's Trigger services."""


class RecorderOrders:
    """Orders as calls of a recorder's services; what it answers is told.

    Args:
        node: calls.
        recorder: name of the recorder's node.
        tell: shows a line to the person.
        echo: tell what the recorder answers.
    """

    def __init__(self, node: IrlNode, recorder: str, tell: Tell, echo: bool = True) -> None:
        self._tell, self._echo = tell, echo
        self._clients = {
            order: node.create_client(Trigger, f"{recorder}/{verb}_episode") for order, verb in _VERBS.items()
        }
        self._judge = node.create_client(SetBool, f"{recorder}/judge_episode")

    def give(self, order: str) -> None:
        client = self._clients.get(order, self._judge)
        if not client.service_is_ready():
            self._tell(f"{order}: nobody answers at {client.srv_name}: is the recorder up?")
            return
        request = Trigger.Request() if order in self._clients else SetBool.Request(data=order == "success")
        client.call_async(request).add_done_callback(self._on_answer)

    def released(self) -> None:
        """The recorder has heard the gripper's command itself."""

    def _on_answer(self, future: Future) -> None:
        answer = future.result()
        if self._echo:
            self._tell(answer.message)


class EventOrders:
    """Orders as events on irl/episode, by which a bag of `ros2 bag record -a` is split and judged.

    Args:
        node: publishes.
        operator_name: noted in every event.
        tell: shows a line to the person.
    """

    def __init__(self, node: IrlNode, operator_name: str, tell: Tell) -> None:
        self._node, self._who, self._tell = node, operator_name, tell
        self._events = node.create_publisher(EpisodeEvent, names.EPISODE, names.EVENT)
        self._number, self._open = -1, False

    def give(self, order: str) -> None:
        if order == "start":
            self._number, self._open = self._number + 1, True
            self._publish(EpisodeEvent.START)
        elif order == "withdraw" or (order == "discard" and self._open):
            self._open = False
            self._publish(EpisodeEvent.DISCARD)
        elif self._open and order != "discard":
            self._open = False
            outcome = order if order in ("success", "failure") else ""
            self._publish(EpisodeEvent.STOP, outcome=outcome, ended_by="operator")
        else:
            self._tell("no episode is open")
            return
        self._tell(f"{order}: episode {self._number}")

    def released(self) -> None:
        if self._open:
            self._publish(EpisodeEvent.RELEASE)

    def _publish(self, event: int, **facts: str) -> None:
        message = EpisodeEvent(episode=max(self._number, 0), event=event, operator_name=self._who, **facts)
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._events.publish(message)
