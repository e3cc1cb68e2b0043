"""The policy node's guards and measurements over DDS: a deadman that must be held, the gripper's delay."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from geometry_msgs.msg import PointStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from irl_ros.msg import PolicyStep
from irl_ros.nodes import interface as names
from irl_ros.nodes.recording import LOCKSTEP_MAX_AGE
from irl_ros.nodes.session import LIMIT, Session
from irl_ros.safety import StopReason

DELAY = 0.06  # s


class Deadman:
    """A pedal, told again with every state of the arm; None: nobody is there."""

    def __init__(self, session: Session) -> None:
        self.held: bool | None = None
        self.topic = session.node.create_publisher(Bool, names.DEADMAN, names.COMMAND)
        session.node.create_subscription(
            JointState, names.JOINT_STATES, self._on_joints, names.SENSOR_RECORDED
        )

    def say(self, held: bool | None) -> None:
        self.held = held
        self._on_joints()

    def _on_joints(self, _: JointState | None = None) -> None:
        if self.held is not None:
            self.topic.publish(Bool(data=self.held))


@pytest.fixture(scope="module")
def deadman(session: Session, bundle: Path) -> Iterator[Deadman]:
    """Beside an arm in lock-step with a slow gripper, and a policy that wants a deadman."""
    target = session.node.create_publisher(PointStamped, names.TARGET, names.LATCHED)
    message = PointStamped()
    message.point.x = 0.9
    target.publish(message)
    deadman = Deadman(session)
    arm = session.start("sim_arm", real_time_factor=0.0, gripper_delay=DELAY)
    policy = session.start("policy", run=str(bundle), enabled=True, max_age=LOCKSTEP_MAX_AGE, deadman=5.0)
    session.until(lambda: deadman.topic.get_subscription_count() > 0, LIMIT, "no policy")
    yield deadman
    session.stop(policy, arm)


def asked(session: Session, service: str) -> tuple[bool, str]:
    """What a service of the policy answers, once it knows the arm in its new state."""
    answers: list[tuple[bool, str]] = []

    def known() -> bool:
        session.demand("sim_arm/reset")
        answers.append(session.ask(service))
        return not answers[-1][1].startswith(("waiting", "nobody", StopReason.STALE.value))

    session.until(known, LIMIT, "the policy kept waiting")
    return answers[-1]


def test_the_grippers_delay_is_measured_by_the_fall_of_the_ball(session, deadman):
    success, message = asked(session, "policy/measure_gripper")
    assert success, message
    assert float(re.fullmatch(r"gripper_delay: ([0-9.]+)", message)[1]) == pytest.approx(DELAY, abs=0.005)


def test_nothing_moves_without_the_deadman_and_letting_go_of_it_stops_a_throw(session, deadman, listen):
    assert asked(session, "policy/throw") == (False, StopReason.DEADMAN.value), "nobody holds it"
    deadman.say(True)
    success, message = asked(session, "policy/throw")
    assert success, message
    steps = listen(PolicyStep, names.POLICY, names.SENSOR_RECORDED)
    client = session.node.create_client(Trigger, "policy/throw")
    session.until(client.service_is_ready, LIMIT, "no policy")
    session.demand("sim_arm/reset")
    answer = client.call_async(Trigger.Request())
    session.until(lambda: len(steps) > 10, LIMIT, "the throw did not begin")
    deadman.say(False)
    session.until(answer.done, LIMIT, "the throw goes on")
    assert (answer.result().success, answer.result().message) == (False, StopReason.DEADMAN.value)
