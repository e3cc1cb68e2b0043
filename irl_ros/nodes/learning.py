"""Learning: one run of `irl-ros learn`, as the learner node follows it from start to end. No ROS here."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irl_ros.demos.complete_bags import complete_bags
from irl_ros.errors import InputError
from irl_ros.nodes.learning_process import PATIENCE, LearningProcess
from irl_ros.settings import load_yaml


@dataclass(frozen=True)
class LearnJob:
    """What to learn from, and where to.

    Attributes:
        paths: bag folders, or folders of them, which may still grow.
        run: RUN folder to write.
        algo: learning algorithm.
        options: other options of `irl-ros learn`.
        resume: go on from the checkpoint in `run`, where there is one.
    """

    paths: tuple[str, ...]
    run: Path
    algo: str
    options: tuple[str, ...]
    resume: bool

    @property
    def resumes(self) -> bool:
        """There is something to go on with."""
        return self.resume and (self.run / "run.yaml").is_file()

    def arguments(self) -> tuple[list[str], list[str]]:
        """For the command line, and the recordings left out because they are not complete.

        A run that goes on takes the recordings it was begun with: more may have come since.
        """
        if self.resumes:
            return [*self._begun_with(), "--resume"], []
        paths, left = complete_bags(self.paths)
        return [*paths, "--algo", self.algo, *self.options], left

    def check(self) -> None:
        """Refuse, before anything is stopped for it, to go on with what is not a run that learned.

        Raises:
            InputError: run.yaml is damaged, or of another verb.
        """
        if self.resumes:
            self._begun_with()

    def _begun_with(self) -> list[str]:
        path = self.run / "run.yaml"
        begun = load_yaml(path)
        if not isinstance(begun.get("demos"), dict) or "paths" not in begun["demos"]:
            cure = "choose another out, or learn anew without resume"
            raise InputError(path, "names no demonstrations: `irl-ros learn` did not begin that run", cure)
        return list(begun["demos"]["paths"])


class Learning:
    """A job under way.

    Attributes:
        latest: the newest metrics, with `state`: loading, learning, polish, saving, then done or failed.
        message: one line for people.
        stopped: why it was told to stop; "" when it was not.
        left_out: recordings that were not complete when it began.
    """

    def __init__(self, job: LearnJob, log: Any = None) -> None:
        self.job = job
        self.latest: dict[str, Any] = {"state": "loading"}
        self.stopped = ""
        self._kill_at = float("inf")
        arguments, self.left_out = job.arguments()
        self.message = f"left out, not complete: {', '.join(self.left_out)}" if self.left_out else ""
        self._process = LearningProcess(job.run, arguments, log)

    @property
    def ended(self) -> bool:
        """Done or failed, and told so by `follow`."""
        return self.latest["state"] in ("done", "failed")

    @property
    def exit_code(self) -> int | None:
        """Of the process; None while it runs."""
        return self._process.exit_code

    def follow(self) -> bool:
        """Look what is new; whether anything is. Call it a few times a second until `ended`."""
        if self.ended:
            return False
        code = self._process.exit_code  # before the last look at its news
        if news := self._process.news():
            self.latest = news
        if self.latest["state"] == "done" and code is None:
            self.latest["state"] = "saving"  # done means: the policy is there
        if code is not None:
            self._end(code)
        elif time.monotonic() > self._kill_at:
            self._process.kill()
        return bool(news) or code is not None

    def stop(self, why: str) -> None:
        """Ask it to leave a checkpoint and end; `follow` tells when it has."""
        if not self.stopped and self._process.exit_code is None:
            self.stopped, self._kill_at = why, time.monotonic() + PATIENCE
            self._process.interrupt()

    def stop_now(self, why: str) -> None:
        """The same, waiting until it has."""
        self.stop(why)
        code = self._process.wait()
        if not self.ended:
            self._end(code)

    def _end(self, code: int) -> None:
        self.latest["state"] = "failed" if code else "done"
        if code:
            resumable = (self.job.run / "run.yaml").is_file()
            hint = "; resume goes on" if resumable else ""
            self.message = f"{self.stopped}{hint}" if self.stopped else self._process.complaint()
