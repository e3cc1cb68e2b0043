"""policy: throws with a learned policy. Closes the loop from joint_states to commands at the control rate."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.task import Future
from std_srvs.srv import SetBool, Trigger

from irl_ros.errors import InputError
from irl_ros.msg import PolicyStep
from irl_ros.nodes import interface as names
from irl_ros.nodes.arm_link import ArmLink
from irl_ros.nodes.base import IrlNode, run
from irl_ros.rewards.reward import load_reward
from irl_ros.rl.policy import load_policy
from irl_ros.safety import Decision, StopReason
from irl_ros.sim import load_world
from irl_ros.sim.state import State

_EARLY = 0.25  # of a control period; a state that comes this much early still makes its control step

READY = "ready"
"""On /diagnostics: the next ~/throw will throw."""


class PolicyNode(IrlNode):
    """One throw for each call of ~/throw: the horizon's control steps, then to rest."""

    def __init__(self) -> None:
        super().__init__("policy")
        run_dir = self.parameter("run", "", "RUN folder of `irl-ros learn` or `transfer`")
        world = self.parameter("world", "", "world of this arm; empty: the one the policy was trained in")
        max_age = self.parameter("max_age", 0.1, "oldest joint state to act on, s", 0.02, 10.0)
        self._enabled = self.parameter(
            "enabled", False, "may command the arm from the start, without ~/enable"
        )
        if not run_dir:
            raise InputError("parameter run", "is not set", "give the RUN folder that holds the policy")
        self.policy = load_policy(run_dir)
        self.world = load_world(world) if world else self.policy.world
        self.policy.check_robot(self.world.robot)
        has_reward = (Path(run_dir) / "reward.yaml").is_file()
        self._reward = load_reward(run_dir, self.world) if has_reward else None
        self._over: Future | None = None
        self._fault, self.throws = "", 0
        self._latency_ms: deque[float] = deque(maxlen=100_000)
        self._steps = self.create_publisher(PolicyStep, names.POLICY, names.SENSOR)
        self.link = ArmLink(self, self.world, self._on_state, self._on_silence, max_age)
        self.create_service(SetBool, "~/enable", self._on_enable)
        # a throw takes a while; in the common group it would wait for states that wait for it
        group = MutuallyExclusiveCallbackGroup()
        self.create_service(Trigger, "~/throw", self._on_throw, callback_group=group)

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._enabled = request.data
        if not request.data:
            self._fault = self._fault or StopReason.DISABLED.value
            self.link.filter.stop(StopReason.DISABLED)
        response.success, response.message = True, "enabled" if request.data else "disabled"
        return response

    async def _on_throw(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = False, self._refusal()
        if not response.message:
            self._begin()
            fault = await self._over
            self._over = None
            self.link.end()
            self.throws += 1
            response.success, response.message = not fault, fault or self._summary
        return response

    def _refusal(self) -> str:
        if not self._enabled:
            return "not enabled: call ~/enable first"
        if self.link.filter.estopped:
            return StopReason.ESTOP.value
        missing = self.link.live.staleness(self.link.time or 0.0).missing
        if missing:
            return f"waiting for {', '.join(missing)}"
        if not self.link.connected:
            return "nobody takes the commands"
        return StopReason.STALE.value if self.link.stale else ""

    def _begin(self) -> None:
        self._over, self._fault, self._step = Future(), "", 0
        self._summary = "not released"
        self.link.begin()
        self._begun = self.link.time
        self._act(None)

    def _on_state(self, sent: int) -> None:
        if self._over is None or self._over.done():
            return
        due = self._begun + self._step * self.world.dt
        if self.link.time > due - _EARLY * self.world.dt:
            self._act(sent)

    def _act(self, sent: int | None) -> None:
        """Answer the newest state, which was sent at `sent`, ns."""
        if self._fault or self._step >= self.world.horizon:
            self._come_to_rest(StopReason.FINISHED)
            return
        state, _ = self.link.live.at(self.link.time)
        wanted = self.policy.act(state)[0].numpy()
        decision = self.link.act(wanted)
        if sent is not None:
            self._latency_ms.append((time.time_ns() - sent) * 1e-6)
        if decision.release and state.held.item():
            self._summary = f"released at step {self._step} of {self.world.horizon}"
        if decision.stop is not None:
            self._fault = decision.stop.value
        self._report_step(state, wanted, decision)
        self._step += 1

    def _on_silence(self) -> None:
        self._fault = self._fault or StopReason.STALE.value
        self._come_to_rest(StopReason.STALE)

    def _come_to_rest(self, reason: StopReason) -> None:
        decision = self.link.hold(reason)
        if self._fault:
            state, _ = self.link.live.at(self.link.time)
            if state is not None:
                self._report_step(state, np.zeros(self.world.action_dim), decision)
        if self.link.filter.at_rest and not self._over.done():
            self._over.set_result(self._fault)

    def _report_step(self, state: State, wanted: np.ndarray, decision: Decision) -> None:
        message = PolicyStep(step=self._step, phase=state.phase.item(), held=decision.stop is not None)
        message.header.stamp = self.link.stamp
        message.observation = self.policy.observation.raw(state)[0].tolist()
        message.action_raw, message.action_safe = wanted.tolist(), decision.action.tolist()
        message.reward = float("nan") if self._reward is None else self._reward(state).item()
        message.hold_reason = self._fault
        self._steps.publish(message)

    def close(self) -> None:
        self.link.close()

    def status(self) -> tuple[bool, str, Mapping[str, Any]]:
        line = "throwing" if self._over else self._refusal() or READY
        figures: dict[str, Any] = {"throws": self.throws, "policy_sha256": self.policy.sha256}
        if self._latency_ms:
            p50, p99 = np.percentile(self._latency_ms, (50, 99))
            figures |= {"latency_ms_p50": round(p50, 3), "latency_ms_p99": round(p99, 3)}
        return True, line, figures


def main(arguments: Sequence[str] | None = None) -> int:
    torch.set_num_threads(1)
    return run(PolicyNode, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
