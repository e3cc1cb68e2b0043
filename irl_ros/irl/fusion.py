"""The fusion of all samplers (Finn et al. 2016, §4.3): all trajectories ever sampled, weighed by all."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from irl_ros.irl.samplers import Sampler, restore_samplers, samplers_state
from irl_ros.rl.agent import Actor
from irl_ros.rl.control_view import ControlView
from irl_ros.rl.controller import Controller, passive_controller
from irl_ros.rl.task import Trajectories


@torch.no_grad()
def log_density(policy: Actor, trajectories: Trajectories, view: ControlView) -> Tensor:
    """log q(τ) less the dynamics, which all samplers share, float64 [N].

    Only what is done with the ball in hand counts: what follows changes no feature, so the model's and every
    sampler's density of it integrate to 1, and leaving it out takes its variance out of the weights.
    """
    observation = trajectories.observations[:, :-1]
    if isinstance(policy, Controller):
        log_prob = policy.log_prob_of(trajectories)
    else:
        log_prob = policy.log_prob(observation, trajectories.actions).double()
    return torch.where(view.held(observation), log_prob, 0.0).sum(1)


class Fusion:
    """q(τ) = Σ_k N_k q_k(τ) / N: the mixture that N_k trajectories of each sampler k are samples of.

    With as many trajectories from each this is the paper's 1/K Σ_k q_k. Trajectories are counted through,
    sampler by sampler, in the order these were added.

    Args:
        view: tells when the ball is in hand, and what p₀ is.
    """

    def __init__(self, view: ControlView) -> None:
        self.view, self.passive = view, passive_controller(view)
        self.samplers: list[Sampler] = []
        self.of_each: list[Tensor] = []  # log q_k(τ) of all trajectories, [N] for each k
        self.log_passive = torch.empty(0)  # log p₀(τ), [N]
        self.features = torch.empty(0)  # of all trajectories, [N, T + 1, F]

    def __len__(self) -> int:
        return len(self.features)

    def add(self, sampler: Sampler) -> None:
        """One more sampler and its trajectories: weighs all the others by it, and its own by all."""
        for k, known in enumerate(self.samplers):
            added = log_density(known.policy, sampler.trajectories, self.view)
            self.of_each[k] = torch.cat((self.of_each[k], added))
        self.samplers.append(sampler)
        self.of_each.append(self._everywhere(sampler.policy))
        self._gather()

    @property
    def counts(self) -> list[int]:
        """N_k."""
        return [len(s.trajectories) for s in self.samplers]

    def rows(self, k: int) -> slice:
        """Which trajectories are of sampler k."""
        before = sum(self.counts[:k])
        return slice(before, before + self.counts[k])

    @property
    def log_mixture(self) -> Tensor:
        """log q(τ) of every trajectory, [N]."""
        counts = torch.tensor(self.counts, dtype=torch.float64)
        log_share = (counts / counts.sum()).log().to(self.of_each[0])
        return torch.logsumexp(torch.stack(self.of_each) + log_share[:, None], 0)

    def excess(self, k: int) -> Tensor:
        """log q_k − log p₀ of sampler k's own trajectories, [N_k]: its effort less its entropy."""
        rows = self.rows(k)
        return self.of_each[k][rows] - self.log_passive[rows]

    def _everywhere(self, policy: Actor) -> Tensor:
        return torch.cat([log_density(policy, s.trajectories, self.view) for s in self.samplers])

    def _gather(self) -> None:
        self.features = torch.cat([s.trajectories.features for s in self.samplers])
        self.log_passive = self._everywhere(self.passive)

    def state_dict(self) -> dict[str, Any]:
        """Every sampler, trajectory and density."""
        linear = [isinstance(s.policy, Controller) for s in self.samplers]
        return {"samplers": samplers_state(self.samplers), "linear": linear, "of_each": self.of_each}

    def load_state_dict(self, state: dict[str, Any], policy: Actor, device: torch.device) -> None:
        """`policy`: of the kind of the samplers that are no controllers."""
        self.samplers = [
            restore_samplers([kept], self.passive if linear else policy, device)[0]
            for kept, linear in zip(state["samplers"], state["linear"])
        ]
        self.of_each = [x.to(device) for x in state["of_each"]]
        self._gather()


def log_partition(log_weight: Tensor) -> Tensor:
    """The estimate of log Z from log w_j = −c(τ_j) − log q(τ_j), [N]: log of their mean."""
    return torch.logsumexp(log_weight, 0) - torch.tensor(float(len(log_weight))).log()


def effective_sample_size(log_weight: Tensor) -> Tensor:
    """(Σ w)² / Σ w² of log weights [..., N] (Kong 1992): how many equal samples say as much."""
    return torch.exp(2 * torch.logsumexp(log_weight, -1) - torch.logsumexp(2 * log_weight, -1))
