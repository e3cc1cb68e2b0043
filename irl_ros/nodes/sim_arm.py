"""sim_arm: a PyBullet arm behind ros2_control's controllers; hardware takes its place without a change."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PointStamped
from nav_msgs.msg import Odometry
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from irl_ros.errors import InputError
from irl_ros.nodes import interface as names
from irl_ros.nodes.base import run
from irl_ros.nodes.control_actions import SimulatedActions, have_control_msgs
from irl_ros.nodes.lock_step import LockStep
from irl_ros.nodes.managed import ManagedNode
from irl_ros.nodes.simulated_arm import CONTROLLERS, HardwareSettings, SimulatedArm
from irl_ros.nodes.trajectory_message import from_message
from irl_ros.sim import BatchWorld, load_world
from irl_ros.sim.hardware import LinkFaults, Trajectory
from irl_ros.sim.rollout import Simulator
from irl_ros.sim.state import State
from irl_ros.sim.world import World


class SimArm(ManagedNode):
    """Steps a SimulatedArm at the world's control rate and puts its state on topics.

    A state stamped t goes out; the command that answers it acts from t to t + 1/control_hz, as in training.
    In lock-step a command to the arm makes a step; where trajectories move it, one to the gripper does.
    """

    def __init__(self) -> None:
        super().__init__("sim_arm")
        self.parameter("world", "default", "world: a shipped name or the path of a YAML")
        self.parameter(
            "simulator", "pybullet", "pybullet, or batch for the ideal arm", choices=("pybullet", "batch")
        )
        self.parameter(
            "real_time_factor", 1.0, "speed against the wall clock; 0: one step for each command", 0.0, 100.0
        )
        self.parameter("publish_clock", False, "publish /clock; always done unless real_time_factor is 1")
        self.parameter("controller", "forward_velocity", "which has the arm", choices=CONTROLLERS)
        self.parameter("gripper_delay", 0.0, "s from the command to open to the ball's leaving", 0.0, 2.0)
        self.parameter(
            "command_timeout", 0.0, "s after which a forward command is forgotten; 0: it persists", 0.0, 10.0
        )
        self.parameter("command_latency", 0.0, "s from a command's arrival to its effect", 0.0, 2.0)
        self.parameter("lost_commands", 0.0, "share of commands that are lost", 0.0, 1.0)
        self.parameter("lost_states", 0.0, "share of joint_states that are not sent", 0.0, 1.0)
        self.parameter("fault_seed", 0, "same seed, same losses", 0, 2**31 - 1)

    def configure(self) -> None:
        world = load_world(self.value("world"))
        self.arm = SimulatedArm(world, _simulator(self.value("simulator")), self._hardware())
        self.refused = self.steps = 0
        self._period_ns, self._simulated_ns = round(world.dt * 1e9), time.time_ns()
        self._losses = random.Random(self.value("fault_seed"))

    def activate(self) -> None:
        world, factor = self.arm.world, self.value("real_time_factor")
        self.arm.activate()
        self._clock_topic = None
        if self.value("publish_clock") or factor != 1.0:
            self._clock_topic = self.create_publisher(ClockMessage, names.CLOCK, names.CLOCK_OFFERED)
        self._joints = self.create_publisher(JointState, names.JOINT_STATES, names.SENSOR)
        self._ball = self.create_publisher(Odometry, names.BALL, names.SENSOR)
        self._lockstep = LockStep(world.dt) if factor == 0.0 else None
        self._listen(world)
        self.create_service(Trigger, "~/reset", self._on_reset)
        self.create_service(Trigger, "~/activate_controllers", self._on_activate)
        # in lock-step the timer only looks whether a step, or an answer, is overdue
        self.create_wall_timer(world.dt / factor if factor else world.dt / 4, self._on_timer)

    def cleanup(self) -> None:
        close = getattr(self.arm.simulator, "close", None) if hasattr(self, "arm") else None
        if close is not None:  # PyBullet's clients
            close()

    def _hardware(self) -> HardwareSettings:
        """What the arm is like, from parameters."""
        link = LinkFaults(
            latency=self.value("command_latency"),
            lost_commands=self.value("lost_commands"),
            lost_states=self.value("lost_states"),
            seed=self.value("fault_seed"),
        )
        return HardwareSettings(
            self.value("controller"), self.value("gripper_delay"), self.value("command_timeout"), link
        )

    def _listen(self, world: World) -> None:
        commands, gripper = names.controller_topics(world.robot)
        # the gripper before the arm: the executor asks in this order, and the arm's command makes the step
        self.create_subscription(PointStamped, names.TARGET, self._on_target, names.LATCHED)
        self.create_subscription(Float64MultiArray, gripper, self._on_gripper, names.COMMAND)
        if self.arm.settings.controller == "joint_trajectory":
            topic = names.trajectory_topic(world.robot)
            self.create_subscription(JointTrajectory, topic, self._on_trajectory, names.COMMAND)
        else:
            self.create_subscription(Float64MultiArray, commands, self._on_command, names.COMMAND)
        self._actions = SimulatedActions(self, self.arm, self.follow) if have_control_msgs() else None

    def _on_timer(self) -> None:
        now = self.seconds()
        if self._lockstep is None or self._lockstep.on_time(now):
            self._step()
        elif self._lockstep.says_again(now):
            self._say()

    def _on_command(self, message: Float64MultiArray) -> None:
        if self._accepted(self.arm.command, message.data):
            self._answer()

    def _on_gripper(self, message: Float64MultiArray) -> None:
        accepted = self._accepted(self.arm.open_gripper, message.data)
        if accepted and self.arm.settings.controller == "joint_trajectory":
            self._answer()

    def _answer(self) -> None:
        """A command that answers a state makes a step, in lock-step."""
        if self._lockstep and self._lockstep.on_command(self.seconds()):
            self._step()

    def _on_trajectory(self, message: JointTrajectory) -> None:
        self._accepted(self.follow, message)

    def follow(self, message: JointTrajectory) -> Trajectory:
        """Hand a message to the joint_trajectory_controller.

        Raises:
            InputError: it is refused.
        """
        now = self.get_clock().now().nanoseconds if self._clock_topic is None else self._simulated_ns
        trajectory = from_message(message, now, self.arm.time)
        self.arm.follow(trajectory)
        return trajectory

    def _on_target(self, message: PointStamped) -> None:
        frame, point = message.header.frame_id, message.point
        if frame not in ("", names.WORLD_FRAME):
            self.get_logger().error(f"target in frame '{frame}' refused: give it in '{names.WORLD_FRAME}'")
            return
        self._accepted(self.arm.aim, (point.x, point.y, point.z))

    def _accepted(self, take: Callable[[Any], object], values: Any) -> bool:
        try:
            take(values)
        except InputError as error:
            self.refused += 1
            self.get_logger().error(str(error))
            return False
        return True

    def _on_activate(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.arm.activate()
        response.success, response.message = True, f"{self.arm.settings.controller} and gripper are active"
        return response

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.arm.reset()
        self._simulated_ns += self._period_ns  # no two states have the same time
        if self._lockstep:
            self._lockstep.reset(self.seconds())
        self._publish(self.arm.seen)
        response.success, response.message = True, "arm at home with a new ball"
        return response

    def _step(self) -> None:
        self.steps += 1
        complaint = self.arm.complaint
        state = self.arm.step()
        self._simulated_ns += self._period_ns
        if self.arm.complaint != complaint and self.arm.complaint:
            self.get_logger().error(self.arm.complaint)
        self._publish(state)
        if self._actions is not None:
            self._actions.follow_up()

    def _publish(self, state: State) -> None:
        stamp = self._stamp()
        # joint_states last: who answers it has the ball already
        self._state = [(self._ball, ball_message(state, stamp))]
        if self._clock_topic:
            self._state.insert(0, (self._clock_topic, ClockMessage(clock=stamp)))
        if self._losses.random() >= self.arm.settings.link.lost_states:
            self._state.append((self._joints, joint_message(state, self.arm.world.robot.joints, stamp)))
        self._say()

    def _say(self) -> None:
        """The newest state, on all its topics."""
        for publisher, message in self._state:
            publisher.publish(message)

    def _stamp(self) -> Time:
        if self._clock_topic is None:
            return self.get_clock().now().to_msg()
        seconds, nanoseconds = divmod(self._simulated_ns, 1_000_000_000)
        return Time(sec=seconds, nanosec=nanoseconds)

    def status(self) -> tuple[bool, str, Mapping[str, Any]]:
        arm, factor = self.arm, self.value("real_time_factor")
        locked = self._lockstep if self.active else None
        pace = locked.pace.value if locked else f"{factor:g} x real time"
        line = arm.complaint or f"world {arm.world.name}, robot {arm.world.robot.name}"
        figures = {"steps": self.steps, "refused": self.refused, "pace": pace}
        return not arm.complaint, line, figures | {"controller": arm.settings.controller}


def _simulator(kind: str) -> Callable[[World], Simulator]:
    if kind == "batch":
        return lambda world: BatchWorld(world, dtype=torch.float64)
    from irl_ros.sim.bullet_world import BulletWorld

    return BulletWorld


def joint_message(state: State, joints: Sequence[str], stamp: Time) -> JointState:
    """joint_states of the first throw of a State."""
    message = JointState(name=list(joints), position=state.q[0].tolist(), velocity=state.qd[0].tolist())
    message.header.stamp, message.header.frame_id = stamp, names.WORLD_FRAME
    return message


def ball_message(state: State, stamp: Time) -> Odometry:
    """ball/odometry of the first throw of a State. Its frame is not turned: the twist is the world's."""
    message = Odometry(child_frame_id=names.BALL_FRAME)
    message.header.stamp, message.header.frame_id = stamp, names.WORLD_FRAME
    position, velocity = message.pose.pose.position, message.twist.twist.linear
    position.x, position.y, position.z = state.ball_position[0].tolist()
    velocity.x, velocity.y, velocity.z = state.ball_velocity[0].tolist()
    message.pose.pose.orientation.w = 1.0
    return message


def main(arguments: Sequence[str] | None = None) -> int:
    torch.set_num_threads(1)
    return run(SimArm, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
