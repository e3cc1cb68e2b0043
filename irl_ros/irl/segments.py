"""Pieces of episodes: what a discriminator sees that judges more than one step and less than everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from irl_ros.irl.samplers import Sampler
from irl_ros.rl.agent import Agent
from irl_ros.rl.task import Trajectories
from irl_ros.sim.state import TensorBatch


@dataclass(frozen=True)
class Segments(TensorBatch):
    """K segments of L steps.

    Attributes:
        steps: like episodes of T = L steps.
        ends: whether the episode ends where the segment does, bool [K].
    """

    steps: Trajectories
    ends: Tensor

    def __len__(self) -> int:
        return len(self.steps)

    @classmethod
    def draw(cls, episodes: Trajectories, length: int, count: int) -> Segments:
        """`count` segments of `length` steps, each anywhere in any of the episodes [N, T]."""
        device = episodes.actions.device
        horizon = episodes.actions.shape[1]
        which = torch.randint(len(episodes), (count, 1), device=device)
        first = torch.randint(horizon - length + 1, (count, 1), device=device)
        step = first + torch.arange(length + 1, device=device)
        steps = Trajectories(
            observations=episodes.observations[which, step],
            features=episodes.features[which, step],
            actions=episodes.actions[which, step[:, :-1]],
        )
        return cls(steps, first[:, 0] + length == horizon)

    @classmethod
    def join(cls, items: Sequence[Segments]) -> Segments:
        """One batch of several."""
        return cls(Trajectories.cat([x.steps for x in items]), torch.cat([x.ends for x in items]))

    def jittered(self, policy: Agent) -> Segments:
        """A copy whose actions got the policy's own noise."""
        return replace(self, steps=replace(self.steps, actions=policy.jitter(self.steps.actions)))


def draw_mixed_segments(samplers: Sequence[Sampler], weights: Tensor, length: int, count: int) -> Segments:
    """`count` segments of `length` steps, each of a sampler drawn by `weights` [len(samplers)]."""
    shares = torch.multinomial(weights, count, replacement=True).bincount(minlength=len(samplers))
    return Segments.join(
        [Segments.draw(x.trajectories, length, int(k)) for x, k in zip(samplers, shares) if k > 0]
    )


@torch.no_grad()
def log_mixture_of_segments(
    segments: Segments, samplers: Sequence[Sampler], weights: Tensor, bound: float
) -> Tensor:
    """log μ(τ) = log Σ_k w_k Π_t π_k(a_t | s_t) of segments, without the dynamics, which all share, [K].

    Args:
        segments: K of them.
        samplers: whose mixture.
        weights: w, [len(samplers)].
        bound: no step's log π_k counts more than this, either way.
    """
    observation, action = segments.steps.observations[:, :-1], segments.steps.actions
    of_each = [x.policy.log_prob(observation, action).clamp(-bound, bound).sum(1) for x in samplers]
    return torch.logsumexp(torch.stack(of_each) + weights.log().to(of_each[0])[:, None], 0)
