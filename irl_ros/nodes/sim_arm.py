"""sim_arm: a PyBullet arm on the topics of a ros2_control arm; hardware takes its place without a change."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PointStamped
from nav_msgs.msg import Odometry
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from irl_ros.errors import InputError, unknown_name
from irl_ros.nodes import interface as names
from irl_ros.nodes.base import IrlNode, run
from irl_ros.nodes.simulated_arm import LockStep, SimulatedArm
from irl_ros.sim import BatchWorld, load_world
from irl_ros.sim.rollout import Simulator
from irl_ros.sim.state import State
from irl_ros.sim.world import World


class SimArm(IrlNode):
    """Steps a SimulatedArm at the world's control rate and puts its state on topics.

    A state stamped t goes out; the command that answers it acts from t to t + 1/control_hz, as in training.
    """

    def __init__(self) -> None:
        super().__init__("sim_arm")
        world = load_world(self.parameter("world", "default", "world: a shipped name or the path of a YAML"))
        simulator = self.parameter("simulator", "pybullet", "pybullet, or batch for the ideal arm")
        factor = self.parameter(
            "real_time_factor", 1.0, "speed against the wall clock; 0: one step for each command", 0.0, 100.0
        )
        clock = self.parameter(
            "publish_clock", False, "publish /clock; always done unless real_time_factor is 1"
        )
        self.arm = SimulatedArm(_simulator(simulator, world))
        self.refused = self.steps = 0
        self._factor, self._period_ns, self._simulated_ns = factor, round(world.dt * 1e9), time.time_ns()
        self._clock_topic = None
        if clock or factor != 1.0:
            self._clock_topic = self.create_publisher(ClockMessage, names.CLOCK, names.CLOCK_OFFERED)
        self._joints = self.create_publisher(JointState, names.JOINT_STATES, names.SENSOR)
        self._ball = self.create_publisher(Odometry, names.BALL, names.SENSOR)
        commands, gripper = names.controller_topics(world.robot)
        # the gripper before the arm: the executor asks in this order, and the arm's command makes the step
        self.create_subscription(PointStamped, names.TARGET, self._on_target, names.LATCHED)
        self.create_subscription(Float64MultiArray, gripper, self._on_gripper, names.COMMAND)
        self.create_subscription(Float64MultiArray, commands, self._on_command, names.COMMAND)
        self.create_service(Trigger, "~/reset", self._on_reset)
        self._lockstep = LockStep(world.dt) if factor == 0.0 else None
        # in lock-step the timer only looks whether a step is overdue
        self.create_wall_timer(world.dt / factor if factor else world.dt / 4, self._on_timer)

    def _on_timer(self) -> None:
        if self._lockstep is None or self._lockstep.on_time(self.seconds()):
            self._step()

    def _on_command(self, message: Float64MultiArray) -> None:
        if (
            self._accepted(self.arm.command, message.data)
            and self._lockstep
            and self._lockstep.on_command(self.seconds())
        ):
            self._step()

    def _on_gripper(self, message: Float64MultiArray) -> None:
        self._accepted(self.arm.gripper, message.data)

    def _on_target(self, message: PointStamped) -> None:
        frame, point = message.header.frame_id, message.point
        if frame not in ("", names.WORLD_FRAME):
            self.get_logger().error(f"target in frame '{frame}' refused: give it in '{names.WORLD_FRAME}'")
            return
        self._accepted(self.arm.aim, (point.x, point.y, point.z))

    def _accepted(self, take: Any, values: Sequence[float]) -> bool:
        try:
            take(values)
        except InputError as error:
            self.refused += 1
            self.get_logger().error(str(error))
            return False
        return True

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
        self._simulated_ns += self._period_ns
        self._publish(self.arm.step())

    def _publish(self, state: State) -> None:
        stamp = self._stamp()
        if self._clock_topic:
            self._clock_topic.publish(ClockMessage(clock=stamp))
        # joint_states last: who answers it has the ball already
        self._ball.publish(ball_message(state, stamp))
        self._joints.publish(joint_message(state, self.arm.world.robot.joints, stamp))

    def _stamp(self) -> Time:
        if self._clock_topic is None:
            return self.get_clock().now().to_msg()
        seconds, nanoseconds = divmod(self._simulated_ns, 1_000_000_000)
        return Time(sec=seconds, nanosec=nanoseconds)

    def status(self) -> tuple[bool, str, Mapping[str, Any]]:
        pace = self._lockstep.pace.value if self._lockstep else f"{self._factor:g} x real time"
        figures = {"steps": self.steps, "refused": self.refused, "pace": pace}
        return True, f"world {self.arm.world.name}, robot {self.arm.world.robot.name}", figures


def _simulator(kind: str, world: World) -> Simulator:
    if kind == "batch":
        return BatchWorld(world, dtype=torch.float64)
    if kind == "pybullet":
        from irl_ros.sim.bullet_world import BulletWorld

        return BulletWorld(world)
    raise InputError("sim_arm", *unknown_name("simulator", kind, ("pybullet", "batch")))


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
