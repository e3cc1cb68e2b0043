"""The cost of guided cost learning: nonlinear inverse optimal control with stochastic gradients.

Finn, Levine & Abbeel 2016, Algorithm 2, §4.1 and §5. Of all trajectories in the fusion and for each
demonstration τ_i:

    L(ψ) = 1/M Σ_i [c_ψ(τ_i) + log Z_i],    Z_i = mean over background of exp(−c_ψ(τ)) / q(τ)

What is not in the paper, each a setting:

* A Z for every demonstration, of trajectories that start like it (`context`). The paper's systems start where
  its demonstrations do. Here targets differ and nobody chooses them; one Z would have ψ explain why people
  prefer near ones.
* Tempering (`least_effective`). Over sixty steps of seven joints log w scatters by tens of nats and one
  trajectory in hundreds carries all the weight: ψ is fitted to it. log Z is then replaced by
  τ log mean exp(log w / τ) with the smallest τ ≥ 1 that leaves a share of the samples effective. It is never
  larger, and the same where all weights are equal, as they are where the samplers have come to be exp(−c).
* A limit on how far costs come apart in a round (`trust`): samplers move a bounded way too.
* A price on the slope of g (`gradient_penalty`). Twenty throws that miss by a hand tell little about g close
  to the target; smooth, it goes on as it came.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from irl_ros.irl.fusion import Fusion, effective_sample_size
from irl_ros.irl.regularisation import gradient_penalty
from irl_ros.irl.transitions import Transitions
from irl_ros.rewards.reward_net import RewardNet
from irl_ros.rl.task import Trajectories
from irl_ros.settings import at_least


@dataclass(frozen=True)
class CostSettings:
    gain: float = 5.0
    """Nats a step that g is worth: costs are log-probabilities, g lies in (−1, 1)."""
    steps: int = 50
    """Gradient steps on ψ in a round (K of Algorithm 2)."""
    head_start: int = 300
    """Gradient steps in the first round."""
    trust: float = 20.0
    """Nats that costs of trajectories may come apart in a round."""
    batch: int = 512
    """Sampled trajectories in a background batch; demonstrations are all in it."""
    context: float = 0.4
    """How alike starts must be to share a Z, standard deviations; large: one Z for all. At home starts are
    targets; where throws begin at many poses (`start: demos`) few are alike, and it should be larger."""
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    lcr: float = 0.1
    """Weight of g_lcr: costs change at a locally constant rate along trajectories (§5)."""
    mono: float = 1.0
    """Weight of g_mono: costs fall along demonstrations (§5)."""
    least_effective: float = 0.1
    """Share of samples that weights must leave effective, or they are tempered until they do; 0: never
    tempered, as published."""
    gradient_penalty: float = 10.0
    """Weight of E|∇_φ g|² between demonstrated and sampled features; 0: as published."""
    demonstrations_in_background: bool = True
    """Off, L is unbounded below; there to show it."""

    def __post_init__(self) -> None:
        at_least(self, 1, "steps", "batch")
        at_least(self, 0, "head_start", "learning_rate", "lcr", "mono", "least_effective", "gradient_penalty")
        for name in ("gain", "context", "trust"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: must be above 0, found {getattr(self, name)}")
        if self.least_effective > 1:
            raise ValueError(f"least_effective: a share is at most 1, found {self.least_effective}")


class GuidedCost:
    """c_ψ(τ) = Σ_t −gain g_ψ(s_t) − log p₀(a_t | s_t), learned against the fusion.

    Args:
        reward: g_ψ, learned in place.
        demonstrations: M episodes, which the fusion begins with.
        fusion: every trajectory and its density, p₀ included.
        settings: see CostSettings.
    """

    def __init__(
        self, reward: RewardNet, demonstrations: Trajectories, fusion: Fusion, settings: CostSettings
    ) -> None:
        self.reward, self.demonstrations = reward, demonstrations
        self.fusion, self.settings = fusion, settings
        self.shown = Transitions.of(demonstrations)
        self.optimizer = torch.optim.AdamW(
            reward.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.rounds = 0

    def of(self, features: Tensor) -> Tensor:
        """−gain g_ψ of every step's state, [N, T], for features [N, T + 1, F]; the last state is free."""
        return -self.settings.gain * self.reward.of_features(features[:, :-1])

    @torch.no_grad()
    def totals(self) -> Tensor:
        """Costs of states of all trajectories in the fusion, [N]."""
        return self.of(self.fusion.features).double().sum(1)

    def learn(self, added: int = 1) -> dict[str, float]:
        """Algorithm 2, a round of it; returns figures for the log.

        Args:
            added: how many samplers the fusion has got for this round, the newest.
        """
        s, demos = self.settings, self.demonstrations.features
        shown = torch.arange(len(demos), device=demos.device)
        samples = torch.arange(len(demos), len(self.fusion), device=demos.device)
        newest = slice(self.fusion.rows(len(self.fusion.samplers) - added).start, None)
        # log p₀ − log q of every trajectory: all of log w but the cost of states
        fixed, kernel = self.fusion.log_passive - self.fusion.log_mixture, self._kernel()
        before, losses, temperature = self.totals(), [], 1.0
        for k in range(s.steps if self.rounds else max(s.steps, s.head_start)):
            if k % 10 == 0:
                temperature = self._temperature(fixed, kernel)
                if self.rounds and self._moved(before, newest) > s.trust:
                    break
            # lines 2 to 4: a batch of samples; demonstrations are few, all of them go in
            chosen = samples[torch.randperm(len(samples), device=samples.device)[: s.batch]]
            share = torch.full((len(chosen),), len(samples) / len(chosen), device=samples.device)
            if s.demonstrations_in_background:
                chosen, share = torch.cat((shown, chosen)), torch.cat((torch.ones_like(shown), share))
            background, expert = self.of(self.fusion.features[chosen]), self.of(demos)
            # lines 5 and 6
            log_weight = fixed[chosen] - background.double().sum(1)
            loss = negative_log_likelihood(expert.sum(1), log_weight, share * kernel[:, chosen], temperature)
            both = background if s.demonstrations_in_background else torch.cat((expert, background))
            regularised = loss + s.lcr * local_constant_rate(both)
            regularised = regularised + s.mono * monotonic(expert) + self._roughness()
            self.optimizer.zero_grad()
            regularised.backward()
            self.optimizer.step()
            losses.append(float(loss.detach()))
        self.rounds += 1
        figures = {"loss": sum(losses) / max(len(losses), 1), "cost_steps": float(len(losses))}
        return figures | {"temperature": temperature} | self._weights(fixed, kernel, newest)

    def _roughness(self) -> Tensor | float:
        """The weighted price of slope, against the samples of a sampler drawn at random."""
        s, samplers = self.settings, self.fusion.samplers
        if s.gradient_penalty == 0 or len(samplers) < 2:
            return 0.0
        drawn = samplers[int(torch.randint(1, len(samplers), ()))]
        price = gradient_penalty(self.reward, self.shown.draw(s.batch), drawn.transitions.draw(s.batch))
        return s.gradient_penalty * price

    def _kernel(self) -> Tensor:
        """How much each trajectory's start is like each demonstration's, [M, N], 1 at most."""
        view = self.fusion.view
        place = whitened(torch.cat([view.x(x.trajectories.observations[:, 0]) for x in self.fusion.samplers]))
        apart = torch.cdist(place[: len(self.demonstrations)], place)
        return torch.exp(-0.5 * (apart / self.settings.context).square())

    def _moved(self, before: Tensor, newest: slice) -> float:
        """Spread of what ψ has changed, over demonstrations and newest samples, nats."""
        change = self.totals() - before
        return float(torch.cat((change[self.fusion.rows(0)], change[newest])).std())

    def _temperature(self, fixed: Tensor, kernel: Tensor) -> float:
        """The smallest τ ≥ 1 at which exp(log w / τ) leaves enough samples effective."""
        log_weight, log_kernel = fixed - self.totals(), kernel.log()
        enough = self.settings.least_effective * float(effective_sample_size(log_kernel).mean())

        def effective(tau: float) -> bool:
            return float(effective_sample_size(log_weight / tau + log_kernel).mean()) >= enough

        if effective(1.0):
            return 1.0
        low, high = 0.0, math.log(1e4)
        for _ in range(12):
            middle = 0.5 * (low + high)
            low, high = (low, middle) if effective(math.exp(middle)) else (middle, high)
        return math.exp(high)

    def _weights(self, fixed: Tensor, kernel: Tensor, newest: slice) -> dict[str, float]:
        """log Z and effective sample size, untempered, of all and of the newest; demonstrations' mean."""
        seen = fixed - self.totals() + kernel.log()
        log_z = torch.logsumexp(seen, 1) - kernel.sum(1).log()
        share = torch.softmax(seen, 1)[:, : len(self.demonstrations)].sum(1)
        return {
            "log_z": float(log_z.mean()),
            "effective_samples": float(effective_sample_size(seen).mean()),
            "effective_newest": float(effective_sample_size(seen[:, newest]).mean()),
            "weight_of_demonstrations": float(share.mean()),
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs to go on as if never stopped, less the fusion."""
        own = {"reward": dict(self.reward.state_dict()), "optimizer": self.optimizer.state_dict()}
        return own | {"rounds": self.rounds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.reward.load_state_dict(state["reward"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rounds = state["rounds"]


def negative_log_likelihood(
    expert: Tensor, log_weight: Tensor, share: Tensor | None = None, temperature: float = 1.0
) -> Tensor:
    """L(ψ) = mean over demonstrations of c(τ_i) + log Z_i (§4.1).

    Args:
        expert: c of demonstrations, [M].
        log_weight: log w = −c − log q of the background, [N].
        share: what each sample counts for in each demonstration's Z, [M, N] or [N]; default: one Z for all.
        temperature: τ of log Z, 1 or more.
    """
    share = torch.ones_like(log_weight) if share is None else share.to(log_weight)
    log_z = torch.logsumexp(log_weight / temperature + share.log(), -1) - share.sum(-1).log()
    return (expert.double() + temperature * log_z).mean()


def whitened(x: Tensor) -> Tensor:
    """x [N, n] in coordinates without correlation and of unit variance; constant ones are dropped."""
    values, vectors = torch.linalg.eigh(torch.cov(x.mT).reshape(x.shape[1], x.shape[1]))
    varies = values > 1e-4 * values.max().clamp_min(1e-12)
    return (x - x.mean(0)) @ vectors[:, varies] / values[varies].sqrt()


def local_constant_rate(cost: Tensor) -> Tensor:
    """g_lcr: Σ_t ((c_{t+1} − c_t) − (c_t − c_{t−1}))², mean over trajectories [N, T]."""
    return cost.diff(dim=1).diff(dim=1).square().sum(1).mean()


def monotonic(cost: Tensor) -> Tensor:
    """g_mono: Σ_t max(0, c_t − c_{t−1} − 1)², mean over demonstrations [M, T]."""
    return (cost.diff(dim=1) - 1).clamp_min(0.0).square().sum(1).mean()
