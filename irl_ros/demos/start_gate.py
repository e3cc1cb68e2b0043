"""StartGate: the newest message of each role, and why no episode can start with them yet. No ROS here."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from irl_ros.demos.message_types import JOINT_STATE, typestore
from irl_ros.demos.resampler import JointOrder
from irl_ros.robots import Robot

MEASURED, COMMANDED = ("joint_states", "ball", "target"), ("commands", "gripper")
ROLES = (*MEASURED, *COMMANDED)
_JOINT_STATES_KEPT = 50  # of which one at least is this robot's, however many share the topic
_Heard = tuple[float, int, bytes]  # now, message time, message


class StartGate:
    """Hears what is published and knows what an episode would lack.

    Args:
        robot: whose joint states count.
        topics: role → full topic name, of ROLES.
        needs: roles that must be there before an episode starts.
        max_age: oldest joint state and ball to start with, s.
    """

    def __init__(
        self, robot: Robot, topics: Mapping[str, str], needs: Collection[str], max_age: float
    ) -> None:
        self.robot, self.topics, self.needs, self.max_age = robot, dict(topics), needs, max_age
        self._heard: dict[str, _Heard] = {}
        self._joint_states: deque[_Heard] = deque(maxlen=_JOINT_STATES_KEPT)
        self._order = JointOrder(robot)

    def hear(self, role: str, when: int, cdr: bytes, now: float) -> None:
        """A message of a role, of message time `when`, ns."""
        self._heard[role] = (now, when, cdr)
        if role == "joint_states":
            self._joint_states.append((now, when, cdr))

    def missing(self, now: float, offered: Collection[str]) -> list[str]:
        """Why no episode can start now, one text a topic.

        Args:
            offered: roles that somebody publishes.
        """
        faults = [self._fault(role, now) for role in MEASURED if role in self.needs]
        faults += [
            f"{self.topics[role]} (nobody publishes it)"
            for role in COMMANDED
            if role in self.needs and role not in offered
        ]
        return [fault for fault in faults if fault]

    def first_messages(self, wall: int) -> list[tuple[int, str, bytes]]:
        """What an episode that starts now (message time `wall`, ns) begins with: time, role, message."""
        first = []
        for role in MEASURED:
            found = self._newest(role)
            if found is not None:
                # the target holds from before; the arm's state is the one the throw starts from
                first.append((wall if role == "target" else found[1], role, found[2]))
        return first

    def _fault(self, role: str, now: float) -> str:
        topic = self.topics[role]
        if role not in self._heard:
            return f"{topic} (nothing heard)"
        found = self._newest(role)
        if found is None:
            return f"{topic} ({self._lacking()})"
        age = now - found[0]
        if role != "target" and age > self.max_age:
            return f"{topic} (silent for {age:.1f} s)"
        return ""

    def _newest(self, role: str) -> _Heard | None:
        """The newest message of a role; of joint states, the newest that has all joints of this robot."""
        if role != "joint_states":
            return self._heard.get(role)
        for heard in reversed(self._joint_states):
            message = _joint_state(heard)
            picked = self._order.pick(message.name, message.position, message.velocity)
            if picked is not None and np.isfinite(picked[0]).all():
                return heard
        return None

    def _lacking(self) -> str:
        names = set()
        for heard in self._joint_states:
            names.update(_joint_state(heard).name)
        lacking = [joint for joint in self.robot.joints if joint not in names]
        return f"without {', '.join(lacking)}" if lacking else "positions are missing or not finite"


def _joint_state(heard: _Heard) -> Any:
    return typestore().deserialize_cdr(heard[2], JOINT_STATE)
