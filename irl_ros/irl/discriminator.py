"""AIRL's discriminator, which on-policy AIRL and its off-policy successor share (Fu, Luo & Levine 2018).

ψ are the parameters of f_ψ(s, s') = g_ψ(s) + γ h_ψ(s') − h_ψ(s) (the paper's eq. 4), and

    D_ψ(s, a, s') = exp f_ψ / (exp f_ψ + μ(a | s))

with the density μ of a mixture of policies in place of the paper's π.

The paper's task never ends. An episode here does, and what comes after it is worth nothing, so shaping that
leaves optimal policies alone has h(s_T) = 0 (`shaping_ends`). Left free, as in the paper and by default, h
may tell demonstrations from samples by how they end, which g then need not (measured: docs/learning.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from irl_ros.irl.logistic_regression import logistic_regression
from irl_ros.irl.regularisation import gradient_penalty
from irl_ros.irl.samplers import Sampler, draw_mixed, log_mixture, mixture_weights
from irl_ros.irl.transitions import Transitions
from irl_ros.networks import mlp
from irl_ros.rewards.reward_net import RewardNet
from irl_ros.rl.agent import Agent
from irl_ros.settings import at_least


@dataclass(frozen=True)
class DiscriminatorSettings:
    """Keys of every algorithm that plays with this discriminator."""

    discriminator_steps: int = 20
    """Gradient steps on ψ in a round."""
    batch: int = 512
    """Demonstrated transitions in a discriminator batch; as many sampled ones."""
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    gain: float = 5.0
    """Scale of g in the discriminator's logit: g lies in (−1, 1), log density ratios do not."""
    gradient_penalty: float = 0.2
    """Weight of E|∇g|² between demonstrated and sampled inputs of g."""
    match_noise: bool = True
    """Give demonstrated actions the sampler's noise before taking log μ of them."""
    shaping_hidden: tuple[int, ...] = (32,)
    """Units of h."""
    shaping_ends: bool = False
    """Take h(s_T) for 0: after an episode nothing is worth anything."""

    def __post_init__(self) -> None:
        at_least(self, 1, "discriminator_steps", "batch")
        at_least(self, 0, "learning_rate", "gradient_penalty")
        if not self.gain > 0:
            raise ValueError(f"gain: must be above 0, found {self.gain}")


class Discriminator:
    """D_ψ and its logistic regression.

    Args:
        reward: g_ψ, learned in place.
        observed: size of what h sees.
        gamma: γ.
        settings: see DiscriminatorSettings.
    """

    def __init__(
        self, reward: RewardNet, observed: int, gamma: float, settings: DiscriminatorSettings
    ) -> None:
        self.reward, self.gamma, self.settings = reward, gamma, settings
        device = next(reward.parameters()).device
        self.shaping = mlp([observed, *settings.shaping_hidden, 1], last_gain=0.1).to(device)
        self.offset = nn.Parameter(torch.zeros((), device=device))
        self.networks = nn.ModuleDict({"g": self.reward, "h": self.shaping})
        self.optimizer = torch.optim.AdamW(
            [*self.networks.parameters(), self.offset],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )

    def g(self, batch: Transitions) -> Tensor:
        """g_ψ, [K]."""
        return self.reward.of_features(batch.features, batch.action)

    def f(self, batch: Transitions) -> Tensor:
        """f_ψ(s, s') in the logit's scale and up to its constant, [K] (eq. 4)."""
        s = self.settings
        h, h_next = self.shaping(batch.observation)[:, 0], self.shaping(batch.next_observation)[:, 0]
        if s.shaping_ends:
            h_next = batch.goes_on * h_next
        return s.gain * self.g(batch) + self.offset + self.gamma * h_next - h

    def alike(self, expert: Transitions, policy: Agent) -> Transitions:
        """Demonstrated transitions as D is shown them: with the policy's noise on their actions."""
        return expert.jittered(policy) if self.settings.match_noise else expert

    @torch.no_grad()
    def score(self, batch: Transitions) -> float:
        """Mean g of a step."""
        return float(self.g(batch).mean())

    def score_expert(self, demonstrations: Transitions, policy: Agent) -> float:
        """The same of demonstrations; where g sees actions, as D is shown them."""
        return self.score(self.alike(demonstrations, policy) if self.reward.sees_action else demonstrations)

    def train(
        self, demonstrations: Transitions, mixture: Sequence[Sampler], policy: Agent
    ) -> dict[str, float]:
        """A round of logistic regression, demonstrations against what the mixture sampled.

        Returns:
            Figures for the log: mean loss, and share of transitions on the right side of ½.
        """
        s, weights = self.settings, mixture_weights(len(mixture))

        def batch() -> tuple[Tensor, int, Tensor]:
            expert = self.alike(demonstrations.draw(s.batch), policy)
            sample = draw_mixed(mixture, weights, s.batch)
            both = Transitions.cat([expert, sample])
            logit = self.f(both) - log_mixture(both, mixture, weights)
            return logit, len(expert), gradient_penalty(self.reward, expert, sample)

        return logistic_regression(self.optimizer, s.discriminator_steps, batch, s.gradient_penalty)

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs to go on as if never stopped."""
        return {
            "networks": dict(self.networks.state_dict()),
            "offset": self.offset.detach(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.networks.load_state_dict(state["networks"])
        self.offset.data.copy_(state["offset"])
        self.optimizer.load_state_dict(state["optimizer"])
