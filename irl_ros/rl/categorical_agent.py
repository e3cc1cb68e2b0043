"""A stochastic policy that chooses one of a few actions."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from irl_ros.rl.mlp_agent import AgentSettings, MlpAgent


class CategoricalAgent(MlpAgent):
    """π_θ(a | s) = softmax(m_θ(s) / temperature). An `Agent`; actions are one-hot vectors [..., A].

    Args:
        observation_size: D.
        choices: A, how many actions there are.
        settings: see AgentSettings.
        idle: see MlpAgent.
    """

    kind = "categorical"
    temperature: Tensor

    def __init__(
        self,
        observation_size: int,
        choices: int,
        settings: AgentSettings | None = None,
        idle: int | None = None,
    ) -> None:
        super().__init__(observation_size, choices, settings or AgentSettings(), idle)
        # of noisier copies; a buffer, so that it is saved and restored with the weights
        self.register_buffer("temperature", torch.ones(()))

    @property
    def most_entropy(self) -> float:
        """Of a policy to which every choice is as likely."""
        return math.log(self.outputs)

    def log_probs(self, observation: Tensor) -> Tensor:
        """log π of every choice, [..., A]."""
        return functional.log_softmax(self.net(observation) / self.temperature, -1)

    def sample(self, observation: Tensor) -> Tensor:
        """One choice, one-hot [..., A]."""
        log_probs = self.log_probs(observation)
        # Gumbel's trick: the largest of log p + noise is distributed as p
        noise = -torch.log(torch.empty_like(log_probs).exponential_())
        return functional.one_hot((log_probs + noise).argmax(-1), self.outputs).to(log_probs)

    def mode(self, observation: Tensor) -> Tensor:
        """The likeliest choice, one-hot [..., A]."""
        out = self.net(observation)
        return functional.one_hot(out.argmax(-1), self.outputs).to(out)

    def jitter(self, action: Tensor) -> Tensor:
        """The action itself: a choice has no noise that could be added to it."""
        return action

    def log_prob(self, observation: Tensor, action: Tensor) -> Tensor:
        """log π(a | s), [...], of one-hot actions [..., A]; 0 where actions do not count."""
        return self.counting(observation, (self.log_probs(observation) * action).sum(-1))

    def log_prob_entropy(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """log π(a | s) and the entropy of π(· | s), each [...]; 0 where actions do not count."""
        log_probs = self.log_probs(observation)
        log_prob = self.counting(observation, (log_probs * action).sum(-1))
        return log_prob, self._entropy(observation, log_probs)

    def expectation(self, observation: Tensor, of: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """E_π[of(a)], an exact sum over the choices, and the entropy; each [...]."""
        log_probs = self.log_probs(observation)
        every = torch.eye(self.outputs).to(log_probs)
        worth = of(torch.stack([x.expand_as(log_probs) for x in every]))  # [A, ...]
        p = log_probs.exp()
        # what changes nothing must not be learned from what a network thinks it changes
        p = self.counting(observation, p - p.detach()) + p.detach()
        return (p.movedim(-1, 0) * worth).sum(0), self._entropy(observation, log_probs)

    def _entropy(self, observation: Tensor, log_probs: Tensor) -> Tensor:
        return self.counting(observation, -(log_probs.exp() * log_probs).sum(-1))

    @torch.no_grad()
    def noisier(self, factor: float) -> CategoricalAgent:
        """A copy with `factor` times the temperature."""
        other = copy.deepcopy(self)
        other.temperature *= factor
        return other

    @torch.no_grad()
    def aimless(self) -> CategoricalAgent:
        """A copy to which every choice is as likely."""
        other = copy.deepcopy(self)
        last: nn.Linear = other.net[-1]  # type: ignore[assignment]
        last.weight.zero_()
        last.bias.zero_()
        return other
