"""Names and QoS of every topic the nodes share. All names are relative, so namespaces and remaps apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

if TYPE_CHECKING:  # the learner node needs no robot, and torch takes seconds to load
    from irl_ros.robots import Robot

JOINT_STATES = "joint_states"
ARM_COMMANDS = "arm_controller/commands"
ARM_TRAJECTORY = "arm_controller/joint_trajectory"
FOLLOW_TRAJECTORY = "arm_controller/follow_joint_trajectory"
GRIPPER_ACTION = "gripper_controller/gripper_cmd"
EMERGENCY_STOP = "emergency_stop"
DEADMAN = "deadman"
GRIPPER_COMMANDS = "gripper_controller/commands"
BALL = "ball/odometry"
TARGET = "target"
JOY = "joy"
LEADER = "leader/joint_states"
TWIST = "teleop/twist"
EPISODE = "irl/episode"
LEARNER = "irl/learner"
POLICY = "irl/policy"
MARKERS = "irl/markers"
DIAGNOSTICS = "/diagnostics"
CLOCK = "/clock"

WORLD_FRAME = "world"
BALL_FRAME = "ball"

SENSOR = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Measurements: the newest counts, a lost one is not sent again."""
SENSOR_RECORDED = QoSProfile(depth=1000, reliability=ReliabilityPolicy.BEST_EFFORT)
"""The same for a reader that wants every one, however busy it is."""
COMMAND = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
COMMAND_RECORDED = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
"""Said once, heard also by those who come later."""
EVENT = QoSProfile(
    depth=10, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
CLOCK_OFFERED = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
"""Time sources listen with best effort; the recorder must not miss a tick."""


def controller_topics(robot: Robot) -> tuple[str, str]:
    """Command topics of arm and gripper: the robot YAML's `controllers`, or ours."""
    controllers = robot.settings.controllers
    return controllers.get("commands", ARM_COMMANDS), controllers.get("gripper", GRIPPER_COMMANDS)


def trajectory_topic(robot: Robot) -> str:
    """Where a joint_trajectory_controller listens: the robot YAML's `controllers`, or ours."""
    return robot.settings.controllers.get("joint_trajectory", ARM_TRAJECTORY)


def controller_actions(robot: Robot) -> tuple[str, str]:
    """FollowJointTrajectory of the arm and GripperCommand: the robot YAML's `controllers`, or ours."""
    controllers = robot.settings.controllers
    follow = controllers.get("follow_joint_trajectory", FOLLOW_TRAJECTORY)
    return follow, controllers.get("gripper_command", GRIPPER_ACTION)
