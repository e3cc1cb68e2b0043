"""Behavioural cloning: maximum likelihood of demonstrated actions. The baseline and everyone's warm start."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from irl_ros.rl.agent import Agent
from irl_ros.rl.task import Trajectories
from irl_ros.settings import at_least


@dataclass(frozen=True)
class BCSettings:
    steps: int = 1500
    """Gradient steps."""
    batch: int = 512
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    observation_noise: float = 0.02
    """Standard deviation of noise on the scaled observation: the pose must not give the future away."""

    def __post_init__(self) -> None:
        at_least(self, 1, "steps", "batch")
        at_least(self, 0, "learning_rate", "weight_decay", "observation_noise")


def clone(policy: Agent, demonstrations: Trajectories, settings: BCSettings) -> list[float]:
    """Fit π_θ to demonstrated state–action pairs by max_θ Σ log π_θ(a | s); returns the losses.

    Args:
        policy: improved in place.
        demonstrations: M episodes; observations [M, T + 1, D], actions [M, T, A].
        settings: see BCSettings.
    """
    observation = demonstrations.observations[:, :-1].flatten(0, 1)
    action = demonstrations.actions.flatten(0, 1)
    optimizer = torch.optim.AdamW(
        policy.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    losses = []
    for _ in range(settings.steps):
        index = torch.randint(len(observation), (settings.batch,), device=observation.device)
        seen = observation[index]
        seen = seen + settings.observation_noise * torch.randn_like(seen)
        loss = -policy.log_prob(seen, action[index]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        policy.keep_within_bounds()
        schedule.step()
        losses.append(float(loss.detach()))
    return losses
