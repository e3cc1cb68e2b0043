"""teleop: a person's hands on arm and recorder, by joystick, keyboard, leader arm or 6-axis device."""

from __future__ import annotations

import time as wall
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from geometry_msgs.msg import TwistStamped
from rclpy.task import Future
from sensor_msgs.msg import JointState, Joy
from std_srvs.srv import Trigger

from irl_ros.nodes import interface as names
from irl_ros.nodes.arm_link import ArmLink
from irl_ros.nodes.arm_outputs import FORWARD
from irl_ros.nodes.base import run
from irl_ros.nodes.episode_orders import EpisodeOrders, EventOrders, RecorderOrders
from irl_ros.nodes.managed import ManagedNode
from irl_ros.nodes.terminal import Terminal
from irl_ros.safety import SafetySettings, StopReason
from irl_ros.sim import load_world
from irl_ros.teleop.aim import aim
from irl_ros.teleop.hands import INPUTS, load_hands
from irl_ros.teleop.keyboard import check_terminal

_EARLY = 0.25  # of a control period; a state that comes this much early still makes its control step
_ON_THE_WAY = 2  # states at most that were sent before the hand woke the arm, and are still to be heard
_GENTLE = (StopReason.DISABLED, StopReason.DEADMAN, StopReason.FINISHED)
"""Reasons to stand still that end as soon as the deadman is held; after others it must be let go first."""


class Teleop(ManagedNode):
    """Every control step: what the hands ask for, through smoothing and the safety filter, to the arm."""

    def __init__(self) -> None:
        super().__init__("teleop")
        self.parameter("world", "default", "world: a shipped name or the path of a YAML")
        self.parameter("input", "joystick", "what moves the arm", choices=INPUTS)
        self.parameter("controller", FORWARD[0], "of the arm: takes velocities or positions", choices=FORWARD)
        self.parameter("mapping", "", "YAML of the device, or a name in config/teleop; empty: as shipped")
        self.parameter("recorder", "recorder", "node that records; empty: events for `ros2 bag record`")
        self.parameter("reset", "sim_arm/reset", "service that hands a new ball; empty: somebody does it")
        self.parameter("operator_name", "", "who throws; noted in events where no recorder does it")
        self.parameter("max_age", 0.1, "oldest joint state to act on, s", 0.02, 10.0)
        self.parameter("deadman", 0.3, "longest time between signs that the deadman is held, s", 0.05, 10.0)
        self.parameter("tracking", 0.1, "farthest a joint may be from its command, rad", 0.001, 3.0)
        self.parameter("echo", True, "show what the recorder answers; false where it has the same terminal")
        self.parameter("status_hz", 5.0, "how often the status line of the terminal is renewed", 0.1, 50.0)

    def configure(self) -> None:
        self.world = load_world(self.value("world"))
        self.hands = load_hands(self.world, self.value("input"), self.value("mapping"))
        self.terminal = Terminal()
        if self.value("input") == "keyboard":
            check_terminal(self.terminal.here)
        limits = {key: self.value(key) for key in ("max_age", "deadman", "tracking")}
        interface = self.value("controller").removeprefix("forward_")
        self.settings = SafetySettings(**limits, interface=interface)
        self._orders: EpisodeOrders
        if recorder := self.value("recorder"):
            self._orders = RecorderOrders(self, recorder, self.terminal.tell, self.value("echo"))
        else:
            self._orders = EventOrders(self, self.value("operator_name"), self.terminal.tell)
        self._reset = self.create_client(Trigger, reset) if (reset := self.value("reset")) else None
        self._held = self._waiting = False
        self._due, self._woken, self._early, self.steps = 0.0, 0, 0, 0

    def activate(self) -> None:
        self.link = ArmLink(self, self.world, self._on_state, self._on_silence, settings=self.settings)
        self.create_subscription(Joy, names.JOY, self._on_joy, names.SENSOR)
        self.create_subscription(JointState, names.LEADER, self._on_leader, names.SENSOR)
        self.create_subscription(TwistStamped, names.TWIST, self._on_twist, names.SENSOR)
        self._begin()
        self.terminal.open()
        if self.terminal.here:
            for line in self.hands.keyboard.legend():
                self.terminal.tell(line)
            self.create_wall_timer(1.0 / self.value("status_hz"), self._show)
        self.create_wall_timer(0.02, self._on_keys)

    def deactivate(self) -> None:
        self.link.close()
        self.terminal.close()

    def _begin(self) -> None:
        """A ball is in the hand, which stays closed until it is let go."""
        self.link.begin()
        self.link.filter.stop(StopReason.DEADMAN)

    def _on_state(self, sent: int) -> None:
        """A control step, at the control rate however often states come.

        States that were sent before the hand woke the arm do not answer its command: acted on, there would be
        two commands for a step, which an arm in lock-step takes for two steps. They are few. Where the arm's
        computer is behind in time all seem to be such, and the hands must not go unheard for that.
        """
        time = self.link.time
        if sent < self._woken and self._early < _ON_THE_WAY:
            self._early += 1
            return
        self._woken = 0
        if time < self._due - _EARLY * self.world.dt and time > self._due - 1.0:
            return
        self._due = (self._due if time < self._due + self.world.dt else time) + self.world.dt
        self._act()

    def _wake(self) -> None:
        """A hand has moved: an arm at rest need not wait for its next state. In lock-step none would come.

        On its way to rest it has a command for each state already, however often the hand speaks.
        """
        if not self._held and self.link.filter.at_rest and self.link.time is not None:
            self._due = self.link.time + self.world.dt
            self._act()
            self._woken, self._early = wall.time_ns() if self._held else 0, 0

    def _on_silence(self) -> None:
        self._hold(StopReason.STALE)

    def _act(self) -> None:
        state, _ = self.link.live.at(self.link.time)
        if state is None:
            return
        now, limited = self.seconds(), self.link.filter
        action, held = self.hands.action(state.q[0].double().numpy(), now, self.world.dt)
        limited.deadman(held, now)
        pressed, self._held = held and not self._held, held
        if held and not self._waiting and limited.reason and (pressed or limited.reason in _GENTLE):
            limited.enable()
        if limited.reason is not None:
            self._hold(limited.reason)
            return
        decision = self.link.act(action)
        self.steps += 1
        if decision.stop is not None:
            self.terminal.tell(f"stopped: {decision.stop.value}")
        if decision.release and state.held.item():
            self._orders.released()

    def _hold(self, reason: StopReason) -> None:
        """On the way to rest; an arm at rest is left alone."""
        if not self.link.filter.at_rest:
            self.link.hold(reason)

    def _on_keys(self) -> None:
        now = self.seconds()
        keys = self.terminal.pressed()
        for key in keys:
            self.hands.keyboard.press(key, now)
        self._obey()
        if keys:
            self._wake()

    def _obey(self) -> None:
        for order in self.hands.orders():
            self._give(order)

    def _give(self, order: str) -> None:
        if order == "quit":
            self.finish(0)
        elif order == "new_ball":
            self._new_ball()
        else:
            if order == "start":
                self._begin()
            self._orders.give(order)

    def _new_ball(self) -> None:
        if self._reset is None or not self._reset.service_is_ready():
            self._begin()
            return
        if not self.link.filter.at_rest:
            self.terminal.tell("a new ball comes to an arm at rest: let go of the deadman first")
            return
        self._waiting = True
        self.link.filter.stop(StopReason.FINISHED)
        self._reset.call_async(Trigger.Request()).add_done_callback(self._on_new_ball)

    def _on_new_ball(self, future: Future) -> None:
        self._waiting = False
        self._begin()
        self._held = False
        if self.link.at_home:  # else its new state is still to come
            self._wake()
        self.terminal.tell(future.result().message)

    def _on_joy(self, message: Joy) -> None:
        self.hands.joystick.hear(message.axes, message.buttons, self.seconds())
        self._obey()
        self._wake()

    def _on_leader(self, message: JointState) -> None:
        self.hands.leader.hear(message.name, message.position, self.seconds())
        self._wake()

    def _on_twist(self, message: TwistStamped) -> None:
        if not self.link.in_world(message.header.frame_id, "twist"):
            return
        v, w = message.twist.linear, message.twist.angular
        self.hands.six_axis.hear((v.x, v.y, v.z, w.x, w.y, w.z), self.seconds())
        self._wake()

    def _show(self) -> None:
        state = None if self.link.time is None else self.link.live.at(self.link.time)[0]
        if state is None:
            self.terminal.show("waiting for joint_states and target")
            return
        q, qd, target = (x[0].double().numpy() for x in (state.q, state.qd, state.target))
        reason = self.link.filter.reason
        line = aim(self.world, q, qd, target) if reason is None else f"at rest: {reason.value}"
        self.terminal.show(f"speed {self.hands.keyboard.speed:.0%}  {line}")

    def status(self) -> tuple[bool, str, Mapping[str, Any]]:
        reason = self.link.filter.reason if self.active else None
        line = "moving" if reason is None else reason.value
        well = reason is None or reason in _GENTLE
        return well, line, {"input": self.value("input"), "steps": self.steps}


def main(arguments: Sequence[str] | None = None) -> int:
    torch.set_num_threads(1)
    return run(Teleop, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
