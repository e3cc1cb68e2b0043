"""learner: starts `irl-ros learn` when told to, by action, service or parameter, and says how it goes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from irl_ros.action import Learn
from irl_ros.errors import InputError
from irl_ros.msg import LearnerStatus
from irl_ros.nodes import interface as names
from irl_ros.nodes.base import run
from irl_ros.nodes.learning import Learning, LearnJob
from irl_ros.nodes.managed import ManagedNode

_NO_PATHS = ("parameter paths", "is not set", "give the folders of the recordings")
_PREEMPTED = "preempted by a new goal"
_FIELDS = {
    "hit_rate": "hit_10cm",
    "discriminator_accuracy": "discriminator_accuracy",
    "reward_mean": "reward_mean",
    "rate": "steps_per_s",
    "elapsed_s": "wall_s",
    "remaining_s": "remaining_s",
}
"""LearnerStatus field → key in metrics.jsonl."""
_FOLLOW = 0.25  # s between two looks at a learning that is under way


class Learner(ManagedNode):
    """Action ~/learn, its twins ~/start and ~/stop, a parameter for each option; news on irl/learner.

    One learning at a time, in a process of its own. A new goal stops the one before at a checkpoint.
    """

    def __init__(self) -> None:
        super().__init__("learner")
        texts = Parameter.Type.STRING_ARRAY
        self.parameter("paths", texts, "recordings to learn from: bag folders, or folders of them")
        self.parameter("out", "learned", "RUN folder to write")
        self.parameter("algo", "airl", "learning algorithm")
        self.parameter("world", "default", "world to learn in: a shipped name or the path of a YAML")
        self.parameter("sim", "batch", "simulator to learn in", choices=("batch", "pybullet"))
        self.parameter("device", "auto", "auto, cpu, cuda, cuda:1, ...")
        self.parameter("seed", 0, "same seed, same result", 0, 2**31 - 1)
        self.parameter("config", "", "YAML of learning settings; empty: none")
        self.parameter("overrides", texts, "single settings as key=value")
        self.parameter("resume", False, "go on from the checkpoint in out where there is one")
        self.parameter("begin", False, "begin to learn as soon as active, without ~/start")
        self.parameter("exit_when_done", False, "end the node with the learning")

    def configure(self) -> None:
        if self.value("begin") and not self.value("paths"):
            raise InputError(*_NO_PATHS)
        self._own = self._job(Learn.Goal(resume=self.value("resume")))
        self._ends = self.value("exit_when_done")
        self.learning: Learning | None = None
        self._turn = 0
        self._status = self.create_publisher(LearnerStatus, names.LEARNER, names.LATCHED)
        self.create_service(Trigger, "~/start", self._on_start)
        # it waits for the end; in the common group, the timer that notices the end would wait for it
        group = MutuallyExclusiveCallbackGroup()
        self.create_service(Trigger, "~/stop", self._on_stop, callback_group=group)
        ActionServer(
            self,
            Learn,
            "~/learn",
            self._on_goal,
            goal_callback=lambda goal: GoalResponse.REJECT if self._refusal(goal) else GoalResponse.ACCEPT,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
        )
        self._publish()

    def activate(self) -> None:
        self.create_wall_timer(_FOLLOW, self._follow)
        if self.value("begin"):
            self._start(self._own)

    def deactivate(self) -> None:
        if self._busy:
            self.learning.stop_now("stopped")
            self._publish()

    @property
    def _busy(self) -> bool:
        return self.learning is not None and not self.learning.ended

    def _job(self, goal: Learn.Goal) -> LearnJob:
        """A goal's, with the parameters for what it leaves open."""
        options = {"world": goal.world or self.value("world")}
        options |= {key: self.value(key) for key in ("sim", "device", "seed")}
        words = [x for key, value in options.items() for x in (f"--{key}", str(value))]
        words += ["--config", config] if (config := self.value("config")) else []
        words += [x for line in goal.overrides or self.value("overrides") or [] for x in ("--set", line)]
        return LearnJob(
            tuple(goal.paths or self.value("paths") or []),
            Path(goal.out or self.value("out")),
            goal.algo or self.value("algo"),
            tuple(words),
            goal.resume,
        )

    def _refusal(self, goal: Learn.Goal) -> str:
        if not self.active:
            return f"the learner is {self.state_label}"
        job = self._job(goal)
        try:
            job.check()
        except InputError as error:
            return str(error)
        return "" if job.paths or job.resumes else str(InputError(*_NO_PATHS))

    def _on_start(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        refusal = self._refusal(Learn.Goal(resume=self._own.resume))
        if self._busy:
            refusal = refusal or "is learning already"
        response.success, response.message = not refusal, refusal
        if not refusal:
            self._start(self._own)
            response.message = f"learning into {self._own.run}"
        return response

    async def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = self._busy, "no learning is under way"
        if response.success:
            response.message = f"stopped; resume goes on with {self.learning.job.run}"
            await self._stop("stopped")
        return response

    async def _on_goal(self, handle: ServerGoalHandle) -> Learn.Result:
        """One goal from its start to its end."""
        self._turn += 1
        turn, job = self._turn, self._job(handle.request)
        if self._busy:
            await self._stop(_PREEMPTED)
        if turn != self._turn or not self.active:
            handle.abort()  # another came while this one waited
            return Learn.Result(run=str(job.run), message=_PREEMPTED)
        mine = self._start(job)
        told: dict[str, Any] = {}
        while not mine.ended:
            if handle.is_cancel_requested:
                mine.stop("canceled")
            if mine.latest is not told:
                told = mine.latest
                handle.publish_feedback(_feedback(told))
            await self.sleep(_FOLLOW)
        return _conclude(handle, mine)

    async def _stop(self, why: str) -> None:
        learning = self.learning
        learning.stop(why)
        while not learning.ended:
            await self.sleep(_FOLLOW)

    def _start(self, job: LearnJob) -> Learning:
        self.learning = Learning(job)
        if self.learning.message:
            self.get_logger().info(self.learning.message)
        self._publish()
        return self.learning

    def _follow(self) -> None:
        """Pass on what is new; notice the end."""
        if self.learning is None or not self.learning.follow():
            return
        self._publish()
        if self.learning.ended and self._ends:
            self.finish(self.learning.exit_code)

    def _publish(self) -> None:
        learning = self.learning
        job, latest = (self._own, {"state": "idle"}) if learning is None else (learning.job, learning.latest)
        status = LearnerStatus(algo=job.algo, state=latest["state"], run_dir=str(job.run))
        status.message = "" if learning is None else learning.message
        status.header.stamp = self.get_clock().now().to_msg()
        for key in ("iteration", "iterations", "env_steps"):
            setattr(status, key, int(latest.get(key, 0)))
        for field, key in _FIELDS.items():
            setattr(status, field, _number(latest.get(key)))
        self._status.publish(status)

    def status(self) -> tuple[bool, str, Mapping[str, Any]]:
        if self.learning is None:
            return True, "idle", {"run": self._own.run}
        state = self.learning.latest["state"]
        return state != "failed", state, {"run": self.learning.job.run, "message": self.learning.message}


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _feedback(latest: Mapping[str, Any]) -> Learn.Feedback:
    whole = {key: int(latest.get(key, 0)) for key in ("iteration", "iterations", "env_steps")}
    parts = {field: _number(latest.get(_FIELDS[field])) for field in ("rate", "remaining_s", "hit_rate")}
    return Learn.Feedback(stage=latest["state"], **whole, **parts)


def _conclude(handle: ServerGoalHandle, learning: Learning) -> Learn.Result:
    """A goal's state and result, once its learning has ended."""
    done = learning.latest["state"] == "done"
    if done:
        handle.succeed()
    elif handle.is_cancel_requested:
        handle.canceled()
    else:
        handle.abort()
    return Learn.Result(run=str(learning.job.run), success=done, message=learning.message)


def main(arguments: Sequence[str] | None = None) -> int:
    return run(Learner, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
