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
from irl_ros.rl.policy import Policy
from irl_ros.rl.ppo import Starts
from irl_ros.settings import at_least
from irl_ros.sim.pool import BulletPool
from irl_ros.sim.rollout import Simulator, throw

PRACTICE_SEED = 7919
"""Of the targets the progress line is measured on; evaluation draws others."""
PRACTICE_THROWS = 256


class Algorithm(Protocol):
    """Something that improves a policy round by round."""

    policy: Policy

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
        throws: throws it makes in a round.
    """

    name: str
    algorithm: Algorithm
    iterations: int
    throws: int


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
        simulator: where the hit rate on practice targets is measured.
        stages: in order; all improve the same policy.
        modules: networks beside the policy that later stages need (the reward), saved in every checkpoint.
        starts: of throws.
        settings: see TrainerSettings.
    """

    def __init__(
        self,
        run: RunDirectory,
        simulator: Simulator,
        stages: list[Stage],
        modules: dict[str, nn.Module],
        starts: Starts = None,
        settings: TrainerSettings | None = None,
    ) -> None:
        self.run, self.simulator, self.stages, self.modules = run, simulator, stages, modules
        self.starts, self.settings = starts, settings or TrainerSettings()
        self.stage, self.iteration, self.env_steps, self.wall = 0, 0, 0, 0.0
        self.practice = {"hit_10cm": 0.0, "hit_5cm": 0.0}
        self.progress = Progress()

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
        self.stage, self.iteration, self.env_steps = state["stage"], state["iteration"], state["env_steps"]
        self.wall, self.practice = state["wall_s"], state["practice"]
        for stage, saved in zip(self.stages[self.stage :], state["algorithms"], strict=True):
            stage.algorithm.load_state_dict(saved)
        restore_random_state(state["random"], self.simulator.device)

    def fit(self) -> None:
        """Run every stage to its end."""
        started = time.monotonic() - self.wall
        with SummaryWriter(str(self.run.path), purge_step=self.iteration + 1) as board:
            while True:
                stage = self.stages[self.stage]
                while not stage.algorithm.finished:
                    figures = stage.algorithm.iterate()
                    self.iteration += 1
                    self.env_steps += stage.throws * self.simulator.world.horizon
                    self.wall = time.monotonic() - started
                    self._report(stage, figures, board)
                    if self.iteration % self.settings.checkpoint_every == 0:
                        self.save()
                if self.stage == len(self.stages) - 1:
                    break
                self.stage += 1
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
                "env_steps": self.env_steps,
                "wall_s": self.wall,
                "practice": self.practice,
                "random": random_state(self.simulator.device),
            },
        )

    def _report(self, stage: Stage, figures: dict[str, float], board: SummaryWriter) -> None:
        if self.iteration % self.settings.practice_every == 0 or stage.algorithm.finished:
            self.practice = self._practice(stage.algorithm.policy)
        last = stage.algorithm.finished and stage is self.stages[-1]
        steps_per_s = self.env_steps / max(self.wall, 1e-9)
        ahead = sum(s.iterations * s.throws for s in self.stages) * self.simulator.world.horizon
        done = sum(s.iterations * s.throws for s in self.stages[: self.stage])
        done += getattr(stage.algorithm, "round", 0) * stage.throws
        left = max(0.0, ahead - done * self.simulator.world.horizon) / steps_per_s
        line = {
            "iteration": self.iteration,
            "iterations": sum(s.iterations for s in self.stages),
            "state": "done" if last else stage.name,
            "env_steps": self.env_steps,
            "wall_s": self.wall,
            "steps_per_s": steps_per_s,
            "remaining_s": 0.0 if last else left,
            **self.practice,
            **figures,
        }
        self.run.append_metrics(line)
        for key, value in line.items():
            if isinstance(value, float):
                board.add_scalar(key, value, self.iteration)
        self.progress.show(line)

    def _practice(self, policy: Policy) -> dict[str, float]:
        generator = torch.Generator().manual_seed(PRACTICE_SEED)
        world = self.simulator.world
        starts = self.starts
        if starts is not None:
            chosen = torch.arange(PRACTICE_THROWS) % len(starts[0])
            starts = (starts[0][chosen], starts[1][chosen])
        targets = world.sample_targets(PRACTICE_THROWS, generator)
        # a pool throws a few at a time: every throw at once needs an arm of its own in memory
        if isinstance(self.simulator, BulletPool):
            outcome = self.simulator.throw(policy.act, targets, starts).outcome
        else:
            outcome = throw(self.simulator, policy.act, targets, starts).outcome
        return {f"hit_{cm}cm": float((outcome.error <= cm / 100).float().mean()) for cm in (10, 5)}


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
        minutes, seconds = divmod(int(line["remaining_s"]), 60)
        accuracy = line.get("discriminator_accuracy")
        text = (
            f"{line['state']:<9} round {line['iteration']:>3}/{line['iterations']}"
            f"  {line['steps_per_s'] / 1e3:6.1f}k steps/s"
            f"  hits {line['hit_10cm']:6.1%} @10 cm {line['hit_5cm']:6.1%} @5 cm"
            + (f"  discriminator {accuracy:4.0%}" if accuracy is not None else "")
            + f"  at most {minutes}:{seconds:02d} left"
        )
        print(f"\r{text:<118}" if self.terminal else text, end="" if self.terminal else "\n", flush=True)

    def end(self) -> None:
        if self.terminal:
            print()


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
