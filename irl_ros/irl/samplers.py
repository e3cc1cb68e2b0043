"""The policies that samples come from, and their mixture's density (the fusion of Finn et al. 2016, §4.3)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from irl_ros.irl.transitions import Transitions
from irl_ros.rl.agent import Actor
from irl_ros.rl.task import Trajectories


@dataclass(frozen=True)
class Sampler:
    """A policy of the mixture and the episodes it contributed."""

    policy: Actor
    trajectories: Trajectories

    @cached_property
    def transitions(self) -> Transitions:
        """Its episodes, taken apart."""
        return Transitions.of(self.trajectories)

    @classmethod
    def frozen(cls, policy: Actor, trajectories: Trajectories) -> Sampler:
        """With a copy of the policy as it is now."""
        return cls(copy.deepcopy(policy), trajectories)

    def some(self, episodes: int) -> Sampler:
        """The same policy with at most `episodes` of its episodes, drawn at random."""
        chosen = torch.randperm(len(self.trajectories))[:episodes]
        return Sampler(self.policy, self.trajectories[chosen])


@torch.no_grad()
def log_mixture(batch: Transitions, samplers: Sequence[Sampler], weights: Tensor) -> Tensor:
    """log μ(a | s) of a weighted mixture of samplers, [K]."""
    log_prob = [x.policy.log_prob(batch.observation, batch.action) for x in samplers]
    mixture = torch.logsumexp(torch.stack(log_prob) + weights.log().to(log_prob[0])[:, None], 0)
    # an action far in every sampler's tail must not decide a batch alone
    return mixture.clamp_min(-20.0)


def draw_mixed(samplers: Sequence[Sampler], weights: Tensor, count: int) -> Transitions:
    """`count` transitions, each of a sampler drawn by `weights` [len(samplers)]."""
    shares = torch.multinomial(weights, count, replacement=True).bincount(minlength=len(samplers))
    return Transitions.cat([x.transitions.draw(int(k)) for x, k in zip(samplers, shares)])


def mixture_weights(count: int) -> Tensor:
    """Weights of a mixture's samplers, [count]: the last, the policy of the day, gives half of them."""
    weights = torch.ones(count)
    weights[-1] = max(1.0, count - 1.0)
    return weights / weights.sum()


def samplers_state(samplers: Sequence[Sampler]) -> list[dict[str, Any]]:
    """Samplers as a checkpoint keeps them."""
    return [
        {"policy": dict(x.policy.state_dict()), "trajectories": dict(vars(x.trajectories))} for x in samplers
    ]


def restore_samplers(state: list[dict[str, Any]], policy: Actor, device: torch.device) -> list[Sampler]:
    """Samplers from a checkpoint; `policy` is of their kind."""
    samplers = []
    for kept in state:
        own = copy.deepcopy(policy)
        own.load_state_dict(kept["policy"])
        trajectories = Trajectories(**{k: v.to(device) for k, v in kept["trajectories"].items()})
        samplers.append(Sampler(own, trajectories))
    return samplers
