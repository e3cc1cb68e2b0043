"""Transitions (s, a, s') as a discriminator needs them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from irl_ros.rl.agent import Agent
from irl_ros.rl.task import Trajectories
from irl_ros.sim.state import TensorBatch


@dataclass(frozen=True)
class Transitions(TensorBatch):
    """K transitions.

    Attributes:
        features: φ(s), what g sees, [K, F].
        observation, next_observation: what π and h see of s and s', [K, D].
        action: as sampled, [K, A].
        goes_on: 0 in the last step of an episode, after which nothing is worth anything, else 1, [K].
    """

    features: Tensor
    observation: Tensor
    next_observation: Tensor
    action: Tensor
    goes_on: Tensor

    @classmethod
    def of(cls, trajectories: Trajectories) -> Transitions:
        """Every transition of whole episodes, those of an episode one after another."""
        seen = trajectories.observations
        goes_on = torch.ones_like(trajectories.actions[..., 0])
        goes_on[:, -1] = 0.0
        return cls(
            features=trajectories.features[:, :-1].flatten(0, 1),
            observation=seen[:, :-1].flatten(0, 1),
            next_observation=seen[:, 1:].flatten(0, 1),
            action=trajectories.actions.flatten(0, 1),
            goes_on=goes_on.flatten(0, 1),
        )

    def __len__(self) -> int:
        return len(self.action)

    def draw(self, count: int) -> Transitions:
        """`count` of them at random, with replacement."""
        return self[torch.randint(len(self), (count,), device=self.action.device)]

    def jittered(self, policy: Agent) -> Transitions:
        """A copy whose actions got the policy's own noise."""
        return replace(self, action=policy.jitter(self.action))
