"""ArmLink: what a node needs to move an arm. The live state comes in; only filtered commands go out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PointStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from irl_ros.demos.resampler import JointOrder, LiveState, twist_in_world
from irl_ros.nodes import interface as names
from irl_ros.nodes.base import IrlNode
from irl_ros.safety import Decision, JointReading, SafetyFilter, SafetySettings, StopReason
from irl_ros.sim.world import World
from irl_ros.sim.world_settings import ends

_HOME = 0.01  # rad and rad/s
_SPREAD = 5.0  # standard deviations of sensor noise that a reading at home may be off


class ArmLink:
    """Subscriptions and publishers of a node that commands an arm, with the state as LiveState sees it.

    Args:
        node: whose they are.
        world: robot, limits and control period.
        on_state: called with the source time (ns, wall clock of the sender) of each new state of this robot.
        on_silence: called every control period (wall) of a throw in which the newest state is too old.
        max_age: oldest joint state the safety filter acts on, s (wall).

    Attributes:
        live: the state; its times are those of `time`.
        time: of the newest joint state, s on the clock of its stamps since the first one; None before.
        stamp: its stamp.
        reading: the newest joint state as it came, with the wall time of its arrival; None before the first.
        filter: every command passes it.
    """

    def __init__(
        self,
        node: IrlNode,
        world: World,
        on_state: Callable[[int], None],
        on_silence: Callable[[], None],
        max_age: float = 0.1,
    ) -> None:
        self._node, self.world, self._on_state, self._on_silence = node, world, on_state, on_silence
        self._order, self._watching = JointOrder(world.robot), False
        self.live, self.filter = LiveState(world), SafetyFilter(world, SafetySettings(max_age=max_age))
        self.time: float | None = None
        self.stamp = Time()
        self.reading: JointReading | None = None
        self._origin: int | None = None
        commands, gripper = names.controller_topics(world.robot)
        self._arm = node.create_publisher(Float64MultiArray, commands, names.COMMAND)
        self._gripper = node.create_publisher(Float64MultiArray, gripper, names.COMMAND)
        self._gripper_open: bool | None = None
        # ball and target before joints: the executor asks in this order, and joints make the control step
        node.create_subscription(PointStamped, names.TARGET, self._on_target, names.LATCHED)
        node.create_subscription(Odometry, names.BALL, self._on_ball, names.SENSOR)
        node.create_subscription(JointState, names.JOINT_STATES, self._on_joints, names.SENSOR)
        node.create_wall_timer(world.dt, self._watch)

    @property
    def connected(self) -> bool:
        """Joint states come in, and somebody takes the commands."""
        heard = self._arm.get_subscription_count() and self._gripper.get_subscription_count()
        return self.reading is not None and heard > 0

    @property
    def at_home(self) -> bool:
        """The arm rests where throws start."""
        r = self.reading
        motion = None if r is None else self._order.pick(r.names, r.position, r.velocity)
        if motion is None:
            return False
        q, qd = motion
        sensors = self.world.settings.sensors  # a reading is noisy, and in lock-step it may be the only one
        near, slow = (_HOME + _SPREAD * ends(noise)[1] for noise in (sensors.q, sensors.qd))
        return bool(np.abs(q - self.world.home).max() < near and np.abs(qd).max() < slow)

    @property
    def ready(self) -> bool:
        """A throw may begin."""
        return self.connected and self.at_home

    @property
    def stale(self) -> bool:
        """No joint state came for too long."""
        oldest = self.filter.settings.max_age
        return self.reading is None or self._node.seconds() - self.reading.received > oldest

    def begin(self) -> None:
        """A throw begins: ball in hand, gripper told to close, phase 0. From now on silence is watched.

        After an emergency stop nothing moves: the filter refuses until it is reset.
        """
        self._watching = True
        self.live.begin(0.0 if self.time is None else self.time)
        self.filter.enable()
        self._move_gripper(False)

    def end(self) -> None:
        """The throw is over; no more commands follow."""
        self._watching = False

    def act(self, action: object) -> Decision:
        """Send as much of an action [n + 1] in [-1, 1] as safety allows."""
        decision = self.filter(action, self.reading, self._node.seconds())
        self._send(decision)
        return decision

    def hold(self, reason: StopReason) -> Decision:
        """Send the next command on the way to rest."""
        self.filter.stop(reason)
        return self.act(None)

    def close(self) -> None:
        """Bring the arm to rest; the last command would persist after us."""
        while not self.filter.at_rest:
            self.hold(StopReason.DISABLED)
            time.sleep(self.world.dt)

    def _send(self, decision: Decision) -> None:
        # the gripper first: whoever steps on the arm's command has both then
        if decision.release:
            self._move_gripper(True)
        self._arm.publish(Float64MultiArray(data=decision.velocity.tolist()))

    def _move_gripper(self, opened: bool) -> None:
        if opened != self._gripper_open:
            self._gripper_open = opened
            self._gripper.publish(Float64MultiArray(data=[1.0 if opened else 0.0]))
            if opened and self.time is not None:
                self.live.release(self.time)

    def _watch(self) -> None:
        if self._watching and self.stale:
            self._on_silence()

    def _on_joints(self, message: JointState, info: dict[str, Any]) -> None:
        if not set(self.world.robot.joints) <= set(message.name):
            return
        now = self._seconds(message.header.stamp)
        if now == self.time:
            return  # a second copy is no second control step
        received = self._node.seconds()
        self.reading = JointReading(message.name, message.position, message.velocity, received, now)
        self.live.joint_state(now, message.name, message.position, message.velocity)
        self.time, self.stamp = now, message.header.stamp
        self._on_state(info["source_timestamp"])

    def _on_ball(self, message: Odometry) -> None:
        p, o, v = message.pose.pose.position, message.pose.pose.orientation, message.twist.twist.linear
        velocity = twist_in_world((o.x, o.y, o.z, o.w), (v.x, v.y, v.z))
        self.live.ball(self._seconds(message.header.stamp), (p.x, p.y, p.z), velocity)

    def _on_target(self, message: PointStamped) -> None:
        self.live.target((message.point.x, message.point.y, message.point.z))

    def _seconds(self, stamp: Time) -> float:
        nanoseconds = stamp.sec * 1_000_000_000 + stamp.nanosec
        if self._origin is None:
            self._origin = nanoseconds
        return (nanoseconds - self._origin) * 1e-9
