"""ArmLink: what a node needs to move an arm. The live state comes in; only filtered commands go out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, PointStamped
from nav_msgs.msg import Odometry
from rclpy.callback_groups import CallbackGroup
from rclpy.subscription import Subscription
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool

from irl_ros.demos.resampler import JointOrder, LiveState, twist_in_world
from irl_ros.nodes import interface as names
from irl_ros.nodes.arm_outputs import PLANNED, ForwardGripper, ForwardOutput, GripperOutput
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
        settings: of the safety filter; `interface` says what a forward_command_controller is sent.
        controller: which has the arm; for one that takes whole motions, nothing is forwarded here.
        gripper: its way out; default: its forward_command_controller.
        gripper_delay: from the command to open to the ball's leaving, s.

    Attributes:
        live: the state; its times are those of `time`.
        time: of the newest joint state, s on the clock of its stamps since the first one; None before.
        period: between joint states, s.
        stamp: its stamp.
        reading: the newest joint state as it came, with the wall time of its arrival; None before the first.
        ball: time and height of the newest ball sample, s and m; None where nobody tracks it.
        filter: every command passes it.
    """

    def __init__(
        self,
        node: IrlNode,
        world: World,
        on_state: Callable[[int], None],
        on_silence: Callable[[], None],
        settings: SafetySettings | None = None,
        controller: str = "forward_velocity",
        gripper: GripperOutput | None = None,
        gripper_delay: float = 0.0,
    ) -> None:
        self._node, self.world, self._on_state, self._on_silence = node, world, on_state, on_silence
        self._order, self._watching = JointOrder(world.robot), False
        self.live, self.filter = LiveState(world), SafetyFilter(world, settings)
        self._oldest = self.filter.settings.max_age
        self.time: float | None = None
        self.period = world.dt
        self.stamp = Time()
        self.reading: JointReading | None = None
        self.ball: tuple[float, float] | None = None
        self._origin: int | None = None
        interface = self.filter.settings.interface
        planned = controller in PLANNED
        self._arm = None if planned else ForwardOutput(node, world.robot, interface, self.filter.period)
        self._gripper = gripper or ForwardGripper(node, world.robot)
        self._opened, self._delay = False, gripper_delay
        # target before joints: the executor asks in this order, and joints make the control step
        node.create_subscription(Bool, names.EMERGENCY_STOP, self._on_emergency, names.LATCHED)
        # a button whose publisher keeps nothing, or repeats nothing, is not offered to a latched reader
        node.create_subscription(Bool, names.EMERGENCY_STOP, self._on_emergency, names.SENSOR)
        node.create_subscription(Bool, names.DEADMAN, self._on_deadman, names.COMMAND)
        node.create_subscription(PointStamped, names.TARGET, self._on_target, names.LATCHED)
        self._balls = node.create_subscription(
            Odometry, names.BALL, self._on_ball, names.SENSOR, callback_group=Polled()
        )
        self._states = node.create_subscription(JointState, names.JOINT_STATES, self._on_joints, names.SENSOR)
        self._watch = node.create_wall_timer(self._oldest, self._on_watch)
        self._watch.cancel()

    @property
    def connected(self) -> bool:
        """Joint states come in, and somebody takes the commands."""
        heard = (self._arm is None or self._arm.connected) and self._gripper.connected
        return self.reading is not None and heard

    def _motion(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Positions and velocities as measured last, each [n]."""
        r = self.reading
        return None if r is None else self._order.pick(r.names, r.position, r.velocity)

    @property
    def farthest_from_home(self) -> tuple[str, float]:
        """The joint that is farthest from where throws start, and how far, rad; infinite before any state."""
        motion = self._motion()
        off = np.full(self.world.robot.n, np.inf) if motion is None else np.abs(motion[0] - self.world.home)
        return self.world.robot.joints[int(off.argmax())], float(off.max())

    @property
    def at_home(self) -> bool:
        """The arm rests where throws start."""
        motion = self._motion()
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
    def now(self) -> float:
        """`time`, carried on by the wall clock since that state arrived, s; 0 before the first."""
        if self.time is None or self.reading is None:
            return 0.0
        return self.time + self._node.seconds() - self.reading.received

    @property
    def stale(self) -> bool:
        """No joint state came for too long."""
        return self.reading is None or self._node.seconds() - self.reading.received > self._oldest

    def begin(self, time: float | None = None) -> None:
        """A throw begins: ball in hand, gripper told to close, phase 0; silence is watched.

        After an emergency stop nothing moves: the filter refuses until it is reset.

        Args:
            time: when its motion begins, where that is yet to come; s, as `self.time`.
        """
        self.watch()
        self.live.begin((self.time or 0.0) if time is None else time)
        self.filter.enable()
        self._opened = False
        self.move_gripper()

    def watch(self) -> None:
        """From now on silence is told."""
        self._watching = True
        self._expect(self._oldest)

    def end(self) -> None:
        """The throw is over; no more commands follow."""
        self._watching = False
        self._watch.cancel()

    def act(self, action: object) -> Decision:
        """Send as much of an action [n + 1] in [-1, 1] as safety allows."""
        decision = self.judge(action)
        # the gripper first: whoever steps on the arm's command has both then
        if decision.release and not self._opened:
            self.move_gripper(True)
        if self._arm is not None:
            self._arm.send(decision)
        return decision

    def judge(self, action: object) -> Decision:
        """What safety says to an action [n + 1], without sending anything."""
        return self.filter(action, self.reading, self._node.seconds())

    def hold(self, reason: StopReason) -> Decision:
        """Send the next command on the way to rest."""
        self.filter.stop(reason)
        return self.act(None)

    def close(self) -> None:
        """Bring the arm to rest; the last command would persist after us."""
        while self._arm is not None and not self.filter.at_rest:
            self.hold(StopReason.DISABLED)
            time.sleep(self.world.dt)

    def move_gripper(self, open_now: bool = False) -> None:
        """Tell the gripper to open, or what it was told last once more."""
        if open_now and not self._opened and self.time is not None:
            self.live.release(self.time + self._delay)
        self._opened |= open_now
        self._gripper.move(self._opened)

    def stamp_at(self, time: float) -> Time:
        """A time, s as `self.time`, as a stamp on the arm's clock."""
        seconds, nanoseconds = divmod((self._origin or 0) + round(time * 1e9), 1_000_000_000)
        return Time(sec=seconds, nanosec=nanoseconds)

    def _expect(self, seconds: float) -> None:
        """Wake up if no state comes for so long: with states coming, a throw has no timer to serve."""
        if self._watch.timer_period_ns != (period := round(seconds * 1e9)):
            self._watch.timer_period_ns = period
        self._watch.reset()

    def _on_watch(self) -> None:
        self._expect(self.world.dt)
        if self.stale:
            self._on_silence()

    def _on_emergency(self, message: Bool) -> None:
        if message.data:
            self.filter.estop()

    def _on_deadman(self, message: Bool) -> None:
        self.filter.deadman(message.data, self._node.seconds())

    def _on_joints(self, message: JointState, info: dict[str, Any]) -> None:
        """Act on the newest state there is.

        Executors that wait take one message of a topic, then look at everything else: on a busy machine a
        call could overtake the state it was made for, and a state that is no longer so would be answered.
        """
        for ball, _ in waiting(self._balls):
            self._on_ball(ball)
        sent = None
        for state, about in ((message, info), *waiting(self._states)):
            if self._take(state):
                sent = about["source_timestamp"]
        if sent is not None:
            self._on_state(sent)
            if self._watching:
                self._expect(self._oldest)

    def _take(self, message: JointState) -> bool:
        """Keep a joint state; whether it is a new one of this robot."""
        if not set(self.world.robot.joints) <= set(message.name):
            return False
        now = self._seconds(message.header.stamp)
        if now == self.time:
            return False  # a second copy is no second control step
        if self.time is not None and 0.0 < now - self.time < 1.5 * self.period:
            self.period = now - self.time  # a lost one in between doubles nothing
        received = self._node.seconds()
        self.reading = JointReading(message.name, message.position, message.velocity, received, now)
        self.live.joint_state(now, message.name, message.position, message.velocity)
        self.time, self.stamp = now, message.header.stamp
        return True

    def _on_ball(self, message: Odometry) -> None:
        if not self.in_world(message.header.frame_id, names.BALL):
            return
        p, o, v = message.pose.pose.position, message.pose.pose.orientation, message.twist.twist.linear
        velocity = twist_in_world((o.x, o.y, o.z, o.w), (v.x, v.y, v.z))
        now = self._seconds(message.header.stamp)
        self.live.ball(now, (p.x, p.y, p.z), velocity)
        if math.isfinite(p.z):
            self.ball = (now, p.z)

    def _on_target(self, message: PointStamped) -> None:
        if self.in_world(message.header.frame_id, names.TARGET):
            self.aim(message.point)

    def aim(self, point: Point) -> bool:
        """Take a target, m; False, with a line in the log, where it is none."""
        position = (point.x, point.y, point.z)
        if not all(map(math.isfinite, position)):
            self._node.get_logger().error("target ignored: it is not finite", throttle_duration_sec=5.0)
            return False
        self.live.target(position)
        return True

    def in_world(self, frame: str, what: str) -> bool:
        """Whether coordinates are in the world's frame; nothing here transforms others."""
        if frame in ("", names.WORLD_FRAME, self.world.robot.chain[0].parent):
            return True
        text = f"{what} in frame '{frame}' ignored: give it in '{names.WORLD_FRAME}'"
        self._node.get_logger().error(text, throttle_duration_sec=5.0)
        return False

    def _seconds(self, stamp: Time) -> float:
        nanoseconds = stamp.sec * 1_000_000_000 + stamp.nanosec
        if self._origin is None:
            self._origin = nanoseconds
        return (nanoseconds - self._origin) * 1e-9


class Polled(CallbackGroup):
    """Of a subscription nobody wakes up for, since it is looked at when something else comes.

    To be woken costs more than a control step thinks.
    """

    def can_execute(self, entity: object) -> bool:
        return False

    def beginning_execution(self, entity: object) -> bool:
        return False

    def ending_execution(self, entity: object) -> None: ...


def waiting(subscription: Subscription) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Messages of a subscription that are here already, with what is known of each, oldest first."""
    with subscription.handle:
        while (
            taken := subscription.handle.take_message(subscription.msg_type, subscription.raw)
        ) is not None:
            yield taken
