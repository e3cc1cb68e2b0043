"""The trainer every algorithm shares: stages in order, metrics, progress, checkpoints."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from irl_ros.errors import InputError
from irl_ros.irl.checkpoint import load_checkpoint, save_checkpoint
from irl_ros.irl.run_directory import RunDirectory
from irl_ros.irl.stopping import stop_between_rounds
from irl_ros.rl.agent import Actor
from irl_ros.rl.task import Task
from irl_ros.settings import at_least


class Algorithm(Protocol):
    """Something that improves a policy round by round."""

    @property
    def policy(self) -> Actor: ...

    @property
    def finished(self) -> bool: ...

    def iterate(self) -> dict[str, float]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Stage:
    """A named part of learning: "learning", "polish".

    Attributes:
        name: for the progress line and the metrics.
        algorithm: what runs.
        iterations: most rounds it takes.
        episodes: episodes it makes in a round, as a rule: what the time that is left is estimated by.
    """

    name: str
    algorithm: Algorithm
    iterations: int
    episodes: int


@dataclass(frozen=True)
class TrainerSettings:
    checkpoint_every: int = 10
    """Rounds between two checkpoints."""
    practice_every: int = 5
    """Rounds between two measurements of the hit rate."""
    threads: int = 1
    """CPU threads: networks this small gain little from more, and lose much when the cores are shared."""

    def __post_init__(self) -> None:
        at_least(self, 1, "checkpoint_every", "practice_every", "threads")


class Trainer:
    """Runs stages one after another and writes down what happens.

    Args:
        run: where everything goes.
        task: where practice is measured, and whose steps are counted.
        stages: in order; all improve the same policy.
        modules: networks beside the policy that later stages need (the reward), saved in every checkpoint.
        settings: see TrainerSettings.
    """

    def __init__(
        self,
        run: RunDirectory,
        task: Task,
        stages: list[Stage],
        modules: dict[str, nn.Module],
        settings: TrainerSettings | None = None,
    ) -> None:
        self.run, self.task, self.stages, self.modules = run, task, stages, modules
        self.settings = settings or TrainerSettings()
        self.stage, self.iteration, self.wall = 0, 0, 0.0
        self.practice: dict[str, float] = {}
        self.progress = Progress()
        self._begun = 0.0, 0  # wall and iteration where the stage, or this process's part of it, began

    def resume(self) -> bool:
        """Go back to the last checkpoint; False where there is none and learning starts from the beginning.

        Raises:
            InputError: the checkpoint is damaged, or of another version or other settings.
        """
        state = load_checkpoint(self.run.checkpoint)
        if state is not None:
            try:
                self._restore(state)
            except (KeyError, RuntimeError, TypeError, ValueError) as error:
                problem = f"is damaged or of another version ({' '.join(str(error).split())[:120]})"
                raise InputError(self.run.checkpoint, problem, "delete the run and learn again") from None
        self.run.keep_metrics(self.iteration)
        return state is not None

    def _restore(self, state: dict[str, Any]) -> None:
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
        self.stage, self.iteration = state["stage"], state["iteration"]
        self.wall, self.practice = state["wall_s"], state["practice"]
        for stage, saved in zip(self.stages[self.stage :], state["algorithms"], strict=True):
            stage.algorithm.load_state_dict(saved)
        self.task.env_steps = state["env_steps"]
        restore_random_state(state["random"], self.task.device)

    def fit(self) -> None:
        """Run every stage to its end.

        Raises:
            KeyboardInterrupt: Ctrl-C; the round under way has been finished, and a checkpoint holds it.
        """
        started = time.monotonic() - self.wall
        self._begun = self.wall, self.iteration
        board = SummaryWriter(str(self.run.path), purge_step=self.iteration + 1)
        with board, stop_between_rounds() as stop:
            while True:
                stage = self.stages[self.stage]
                while not stage.algorithm.finished:
                    figures = stage.algorithm.iterate()
                    self.iteration += 1
                    self.wall = time.monotonic() - started
                    self._report(stage, figures, board)
                    if stop.asked or self.iteration % self.settings.checkpoint_every == 0:
                        self.save()
                    stop.obey()
                if self.stage == len(self.stages) - 1:
                    break
                self.stage += 1
                self._begun = self.wall, self.iteration
                self.save()
        self.progress.end()

    def save(self) -> None:
        """Write a checkpoint from which `resume` goes on as if never stopped."""
        save_checkpoint(
            self.run.checkpoint,
            {
                "stage": self.stage,
                # later stages too: they were put together from random numbers that are not drawn again
                "algorithms": [s.algorithm.state_dict() for s in self.stages[self.stage :]],
                "modules": {name: dict(m.state_dict()) for name, m in self.modules.items()},
                "iteration": self.iteration,
                "env_steps": self.task.env_steps,
                "wall_s": self.wall,
                "practice": self.practice,
                "random": random_state(self.task.device),
            },
        )

    def _report(self, stage: Stage, figures: dict[str, float], board: SummaryWriter) -> None:
        due = self.iteration % self.settings.practice_every == 0
        if due or stage.algorithm.finished or not self.practice:
            self.practice = self.task.practice(stage.algorithm.policy)
        last = all(s.algorithm.finished for s in self.stages[self.stage :])
        line = {
            "iteration": self.iteration,
            "iterations": sum(s.iterations for s in self.stages),
            "state": "done" if last else stage.name,
            "env_steps": self.task.env_steps,
            "wall_s": self.wall,
            "steps_per_s": self.task.env_steps / max(self.wall, 1e-9),
            "remaining_s": 0.0 if last else self._remaining(stage),
            **self.practice,
            **figures,
        }
        self.run.append_metrics(line)
        for key, value in line.items():
            if isinstance(value, float):
                board.add_scalar(key, value, self.iteration)
        self.progress.show(line)

    def _remaining(self, stage: Stage) -> float:
        """Estimated time that is left, s: all rounds that may come, at what those of this stage took.

        A later stage's round is taken to cost no more than one of this stage however many more episodes it
        makes: most of a round is learning, not throwing.
        """
        wall, iteration = self._begun
        a_round = (self.wall - wall) / (self.iteration - iteration)
        rounds = float(max(0, stage.iterations - getattr(stage.algorithm, "round", 0)))
        for later in self.stages[self.stage + 1 :]:
            rounds += later.iterations * min(1.0, later.episodes / stage.episodes)
        return rounds * a_round


class Progress:
    """One line on a terminal, rewritten; elsewhere a line every ten seconds."""

    def __init__(self) -> None:
        self.terminal = sys.stdout.isatty()
        self.next = 0.0

    def show(self, line: dict[str, Any]) -> None:
        now = time.monotonic()
        if now < self.next and line["state"] != "done":
            return
        self.next = now + (0.5 if self.terminal else 10.0)
        done = line["state"] == "done"  # often before the last round there could have been
        rounds = (
            f"{line['iteration']} rounds" if done else f"round {line['iteration']:>3}/{line['iterations']}"
        )
        accuracy = line.get("discriminator_accuracy")
        text = (
            f"{line['state']:<9} {rounds:<13}"
            f"  {line['steps_per_s'] / 1e3:6.1f}k steps/s"
            f"  {practised(line)}"
            + (f"  discriminator {accuracy:4.0%}" if accuracy is not None else "")
            + (f"  in {clock(line['wall_s'])}" if done else f"  about {clock(line['remaining_s'])} left")
        )
        print(f"\r{text:<118}" if self.terminal else text, end="" if self.terminal else "\n", flush=True)

    def end(self) -> None:
        if self.terminal:
            print()


def clock(seconds: float) -> str:
    """1:02:03, or 2:03."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}"


def practised(line: dict[str, Any]) -> str:
    """How the policy did at practice: hits, or the return of a task without hits."""
    if "hit_10cm" in line:
        return f"hits {line['hit_10cm']:6.1%} @10 cm {line['hit_5cm']:6.1%} @5 cm"
    return f"return {line['true_return']:9.1f}"


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The state of torch's random generators: the CPU's, and the GPU's where learning is on one."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Go on drawing where `random_state` was taken."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
