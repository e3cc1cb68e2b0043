"""A leader arm and a 6-axis device over DDS; orders as plain events where no recorder runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from geometry_msgs.msg import PointStamped, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState, Joy

from irl_ros.msg import EpisodeEvent
from irl_ros.nodes import interface as names
from irl_ros.nodes.session import LIMIT, Session
from irl_ros.nodes.teleop import Teleop
from irl_ros.safety import StopReason
from irl_ros.sim import load_world

WORLD = load_world()
DEADMAN, START, SUCCESS = 4, 7, 3
PATIENT = """
joystick: {axes: [], deadman: 4, release: 5, timeout: 10.0, orders: {start: 7, success: 3}}
leader:
  joints: {panda_joint2: shoulder}
  scale: {panda_joint4: -1.0}
  gripper: finger
  timeout: 10.0
twist: {timeout: 10.0}
"""
"""A busy machine may be late; a person's devices would rather stop."""


class Hand:
    """What a person does, said again whenever the arm tells its state; and what the arm does."""

    def __init__(self, session: Session) -> None:
        self.session, node = session, session.node
        self.joints: list[JointState] = []
        self.balls: list[Odometry] = []
        self.says: list[Callable[[], None]] = []
        self.joy = node.create_publisher(Joy, names.JOY, names.COMMAND)
        node.create_subscription(Odometry, names.BALL, self.balls.append, names.SENSOR_RECORDED)
        node.create_subscription(JointState, names.JOINT_STATES, self._on_joints, names.SENSOR_RECORDED)

    def press(self, *buttons: int) -> None:
        self.joy.publish(Joy(axes=[0.0] * 2, buttons=[int(i in buttons) for i in range(10)]))

    def keep_pressed(self, button: int) -> None:
        """One order, however often it is said: best effort may lose a message."""
        self.says = [lambda: self.press(button)]

    def hold(self, *says: Callable[[], None]) -> None:
        """From now on the deadman is held, and this is said."""
        self.says = [lambda: self.press(DEADMAN), *says]

    def let_go(self) -> None:
        self.says = [self.press]

    def q(self) -> np.ndarray:
        found = dict(zip(self.joints[-1].name, self.joints[-1].position, strict=True))
        return np.array([found[joint] for joint in WORLD.robot.joints])

    def until_still(self) -> None:
        count = len(self.joints)

        def still() -> bool:
            recent = self.joints[count:][-5:]
            return len(recent) == 5 and max(np.abs(m.velocity).max() for m in recent) < 1e-3

        self.session.until(still, LIMIT, "the arm does not come to rest")

    def _on_joints(self, message: JointState) -> None:
        self.joints.append(message)
        for say in self.says:
            say()


@pytest.fixture
def teleop(session: Session, tmp_path: Path) -> Iterator[Callable[[str], Hand]]:
    """teleop("leader"): an arm that moves by the wall clock, a teleop that is moved so, and the hand."""
    mapping = tmp_path / "patient.yaml"
    mapping.write_text(PATIENT)
    started = []

    def begin(moves: str) -> Hand:
        target = session.node.create_publisher(PointStamped, names.TARGET, names.LATCHED)
        target.publish(PointStamped())
        hand = Hand(session)
        started.append(session.start("sim_arm", simulated_time=False, real_time_factor=0.0))
        limits = {"max_age": 5.0, "deadman": 10.0, "tracking": 1.0}
        given = {"input": moves, "mapping": str(mapping), "recorder": "", **limits}
        started.append(session.start("teleop", simulated_time=False, **given))
        ready = lambda: bool(hand.joints) and hand.joy.get_subscription_count() > 0  # noqa: E731
        session.until(ready, LIMIT, "no teleop")
        return hand

    yield begin
    session.stop(*reversed(started))


def test_the_arm_follows_a_leader_by_name_and_lets_go_with_it(session, teleop, listen):
    events = listen(EpisodeEvent, names.EPISODE, names.EVENT)
    hand = teleop("leader")
    leader = session.node.create_publisher(JointState, names.LEADER, names.COMMAND)
    joints = ["shoulder" if j == "panda_joint2" else j for j in WORLD.robot.joints]
    pose = dict.fromkeys(["finger", *reversed(joints), "a stranger's"], 0.0)
    say = lambda: leader.publish(JointState(name=list(pose), position=list(pose.values())))  # noqa: E731
    hand.keep_pressed(START)
    session.until(lambda: bool(events), LIMIT, "the order was not heard")
    before = hand.q()
    hand.hold(say)
    session.until(lambda: leader.get_subscription_count() > 0, LIMIT, "nobody follows")
    hand.until_still()
    assert hand.q() == pytest.approx(before, abs=1e-3), "coupled, the arm does not leap to the leader's pose"
    pose |= {"shoulder": 0.3, "panda_joint4": -0.2}
    wanted = before + np.array([0.0, 0.3, 0.0, 0.2, 0.0, 0.0, 0.0])
    session.until(lambda: np.abs(hand.q() - wanted).max() < 5e-3, LIMIT, "the arm does not follow")
    height = hand.balls[-1].pose.pose.position.z
    pose["finger"] = 0.04
    session.until(lambda: hand.balls[-1].pose.pose.position.z < height - 0.1, LIMIT, "the ball is still held")
    hand.let_go()
    hand.until_still()
    stays = hand.q()
    pose["shoulder"] = 1.0
    hand.says.append(say)
    hand.until_still()
    assert hand.q() == pytest.approx(stays, abs=1e-3), "uncoupled, the leader moves alone"
    hand.keep_pressed(SUCCESS)
    session.until(lambda: events[-1].event == EpisodeEvent.STOP, LIMIT, "the episode was not ended")
    assert [e.event for e in events] == [EpisodeEvent.START, EpisodeEvent.RELEASE, EpisodeEvent.STOP]
    assert (events[-1].outcome, events[-1].ended_by) == ("success", "operator")


def test_a_6_axis_device_moves_the_tool_along_the_world(session, teleop):
    hand = teleop("twist")
    device = session.node.create_publisher(TwistStamped, names.TWIST, names.COMMAND)
    twist = TwistStamped()
    twist.header.frame_id = "tool"
    twist.twist.linear.z = 0.3
    hand.hold(lambda: device.publish(twist))
    session.until(lambda: device.get_subscription_count() > 0, LIMIT, "nobody listens to the device")
    before, log = tool(hand.q()), session.children[-1].log
    session.until(lambda: "twist in frame 'tool' ignored" in log.read_text(), LIMIT, "not refused")
    hand.until_still()
    assert tool(hand.q()) == pytest.approx(before, abs=1e-3)
    twist.header.frame_id = names.WORLD_FRAME
    session.until(lambda: tool(hand.q())[2] > before[2] + 0.05, LIMIT, "the tool does not move")
    moved = tool(hand.q()) - before
    assert np.abs(moved[:2]).max() < 0.2 * moved[2], "up, and nowhere else"
    hand.let_go()
    hand.until_still()


def tool(q: np.ndarray) -> np.ndarray:
    """Position of the tool, m, [3]."""
    kinematics = WORLD.robot.kinematics(dtype=torch.float64)
    return kinematics.tool_motion(torch.as_tensor(q)[None], torch.zeros(1, len(q)).double())[0][0].numpy()


def test_an_arm_whose_clock_is_behind_stops_when_the_deadman_is_let_go(session, monkeypatch):
    """Its states seem to have been sent before the hand moved, all of them."""
    executor, node = SingleThreadedExecutor(), Teleop()
    executor.add_node(node)
    node.set_parameters([Parameter("recorder", value=""), Parameter("max_age", value=5.0)])
    arm = session.node.create_publisher(JointState, names.JOINT_STATES, names.COMMAND)
    target = session.node.create_publisher(PointStamped, names.TARGET, names.LATCHED)
    target.publish(PointStamped())
    held = True
    try:
        node.come_up()
        monkeypatch.setattr(node.hands, "action", lambda *_: (np.append(np.full(7, 0.2), -1.0), held))

        def known() -> bool:
            arm.publish(JointState(name=WORLD.robot.joints, position=WORLD.home.tolist(), velocity=[0.0] * 7))
            executor.spin_once(timeout_sec=0.0)
            return node.link.time is not None and node.link.live.at(node.link.time)[0] is not None

        session.until(known, LIMIT, "the arm was not heard")
        node._wake()
        assert node.link.filter.reason is None and not node.link.filter.at_rest, "the hand woke it"
        held = False
        for _ in range(3):
            node.link.time += WORLD.dt
            node._on_state(0)
        assert node.link.filter.reason is StopReason.DEADMAN
    finally:
        node.close()
        node.destroy_node()
