"""Task: what an algorithm sees of a throw, or of anything else to learn: batches of equally long episodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from irl_ros.rl.agent import Actor, Agent
from irl_ros.sim.state import TensorBatch


@dataclass(frozen=True)
class Trajectories(TensorBatch):
    """N whole episodes τ of T steps.

    Attributes:
        observations: what π, value functions and shaping see of s_0 … s_T, scaled and frozen, [N, T + 1, D].
        features: φ(s_0) … φ(s_T), what a reward sees, [N, T + 1, F].
        actions: as sampled, before the world clips them, [N, T, A].
    """

    observations: Tensor
    features: Tensor
    actions: Tensor

    def __len__(self) -> int:
        return self.actions.shape[0]


@dataclass(frozen=True)
class Rollout:
    """N episodes that a policy has just made.

    Attributes:
        trajectories: what algorithms learn from.
        log_prob: log π(a | s) of the actions under the policy that took them, [N, T].
        states: the task's own view of the same episodes: for throws a State [N, T + 1].
        figures: how it went, for the log. Learning does not use them.
    """

    trajectories: Trajectories
    log_prob: Tensor
    states: Any = None
    figures: dict[str, float] = field(default_factory=dict)


class Task(Protocol):
    """Something to learn, in episodes of a fixed length (a variable one leaks reward through its end).

    Attributes:
        device: of what rollouts hold.
        env_steps: made for learning so far, by whatever policy; practice is none.
    """

    device: torch.device
    env_steps: int

    @property
    def horizon(self) -> int:
        """T."""

    def rollout(self, policy: Actor, episodes: int) -> Rollout:
        """Episodes of the exploring policy.

        Raises:
            FloatingPointError: the task or the policy gave a value that is not finite.
        """

    def shaping(self, rollout: Rollout, reward: Any, gamma: float) -> Tensor:
        """What is added to any reward here, [N, T]: potential-based shaping, cost of effort; often zeros."""

    def background(self, policy: Agent) -> list[Agent]:
        """Policies that act wrongly in the ways a fresh learner will try."""

    def practice(self, policy: Actor) -> dict[str, float]:
        """How the deterministic policy does on targets kept for the progress line, as shares or returns."""
