"""operator: a synthetic person who throws through the same topics as a real one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from geometry_msgs.msg import PointStamped
from rclpy.client import Client
from rclpy.task import Future
from std_srvs.srv import Trigger

from irl_ros.demos.faults import load_operator
from irl_ros.demos.operator import Plan, SyntheticOperator
from irl_ros.nodes import interface as names
from irl_ros.nodes.arm_link import ArmLink
from irl_ros.nodes.base import IrlNode, run
from irl_ros.safety import SafetySettings, StopReason
from irl_ros.sim import load_world

PATIENCE = 30.0  # s (wall) for other nodes to appear


class Operator(IrlNode):
    """Throws episode after episode: a target, a new ball, start of the recording, the throw, stop."""

    def __init__(self) -> None:
        super().__init__("operator")
        self.world = load_world(
            self.parameter("world", "default", "world: a shipped name or the path of a YAML")
        )
        settings = load_operator(
            self.parameter("preset", "default", "who throws: a preset of config/operators.yaml")
        )
        seed = self.parameter("seed", 0, "same seed, same person, same targets", 0, 2**31 - 1)
        self._episodes = self.parameter("episodes", 20, "throws; then the node ends", 1, 100_000)
        self._skip = self.parameter("skip", 0, "throws this person has made already", 0, 100_000)
        reset = self.parameter(
            "reset", "sim_arm/reset", "service that hands a new ball; empty: somebody does it"
        )
        recorder = self.parameter("recorder", "recorder", "node that records; empty: nobody does")
        max_age = self.parameter("max_age", 0.5, "oldest joint state to act on, s", 0.02, 10.0)
        self._person = SyntheticOperator(self.world, settings, seed)
        self._targets = torch.Generator().manual_seed(seed)
        self.thrown, self._plan, self._over = 0, None, Future()
        self._target = self.create_publisher(PointStamped, names.TARGET, names.LATCHED)
        self._reset = self.create_client(Trigger, reset) if reset else None
        verbs = ("start", "stop", "discard") if recorder else ()
        self._record = {v: self.create_client(Trigger, f"{recorder}/{v}_episode") for v in verbs}
        safety = SafetySettings(max_age=max_age)
        self.link = ArmLink(self, self.world, self._on_state, self._on_silence, safety)
        self.begin_soon(self._session)

    async def _session(self) -> None:
        try:
            for client in (self._reset, *self._record.values()):
                if client is not None:
                    await self.until(client.service_is_ready, PATIENCE, f"no service {client.srv_name}")
            for _ in range(self._skip):
                self._next_plan()
            while self.thrown < self._episodes:
                await self._episode(self._next_plan())
                self.thrown += 1
            self.finish(0)
        except (TimeoutError, RuntimeError) as error:
            self.get_logger().error(str(error))
            self.finish(1)

    def _next_plan(self) -> Plan:
        return self._person.plan(self.world.sample_targets(1, self._targets)[0])

    async def _episode(self, plan: Plan) -> None:
        self._aim(plan.target)
        await self._prepare()
        await self._throw(plan)
        if self._record:
            await self._ask(self._record["stop"])

    async def _prepare(self) -> None:
        """A new ball in the hand of an arm at home, and a recorder that runs.

        The recorder refuses while a topic is missing: just after start, only a matter of time. The arm
        is reset again then: in lock-step it has stood still since, and its state is no longer fresh.
        """
        end = self.seconds() + PATIENCE
        while True:
            if self._reset is not None:
                await self._ask(self._reset)
            await self.until(lambda: self.link.ready, PATIENCE, "the arm was not at home")
            if not self._record:
                return
            answer = await self._record["start"].call_async(Trigger.Request())
            if answer.success:
                return
            if self.seconds() > end:
                raise RuntimeError(f"{self._record['start'].srv_name}: {answer.message}")
            await self.sleep(0.1)

    async def _throw(self, plan: Plan) -> None:
        self._plan, self._over = plan, Future()
        self.link.begin()
        self._begun = self.link.time
        self._act()
        fault = await self._over
        self.link.end()
        self._plan = None
        if fault:
            if self._record:
                await self._ask(self._record["discard"])
            raise RuntimeError(fault)

    async def _ask(self, client: Client) -> None:
        answer = await client.call_async(Trigger.Request())
        if not answer.success:
            raise RuntimeError(f"{client.srv_name}: {answer.message}")

    def _aim(self, target: torch.Tensor) -> None:
        message = PointStamped()
        message.header.stamp, message.header.frame_id = self.get_clock().now().to_msg(), names.WORLD_FRAME
        message.point.x, message.point.y, message.point.z = target.tolist()
        self._target.publish(message)
        self.link.live.target(target.tolist())

    def _on_state(self, _: int) -> None:
        if self._plan is not None and not self._over.done():
            self._act()

    def _act(self) -> None:
        """Answer the newest state with what the hand does now."""
        t = self.link.time - self._begun
        if t < float(self._plan.duration) and self.link.filter.reason is None:
            state, _ = self.link.live.at(self.link.time)
            self.link.act(self._plan.command(t, state[0]).numpy())
        else:
            self._come_to_rest(StopReason.FINISHED)

    def _on_silence(self) -> None:
        self._come_to_rest(StopReason.STALE)

    def _come_to_rest(self, reason: StopReason) -> None:
        self.link.hold(reason)
        limited = self.link.filter
        if limited.at_rest and not self._over.done():
            finished = limited.reason is StopReason.FINISHED
            self._over.set_result("" if finished else f"the throw was stopped: {limited.reason.value}")

    def close(self) -> None:
        self.link.close()

    def status(self) -> tuple[bool, str, Mapping[str, Any]]:
        return (
            True,
            "throwing" if self._plan else "waiting",
            {"thrown": self.thrown, "episodes": self._episodes},
        )


def main(arguments: Sequence[str] | None = None) -> int:
    torch.set_num_threads(1)
    return run(Operator, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
