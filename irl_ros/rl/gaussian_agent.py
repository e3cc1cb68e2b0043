"""A stochastic policy with continuous actions."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from irl_ros.rl.mlp_agent import AgentSettings, MlpAgent
from irl_ros.rl.policy import LOG_TAU


class GaussianAgent(MlpAgent):
    """π_θ(a | s) = N(a; m_θ(s), σ_θ²), with a state-independent diagonal σ_θ. An `Agent`.

    Actions [..., A] are sampled unbounded; the task clips them to its bounds (±1 here), and log π is taken
    of the sample before clipping.

    Args:
        observation_size: D.
        action_size: A.
        settings: see AgentSettings.
        idle: see MlpAgent.
    """

    kind = "gaussian"

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        settings: AgentSettings | None = None,
        idle: int | None = None,
    ) -> None:
        super().__init__(observation_size, action_size, settings or AgentSettings(), idle)
        self.log_std = nn.Parameter(torch.full((action_size,), self.settings.log_std))

    @property
    def bounded_log_std(self) -> Tensor:
        """log σ_θ inside its bounds, [A]."""
        return self.log_std.clamp(*self.settings.log_std_bounds)

    def sample(self, observation: Tensor) -> Tensor:
        """An action [..., A]."""
        return self.jitter(self.net(observation))

    def mode(self, observation: Tensor) -> Tensor:
        """The mean action, [..., A]."""
        return self.net(observation)

    def jitter(self, action: Tensor) -> Tensor:
        """The action [..., A] with the policy's own noise added."""
        return action + self.bounded_log_std.detach().exp() * torch.randn_like(action)

    def log_prob(self, observation: Tensor, action: Tensor) -> Tensor:
        """log π(a | s), [...], of actions [..., A] as sampled; 0 where actions do not count."""
        log_std = self.bounded_log_std
        z = (action - self.net(observation)) * torch.exp(-log_std)
        return self.counting(observation, (-0.5 * z * z - log_std - 0.5 * LOG_TAU).sum(-1))

    def log_prob_entropy(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """log π(a | s) and the entropy of π(· | s), each [...]; 0 where actions do not count."""
        return self.log_prob(observation, action), self._entropy(observation)

    def expectation(self, observation: Tensor, of: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """E_π[of(a)] by one reparametrised sample, and the entropy; each [...]."""
        mean = self.net(observation)
        action = mean + self.bounded_log_std.exp() * torch.randn_like(mean)
        # what changes nothing must not be learned from what a network thinks it changes
        action = self.counting(observation, action - action.detach()) + action.detach()
        return of(action), self._entropy(observation)

    def _entropy(self, observation: Tensor) -> Tensor:
        entropy = (self.bounded_log_std + 0.5 * (1 + LOG_TAU)).sum().expand(observation.shape[:-1])
        return self.counting(observation, entropy)

    @torch.no_grad()
    def keep_within_bounds(self) -> None:
        """For after a gradient step: log σ_θ outside its bounds would get no gradient that brings it back."""
        self.log_std.clamp_(*self.settings.log_std_bounds)

    @torch.no_grad()
    def noisier(self, factor: float) -> GaussianAgent:
        """A copy with `factor` times the standard deviation (within its bounds)."""
        other = copy.deepcopy(self)
        other.log_std.add_(math.log(factor))
        other.keep_within_bounds()
        return other

    @torch.no_grad()
    def aimless(self) -> GaussianAgent:
        """A copy that acts at random: mean 0, and noise that reaches the bounds."""
        other = copy.deepcopy(self)
        last: nn.Linear = other.net[-1]  # type: ignore[assignment]
        last.weight.zero_()
        last.bias.zero_()
        other.log_std.zero_()
        other.keep_within_bounds()
        return other
