"""Where commands leave for an arm: one way for each kind of controller. Nothing here decides anything."""

from __future__ import annotations

from typing import Protocol

from rclpy.node import Node
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from irl_ros.errors import InputError, unknown_name
from irl_ros.nodes import interface as names
from irl_ros.nodes.control_actions import CommandGripper, FollowTrajectory, need_control_msgs
from irl_ros.robots import Robot
from irl_ros.safety import Decision

FORWARD = ("forward_velocity", "forward_position")
PLANNED = ("joint_trajectory", "follow_joint_trajectory")
GRIPPERS = ("forward", "gripper_command")


class TrajectoryOutput(Protocol):
    """Takes whole motions."""

    @property
    def connected(self) -> bool: ...

    def publish(self, message: JointTrajectory) -> None: ...


class GripperOutput(Protocol):
    """Opens and closes."""

    @property
    def connected(self) -> bool: ...

    def move(self, opened: bool) -> None: ...


class ForwardOutput:
    """To a forward_command_controller.

    Args:
        node: whose publisher it is.
        robot: gives the topic.
        interface: `velocity` or `position`.
        period: time to the next command, s. A position is where the arm should be by then: drivers get there
            on the way, and one that is told where it is already would lag a period behind.
    """

    def __init__(self, node: Node, robot: Robot, interface: str, period: float) -> None:
        self._lead = period if interface == "position" else None
        topic = names.controller_topics(robot)[0]
        self._publisher = node.create_publisher(Float64MultiArray, topic, names.COMMAND)

    @property
    def connected(self) -> bool:
        return self._publisher.get_subscription_count() > 0

    def send(self, decision: Decision) -> None:
        """One command. Without a position that was ever commanded, an arm that takes positions stays."""
        values = decision.velocity
        if self._lead is not None:
            if decision.position is None:
                return
            values = decision.position + self._lead * decision.velocity
        self._publisher.publish(Float64MultiArray(data=values.tolist()))


class TrajectoryTopic:
    """To a joint_trajectory_controller's topic."""

    def __init__(self, node: Node, robot: Robot) -> None:
        topic = names.trajectory_topic(robot)
        self._publisher = node.create_publisher(JointTrajectory, topic, names.COMMAND)

    @property
    def connected(self) -> bool:
        return self._publisher.get_subscription_count() > 0

    def publish(self, message: JointTrajectory) -> None:
        self._publisher.publish(message)


class ForwardGripper:
    """To a forward_command_controller of the gripper: one number, said again and again.

    Args:
        values: closed and open.
    """

    def __init__(self, node: Node, robot: Robot, values: tuple[float, float] = (0.0, 1.0)) -> None:
        topic = names.controller_topics(robot)[1]
        self._values = values
        self._publisher = node.create_publisher(Float64MultiArray, topic, names.COMMAND)

    @property
    def connected(self) -> bool:
        return self._publisher.get_subscription_count() > 0

    def move(self, opened: bool) -> None:
        self._publisher.publish(Float64MultiArray(data=[self._values[opened]]))


def gripper_output(
    kind: str, node: Node, robot: Robot, values: tuple[float, float], effort: float
) -> GripperOutput:
    """The gripper's way out for a parameter's value.

    Raises:
        InputError: no such way, or what it needs is not installed.
    """
    if kind == "forward":
        return ForwardGripper(node, robot, values)
    if kind == "gripper_command":
        need_control_msgs("gripper", kind, "forward")
        return CommandGripper(node, names.controller_actions(robot)[1], values, effort)
    raise InputError("parameter gripper", *unknown_name("gripper interface", kind, GRIPPERS))


def trajectory_output(kind: str, node: Node, robot: Robot, on_refusal) -> TrajectoryOutput:  # type: ignore[no-untyped-def]
    """The way of whole motions for a parameter's value.

    Raises:
        InputError: what it needs is not installed.
    """
    if kind == "joint_trajectory":
        return TrajectoryTopic(node, robot)
    need_control_msgs("controller", kind, "joint_trajectory")
    return FollowTrajectory(node, names.controller_actions(robot)[0], on_refusal)
