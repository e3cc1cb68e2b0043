"""The actions of ros2_control's controllers, where control_msgs is installed: asked for, and simulated."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

from rclpy.action import ActionClient, ActionServer, CancelResponse, GoalResponse
from rclpy.node import Node
from rclpy.task import Future
from trajectory_msgs.msg import JointTrajectory

from irl_ros.errors import InputError
from irl_ros.nodes import interface as names
from irl_ros.nodes.simulated_arm import SimulatedArm
from irl_ros.sim.hardware import Trajectory, TrajectoryPoint


def have_control_msgs() -> bool:
    """Whether control_msgs, which no wheel has, is installed."""
    return importlib.util.find_spec("control_msgs") is not None


def need_control_msgs(parameter: str, value: str, instead: str) -> None:
    """Refuse a setting that needs control_msgs where there is none.

    Raises:
        InputError: it is not installed.
    """
    if not have_control_msgs():
        cure = f"install ros-$ROS_DISTRO-control-msgs, or set '{instead}'"
        raise InputError(f"parameter {parameter}", f"'{value}' needs control_msgs, which is not here", cure)


class FollowTrajectory:
    """Sends trajectories as FollowJointTrajectory goals; a new one replaces the one under way.

    Args:
        node: whose client it is.
        action: name of the controller's action.
        on_refusal: called with a reason when a goal is refused or aborted.
    """

    def __init__(self, node: Node, action: str, on_refusal: Callable[[str], None]) -> None:
        from control_msgs.action import FollowJointTrajectory

        self._type, self._on_refusal = FollowJointTrajectory, on_refusal
        self._client = ActionClient(node, FollowJointTrajectory, action)
        self._newest = 0

    @property
    def connected(self) -> bool:
        return self._client.server_is_ready()

    def publish(self, message: JointTrajectory) -> None:
        """As a publisher would."""
        self._newest += 1
        number = self._newest
        sent = self._client.send_goal_async(self._type.Goal(trajectory=message))
        sent.add_done_callback(lambda future: self._on_answer(future, number))

    def _on_answer(self, future: Future, number: int) -> None:
        handle = future.result()
        if not handle.accepted:
            self._on_refusal("the controller refused the trajectory")
            return
        handle.get_result_async().add_done_callback(lambda done: self._on_result(done, number))

    def _on_result(self, future: Future, number: int) -> None:
        result = future.result().result
        if number == self._newest and result.error_code != self._type.Result.SUCCESSFUL:
            self._on_refusal(f"the controller gave up: {result.error_string or result.error_code}")


class CommandGripper:
    """Opens and closes by GripperCommand goals.

    Args:
        node: whose client it is.
        action: name of the gripper's action.
        positions: closed and open, m or rad, as the gripper counts.
        effort: N; 0: as the gripper thinks best.
    """

    def __init__(self, node: Node, action: str, positions: tuple[float, float], effort: float) -> None:
        from control_msgs.action import GripperCommand

        self._type, self._positions, self._effort = GripperCommand, positions, effort
        self._client = ActionClient(node, GripperCommand, action)
        self._last: bool | None = None

    @property
    def connected(self) -> bool:
        return self._client.server_is_ready()

    def move(self, opened: bool) -> None:
        """Open or close; a goal for each change, since each would begin a motion of its own."""
        if opened == self._last:
            return
        self._last = opened
        goal = self._type.Goal()
        goal.command.position, goal.command.max_effort = self._positions[opened], self._effort
        self._client.send_goal_async(goal)


class SimulatedActions:
    """The action servers of a simulated arm's controllers.

    Args:
        node: whose servers they are.
        arm: behind them.
        follow: hands a trajectory message to the arm; raises InputError where it refuses.
    """

    def __init__(
        self, node: Node, arm: SimulatedArm, follow: Callable[[JointTrajectory], Trajectory]
    ) -> None:
        from control_msgs.action import FollowJointTrajectory, GripperCommand

        self._node, self._arm, self._follow = node, arm, follow
        self._trajectory_type, self._gripper_type = FollowJointTrajectory, GripperCommand
        trajectory, gripper = names.controller_actions(arm.world.robot)
        self._goal: Any = None
        self._done: Future | None = None
        ActionServer(node, GripperCommand, gripper, self._open, goal_callback=lambda _: GoalResponse.ACCEPT)
        if arm.settings.controller == "joint_trajectory":
            ActionServer(
                node,
                FollowJointTrajectory,
                trajectory,
                self._execute,
                goal_callback=self._on_goal,
                cancel_callback=lambda _: CancelResponse.ACCEPT,
            )

    def _on_goal(self, goal: Any) -> GoalResponse:
        try:
            self._follow(goal.trajectory)
        except InputError as error:
            self._node.get_logger().error(str(error))
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    async def _execute(self, handle: Any) -> Any:
        """Until the arm rests at the end, or another goal takes over."""
        if self._done is not None and not self._done.done():
            self._done.set_result("Current goal preempted by new incoming action.")
        self._goal, self._done = handle, Future()
        complaint = await self._done
        result = self._trajectory_type.Result()
        if handle.is_cancel_requested:
            handle.canceled()
            return result
        if complaint:
            result.error_code, result.error_string = result.INVALID_GOAL, complaint
            handle.abort()
        else:
            handle.succeed()
        return result

    def follow_up(self) -> None:
        """After each step of the arm: feedback, cancel, the end."""
        if self._done is None or self._done.done():
            return
        arm = self._arm
        if self._goal.is_cancel_requested:
            # as upstream does by default: hold where the arm is
            here = TrajectoryPoint(arm.world.dt, arm.q)
            arm.follow(Trajectory(arm.world.robot.joints, [here]))
            self._done.set_result("")
            return
        feedback = self._trajectory_type.Feedback(joint_names=list(arm.world.robot.joints))
        feedback.actual.positions, feedback.actual.velocities = arm.q.tolist(), arm.qd.tolist()
        self._goal.publish_feedback(feedback)
        end = arm.trajectory.end
        if end is None or arm.time >= end:
            self._done.set_result("")

    async def _open(self, handle: Any) -> Any:
        """Above 0 opens, as on the topic."""
        position = handle.request.command.position
        self._arm.open_gripper([position])
        handle.succeed()
        return self._gripper_type.Result(position=position, reached_goal=True)
