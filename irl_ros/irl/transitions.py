"""Transitions (s, a, s') as a discriminator needs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from irl_ros.rewards.features import Features
from irl_ros.rl.observation import Observation
from irl_ros.sim.state import Throws


@dataclass(frozen=True)
class Transitions:
    """K transitions.

    Attributes:
        features: φ(s), what g sees, [K, F].
        observation, next_observation: what π and h see of s and s', [K, D].
        action: as sampled, [K, n + 1].
        held: the ball was in hand at s, bool [K].
    """

    features: Tensor
    observation: Tensor
    next_observation: Tensor
    action: Tensor
    held: Tensor

    @classmethod
    def of(cls, throws: Throws, observation: Observation, features: Features) -> Transitions:
        """Every transition of whole throws."""
        states = throws.states
        seen = observation(states)
        return cls(
            features=features(states[:, :-1]).float().flatten(0, 1),
            observation=seen[:, :-1].flatten(0, 1),
            next_observation=seen[:, 1:].flatten(0, 1),
            action=throws.actions.float().flatten(0, 1),
            held=states.held[:, :-1].flatten(0, 1),
        )

    @classmethod
    def cat(cls, items: Sequence[Transitions]) -> Transitions:
        return cls(*(torch.cat(column) for column in zip(*(vars(i).values() for i in items))))

    def __len__(self) -> int:
        return len(self.action)

    def __getitem__(self, index: Tensor) -> Transitions:
        return Transitions(*(x[index] for x in vars(self).values()))

    def draw(self, count: int) -> Transitions:
        """`count` of them at random, with replacement."""
        return self[torch.randint(len(self), (count,), device=self.action.device)]

    def with_noise(self, std: Tensor) -> Transitions:
        """A copy whose joint velocities got Gaussian noise of standard deviation `std` [n]."""
        action = self.action.clone()
        action[:, :-1] += std * torch.randn_like(action[:, :-1])
        return replace(self, action=action)
