"""learner: starts `irl-ros learn` and tells on irl/learner how it goes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from irl_ros.errors import InputError
from irl_ros.msg import LearnerStatus
from irl_ros.nodes import interface as names
from irl_ros.nodes.base import run
from irl_ros.nodes.learning_process import LearningProcess
from irl_ros.nodes.managed import ManagedNode

_NO_PATHS = ("parameter paths", "is not set", "give the folders of the recordings")
_FIELDS = {
    "hit_rate": "hit_10cm",
    "discriminator_accuracy": "discriminator_accuracy",
    "reward_mean": "reward_mean",
    "rate": "steps_per_s",
    "elapsed_s": "wall_s",
    "remaining_s": "remaining_s",
}
"""LearnerStatus field → key in metrics.jsonl."""


class Learner(ManagedNode):
    """A parameter for each option of `irl-ros learn`, services ~/start and ~/stop, news on irl/learner."""

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
        self._paths = self.value("paths") or []
        self.run, self._algo = Path(self.value("out")), self.value("algo")
        self._resume, self._begin = self.value("resume"), self.value("begin")
        self._ends = self.value("exit_when_done")
        if self._begin and not self._paths:
            raise InputError(*_NO_PATHS)
        options = {key: self.value(key) for key in ("algo", "world", "sim", "device", "seed")}
        self._options = [x for key, value in options.items() for x in (f"--{key}", str(value))]
        self._options += ["--config", config] if (config := self.value("config")) else []
        self._options += [x for line in self.value("overrides") or [] for x in ("--set", line)]
        self.process: LearningProcess | None = None
        self._latest: dict[str, Any] = {"state": "idle"}
        self._message = ""
        self._status = self.create_publisher(LearnerStatus, names.LEARNER, names.LATCHED)
        self.create_service(Trigger, "~/start", self._on_start)
        self.create_service(Trigger, "~/stop", self._on_stop)
        self._publish()

    def activate(self) -> None:
        self.create_wall_timer(0.25, self._follow)
        if self._begin:
            self._start()

    def deactivate(self) -> None:
        if self.process is not None and self.process.exit_code is None:
            self.process.stop()
            self._latest["state"], self._message = "failed", "stopped; resume goes on"
            self._publish()

    def _on_start(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.message = self._refusal()
        response.success = not response.message
        if response.success:
            self._start()
            response.message = f"learning into {self.run}"
        return response

    def _refusal(self) -> str:
        if not self.active:
            return f"the learner is {self.state_label}"
        if not self._paths:
            return str(InputError(*_NO_PATHS))
        return "is learning already" if self.process is not None and self.process.exit_code is None else ""

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self.process is not None and self.process.exit_code is None
        response.message = "no learning is under way"
        if response.success:
            self.process.stop()
            response.message = f"stopped; resume goes on with {self.run}"
        return response

    def _start(self) -> None:
        begun = self._resume and (self.run / "run.yaml").is_file()
        options = [*self._paths, *self._options, *(["--resume"] if begun else [])]
        self._latest, self._message = {"state": "loading"}, ""
        self.process = LearningProcess(self.run, options)
        self._publish()

    def _follow(self) -> None:
        """Pass on what is new; notice the end."""
        if self.process is None or self._latest["state"] in ("done", "failed"):
            return
        code = self.process.exit_code  # before the last look at its news
        if news := self.process.news():
            self._latest = news
        if self._latest["state"] == "done" and code is None:
            self._latest["state"] = "saving"  # done means: the policy is there
        if code is not None:
            self._latest["state"] = "failed" if code else "done"
            self._message = self.process.complaint() if code else ""
        if news or code is not None:
            self._publish()
        if code is not None and self._ends:
            self.finish(code)

    def _publish(self) -> None:
        latest = self._latest
        status = LearnerStatus(
            algo=self._algo, state=latest["state"], run_dir=str(self.run), message=self._message
        )
        status.header.stamp = self.get_clock().now().to_msg()
        for key in ("iteration", "iterations", "env_steps"):
            setattr(status, key, int(latest.get(key, 0)))
        for field, key in _FIELDS.items():
            value = latest.get(key)
            setattr(status, field, math.nan if value is None else float(value))
        self._status.publish(status)

    def status(self) -> tuple[bool, str, Mapping[str, Any]]:
        return (
            self._latest["state"] != "failed",
            self._latest["state"],
            {"run": self.run, "message": self._message},
        )


def main(arguments: Sequence[str] | None = None) -> int:
    return run(Learner, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
