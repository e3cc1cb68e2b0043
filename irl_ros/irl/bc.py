"""Behavioural cloning: maximum likelihood of demonstrated actions. The baseline and everyone's warm start."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from irl_ros.rl.policy import Policy
from irl_ros.settings import at_least
from irl_ros.sim.state import State, Throws


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


def clone(policy: Policy, demonstrations: Throws, settings: BCSettings) -> list[float]:
    """Fit π_θ to demonstrated state–action pairs by max_θ Σ log π_θ(a | s); returns the losses.

    Args:
        policy: improved in place; its observation scaling is frozen from the demonstrations.
        demonstrations: states [M, T + 1], actions [M, T, n + 1].
        settings: see BCSettings.
    """
    policy.observation.freeze(demonstrations.states)
    observation, action, held = pairs(policy, demonstrations)
    optimizer = torch.optim.AdamW(
        policy.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    losses = []
    for _ in range(settings.steps):
        index = torch.randint(len(observation), (settings.batch,), device=observation.device)
        seen = observation[index]
        seen = seen + settings.observation_noise * torch.randn_like(seen)
        loss = -policy.log_prob(seen, action[index], held[index]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        policy.keep_within_bounds()
        schedule.step()
        losses.append(float(loss.detach()))
    return losses


def pairs(policy: Policy, throws: Throws) -> tuple[Tensor, Tensor, Tensor]:
    """Observations [M·T, D], actions [M·T, n + 1] and held flags [M·T] of whole throws."""
    states: State = throws.states[:, :-1]
    observation = policy.observation(states)
    return observation.flatten(0, 1), throws.actions.float().flatten(0, 1), states.held.flatten(0, 1)
