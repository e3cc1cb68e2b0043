"""The action policy/throw: a throw with feedback, that can be cancelled and replaced."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import torch
from geometry_msgs.msg import Point, PointStamped, Vector3
from rclpy.action import ActionServer, CancelResponse, GoalResponse

from irl_ros.action import Throw as ThrowGoal
from irl_ros.nodes import interface as names
from irl_ros.nodes.throws import Throw
from irl_ros.safety import StopReason
from irl_ros.sim.state import State

if TYPE_CHECKING:
    from irl_ros.nodes.policy import PolicyNode

CANCELED = "canceled"
REPLACED = "replaced by another goal"
_FLIGHT = 10.0  # s (wall); nothing flies longer, but a busy machine may be late
_STOP = 30.0  # s (wall) for the throw before to come to rest


class ThrowAction:
    """Serves the action of a policy node. A new goal stops the throw under way, then throws.

    Args:
        node: throws, and says why it cannot.
    """

    def __init__(self, node: PolicyNode) -> None:
        self._node, self._kinematics = node, node.world.robot.kinematics()
        self._goal: Any = None
        self._target = node.create_publisher(PointStamped, names.TARGET, names.LATCHED)
        self._server = ActionServer(
            node,
            ThrowGoal,
            "~/throw",
            self._execute,
            goal_callback=self._on_goal,
            cancel_callback=self._on_cancel,
        )

    def _on_goal(self, goal: ThrowGoal.Goal) -> GoalResponse:
        refusal = self._node.refusal(replaces=self._goal is not None, aims=bool(goal.target))
        if goal.target and not _is_finite(goal.target[0]):
            refusal = "the target is not finite"
        if refusal:
            self._node.get_logger().error(f"goal refused: {refusal}")
        return GoalResponse.REJECT if refusal else GoalResponse.ACCEPT

    def _aim(self, point: Point) -> None:
        """Everybody aims there, the simulated ball included."""
        message = PointStamped(point=point)
        message.header.frame_id = names.WORLD_FRAME
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._target.publish(message)
        self._node.link.aim(point)

    def _on_cancel(self, handle: Any) -> CancelResponse:
        if handle is self._goal and self._node.throwing is not None:
            self._node.throwing.stop(StopReason.DISABLED, CANCELED)
        return CancelResponse.ACCEPT

    async def _execute(self, handle: Any) -> ThrowGoal.Result:
        before, self._goal = self._node.throwing, handle
        if before is not None:
            before.stop(StopReason.DISABLED, REPLACED)
            await self._node.until(lambda: self._node.throwing is None, _STOP, "the throw did not end")
        aims = handle.request.target
        refusal = self._node.refusal(aims=bool(aims))
        if refusal or self._goal is not handle or handle.is_cancel_requested:
            fault = refusal or (CANCELED if handle.is_cancel_requested else REPLACED)
            self._goal = None if self._goal is handle else self._goal
            return self._end(handle, fault, self._result(None, fault))
        if aims:
            self._aim(aims[0])
        throw = await self._node.throw()
        if throw.released_at is not None and not throw.fault:
            await self._see_landing()
        if self._goal is handle:
            self._goal = None
        return self._end(handle, throw.fault, self._result(throw, throw.fault))

    @staticmethod
    def _end(handle: Any, fault: str, result: ThrowGoal.Result) -> ThrowGoal.Result:
        if handle.is_cancel_requested:
            handle.canceled()
        elif fault:
            handle.abort()
        else:
            handle.succeed()
        return result

    async def _see_landing(self) -> None:
        """Until the ball is down, as tracked or as it must be by now."""
        with contextlib.suppress(TimeoutError):  # the result says so
            await self._node.until(lambda: bool(self._state().landed), _FLIGHT, "the ball did not land")

    def _state(self) -> State:
        state, _ = self._node.link.live.at(self._node.link.time)
        return state

    def _result(self, throw: Throw | None, fault: str) -> ThrowGoal.Result:
        result = ThrowGoal.Result(stop_reason=fault, error=float("nan"))
        result.message = fault or (throw.summary if throw else "")
        result.released = throw is not None and throw.released_at is not None
        if result.released:
            state = self._state()
            result.landed = bool(state.landed)
        if result.landed:
            result.landing = _point(state.ball_position)
            result.error = float((state.ball_position - state.target)[0, :2].norm())
            result.message += f", {100 * result.error:.1f} cm from the target"
        return result

    def on_step(self, step: int, state: State, fault: str) -> None:
        """Feedback of a control step."""
        throw = self._node.throwing
        if self._goal is None or throw is None:
            return
        tool, velocity = self._kinematics.tool_motion(state.q, state.qd)
        self._goal.publish_feedback(
            ThrowGoal.Feedback(
                step=step,
                phase=state.phase.item(),
                tool=_point(tool),
                tool_velocity=_vector(velocity),
                ball=_point(state.ball_position),
                ball_velocity=_vector(state.ball_velocity),
                released=throw.released_at is not None,
                safety=fault,
            )
        )


def _is_finite(point: Point) -> bool:
    return all(map(math.isfinite, (point.x, point.y, point.z)))


def _point(x: torch.Tensor) -> Point:
    """Of [1, 3]."""
    return Point(**dict(zip("xyz", x[0].tolist(), strict=True)))


def _vector(x: torch.Tensor) -> Vector3:
    """Of [1, 3]."""
    return Vector3(**dict(zip("xyz", x[0].tolist(), strict=True)))
