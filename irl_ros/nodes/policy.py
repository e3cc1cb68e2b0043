"""policy: throws with a learned policy. Closes the loop from joint_states to commands at the control rate."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from std_srvs.srv import SetBool, Trigger

from irl_ros.errors import InputError
from irl_ros.msg import PolicyStep
from irl_ros.nodes import interface as names
from irl_ros.nodes.arm_link import ArmLink
from irl_ros.nodes.arm_outputs import (
    FORWARD,
    GRIPPERS,
    PLANNED,
    TrajectoryOutput,
    gripper_output,
    trajectory_output,
)
from irl_ros.nodes.base import run
from irl_ros.nodes.gripper_trial import GripperTrial
from irl_ros.nodes.managed import ManagedNode
from irl_ros.nodes.throw_action import ThrowAction
from irl_ros.nodes.throw_plan import plan_throw
from irl_ros.nodes.throws import PlannedThrow, StreamedThrow, Throw, ThrowContext
from irl_ros.rewards.reward import load_reward
from irl_ros.rl.policy import load_policy
from irl_ros.safety import Decision, JointReading, SafetySettings, StopReason
from irl_ros.sim import load_world
from irl_ros.sim.state import State

_RECENT = 10_000
"""Commands whose latency /diagnostics tells of: the newest."""
READY = "ready"
"""On /diagnostics: the next ~/throw will throw."""


class PolicyNode(ManagedNode):
    """One throw for each call of ~/throw, service or action: the horizon's control steps, then to rest."""

    def __init__(self) -> None:
        super().__init__("policy")
        self.parameter("run", "", "RUN folder of `irl-ros learn` or `transfer`")
        self.parameter("world", "", "world of this arm; empty: the one the policy was trained in")
        self.parameter("enabled", False, "may command the arm from the start, without ~/enable")
        self.parameter(
            "controller",
            "forward_velocity",
            "of the arm: streamed to at the control rate, or sent the throw as one trajectory",
            choices=(*FORWARD, *PLANNED),
        )
        self.parameter("gripper", "forward", "how the gripper is told", choices=GRIPPERS)
        self.parameter("gripper_closed", 0.0, "what closes the gripper: number or position", -1000.0, 1000.0)
        self.parameter("gripper_open", 1.0, "what opens it", -1000.0, 1000.0)
        self.parameter("gripper_effort", 0.0, "N, for gripper_command; 0: the gripper's own", 0.0, 1000.0)
        self.parameter(
            "gripper_delay", 0.0, "s from the command to open to the ball's leaving, as measured", 0.0, 2.0
        )
        self.parameter(
            "plan_rate",
            0.0,
            "points a second of a planned throw, 1000 for a Franka; 0: control rate",
            0.0,
            1000.0,
        )
        self.parameter("max_age", 0.1, "oldest joint state to act on, s", 0.02, 10.0)
        self.parameter("tracking", 0.1, "farthest a joint may be from its command, rad", 0.001, 3.0)
        self.parameter(
            "home_tolerance",
            0.0,
            "farthest a joint may be from where throws start for one to begin, rad; 0: anywhere",
            0.0,
            3.0,
        )
        self.parameter("lag", -1.0, "how late the arm follows a command, s; -1: a control period", -1.0, 1.0)
        self.parameter("deadman", 0.0, "longest silence on the topic deadman, s; 0: none needed", 0.0, 5.0)

    def configure(self) -> None:
        run_dir, world = self.value("run"), self.value("world")
        if not run_dir:
            raise InputError("parameter run", "is not set", "give the RUN folder that holds the policy")
        self.policy = load_policy(run_dir)
        self.world = load_world(world) if world else self.policy.world
        self.policy.check_robot(self.world.robot)
        has_reward = (Path(run_dir) / "reward.yaml").is_file()
        self._reward = load_reward(run_dir, self.world) if has_reward else None
        self._controller = self.value("controller")
        self._enabled, self.throws = self.value("enabled"), 0
        self._near = self.value("home_tolerance")
        self._throw: Throw | None = None
        self._trial: GripperTrial | None = None
        self._latency_ms: deque[float] = deque(maxlen=_RECENT)
        self._latency: dict[str, float] = {}
        self._warm_up()

    def _warm_up(self) -> None:
        """Think once: what runs for the first time is slow, and would be so in the first throw."""
        n = self.world.robot.n
        rest = JointReading(self.world.robot.joints, self.world.home, [0.0] * n, 0.0)
        plan_throw(self.policy.act, self.world, SafetySettings(), rest, (1.0, 0.0, 0.0))

    def activate(self) -> None:
        robot = self.world.robot
        values = (self.value("gripper_closed"), self.value("gripper_open"))
        gripper = gripper_output(self.value("gripper"), self, robot, values, self.value("gripper_effort"))
        self._output: TrajectoryOutput | None = None
        if self._controller in PLANNED:
            self._output = trajectory_output(self._controller, self, robot, self._on_refusal)
        self._steps = self.create_publisher(PolicyStep, names.POLICY, names.SENSOR)
        delay = self.value("gripper_delay")
        self.link = ArmLink(
            self,
            self.world,
            self._on_state,
            self._on_silence,
            self._safety(),
            self._controller,
            gripper,
            delay,
        )
        self._shared = ThrowContext(
            self.link,
            self.policy,
            delay,
            self.value("plan_rate"),
            self._report_step,
            lambda ns: self._latency_ms.append(ns * 1e-6),
        )
        self.create_service(SetBool, "~/enable", self._on_enable)
        self.create_service(Trigger, "~/estop", self._on_estop)
        self.create_service(Trigger, "~/reset", self._on_reset)
        # a throw takes a while; in the common group it would wait for states that wait for it
        group = MutuallyExclusiveCallbackGroup()
        self.create_service(Trigger, "~/throw", self._on_throw, callback_group=group)
        self.create_service(Trigger, "~/measure_gripper", self._on_measure, callback_group=group)
        self.action = ThrowAction(self)

    def deactivate(self) -> None:
        throw, trial = self._throw, self._trial
        self._throw = self._trial = None
        try:
            if trial is not None:
                trial.stop()
            while throw is not None and not throw.over.done():
                throw.stop(StopReason.DISABLED)  # each call is the next command on the way to rest
                time.sleep(self.world.dt)
        finally:
            self.link.close()  # whatever else fails: the arm does not go on with its last command

    def _safety(self) -> SafetySettings:
        lag = self.value("lag")
        return SafetySettings(
            max_age=self.value("max_age"),
            tracking=self.value("tracking"),
            lag=None if lag < 0 else lag,
            deadman=self.value("deadman"),
            interface="position" if self._controller == "forward_position" else "velocity",
        )

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        if request.data and self.link.filter.estopped:
            response.success, response.message = False, f"{StopReason.ESTOP.value}: call ~/reset first"
            return response
        self._enabled = request.data
        if not request.data:
            self._stop(StopReason.DISABLED)
        response.success, response.message = True, "enabled" if request.data else "disabled"
        return response

    def _on_estop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.link.filter.estop()
        self._stop(StopReason.ESTOP)
        response.success, response.message = True, "stopped; ~/reset, then ~/enable"
        return response

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._enabled = False
        response.success = self.link.filter.reset()
        response.message = "reset; not enabled" if response.success else "the arm is not at rest yet"
        return response

    def _stop(self, reason: StopReason) -> None:
        if self._throw is not None and not self._throw.over.done():
            self._throw.stop(reason)
        else:
            self.link.filter.stop(reason)

    async def _on_throw(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = False, self.refusal()
        if not response.message:
            throw = await self.throw()
            response.success, response.message = not throw.fault, throw.fault or throw.summary
        return response

    async def _on_measure(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Opens the hand of the arm at rest and tells how long that took."""
        response.success, response.message = False, self.refusal()
        if not response.message and self.link.ball is None:
            response.message = f"nobody tracks the ball on {names.BALL}"
        if not response.message:
            self._trial = trial = GripperTrial(self.link)
            delay = await trial.over
            if self._trial is trial:  # else the node has been deactivated
                self._trial = None
                self.link.end()
            response.success = math.isfinite(delay)
            response.message = f"gripper_delay: {delay:.3f}" if response.success else "the ball did not fall"
        return response

    def refusal(self, replaces: bool = False, aims: bool = False) -> str:
        """Why no throw can begin; "" where one can.

        Args:
            replaces: the one under way is no reason.
            aims: it brings its target.
        """
        link = self.link
        if link.filter.estopped:
            self._enabled = False
            return f"{StopReason.ESTOP.value}: call ~/reset, then ~/enable"
        if not self._enabled:
            return "not enabled: call ~/enable first"
        missing = [x for x in link.live.staleness(link.time or 0.0).missing if not (aims and x == "target")]
        if missing:
            return f"waiting for {', '.join(missing)}"
        if not link.connected or not (self._output is None or self._output.connected):
            return "nobody takes the commands"
        if self._trial is not None or (self._throw is not None and not replaces):
            return "a throw is under way"
        if link.stale:
            return StopReason.STALE.value
        joint, off = link.farthest_from_home
        # written so that a NaN is too far; where throws start as demonstrations did, home means nothing
        if self._near and self.world.settings.start == "home" and not off <= self._near and not replaces:
            return f"joint '{joint}' is {off:.2f} rad from where throws start: bring the arm there"
        return ""

    async def throw(self) -> Throw:
        """Throw, to the end. Only where nothing refuses it."""
        output = self._output
        throw = StreamedThrow(self._shared) if output is None else PlannedThrow(self._shared, output)
        self._throw = throw
        throw.begin()
        await throw.over
        if self._throw is throw:  # else the node has been deactivated
            self._throw = None
            self.link.end()
        self.throws += 1
        self._note_latency()
        return throw

    def _note_latency(self) -> None:
        """Work out the figures for /diagnostics now: during a throw they would delay a command."""
        if self._latency_ms:
            p50, p99 = np.percentile(self._latency_ms, (50, 99))
            self._latency = {"latency_ms_p50": round(p50, 3), "latency_ms_p99": round(p99, 3)}

    @property
    def throwing(self) -> Throw | None:
        """The throw under way."""
        return self._throw

    def _on_state(self, sent: int) -> None:
        if self._throw is not None:
            self._throw.on_state(sent)
        elif self._trial is not None:
            self._trial.on_state()

    def _on_silence(self) -> None:
        if self._throw is not None:
            self._throw.on_silence()

    def _on_refusal(self, why: str) -> None:
        self.get_logger().error(why)
        if isinstance(self._throw, PlannedThrow):
            self._throw.refused(why)

    def _report_step(
        self, step: int, state: State, wanted: np.ndarray, decision: Decision, fault: str
    ) -> None:
        message = PolicyStep(step=step, phase=state.phase.item(), held=decision.stop is not None)
        message.header.stamp = self.link.stamp
        message.observation = self._shared.observe(state).tolist()
        message.action_raw, message.action_safe = wanted.tolist(), decision.action.tolist()
        message.reward = float("nan") if self._reward is None else self._reward(state).item()
        message.hold_reason = fault
        self._steps.publish(message)
        self.action.on_step(step, state, fault)

    def status(self) -> tuple[bool, str, Mapping[str, Any]]:
        figures: dict[str, Any] = {
            "throws": self.throws,
            "policy_sha256": self.policy.sha256,
            "controller": self._controller,
        }
        figures |= self._latency
        if not self.active:
            return True, "not active", figures
        line = "throwing" if self._throw else self.refusal() or READY
        return True, line, figures


def main(arguments: Sequence[str] | None = None) -> int:
    torch.set_num_threads(1)
    return run(PolicyNode, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
