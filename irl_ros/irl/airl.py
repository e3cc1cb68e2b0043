"""Adversarial inverse reinforcement learning (Fu, Luo & Levine 2018, "Learning robust rewards with AIRL").

Read beside the paper: ψ are the parameters of f_ψ(s, s') = g_ψ(s) + γ h_ψ(s') − h_ψ(s) (eq. 4), θ those of
the policy, τ a throw. Algorithm 1's steps are marked in `AIRL.iterate`.

Where this differs from the paper, it is so that the frozen reward survives being optimised afresh:

* Background. The samples that the discriminator sees come from every policy so far, and the density of that
  mixture stands in place of log π (the fusion of Finn et al. 2016, §4.3; theirs weighs whole trajectories,
  this one takes every policy as equally likely to be in a state). The mixture begins with policies that
  throw wrongly on purpose; without them nothing says what g is where neither the demonstrations nor a good
  policy ever go, and that is where an optimiser goes.
* Like with like. People move smoothly, samplers with noise, and log π would tell them apart by that alone. So
  demonstrated actions get the sampler's noise before log π is taken of them.
* An end. The game is over when the policy's throws score what the demonstrations score (apprenticeship
  learning's criterion: Abbeel & Ng 2004). Played on, the policy grows steadier than the person and g is
  flattened to excuse it.
* g is bounded and smooth: tanh, few units, gradient penalty.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from irl_ros.irl.transitions import Transitions
from irl_ros.networks import mlp
from irl_ros.rewards.reward import Reward, RewardSettings
from irl_ros.rewards.shaping import ReleasePotential
from irl_ros.rl.policy import RELEASE_GAIN, Policy
from irl_ros.rl.ppo import PPO, PPOSettings, Rollout, Starts, collect
from irl_ros.settings import at_least
from irl_ros.sim.rollout import Simulator
from irl_ros.sim.state import Throws


@dataclass(frozen=True)
class AIRLSettings:
    iterations: int = 100
    """Most rounds of the game."""
    head_start: int = 3
    """Discriminator rounds before the first policy step."""
    least: int = 15
    """Rounds before the game may end."""
    stop_at_match: bool = True
    """End when the policy's throws score what the demonstrations score."""
    discriminator_steps: int = 20
    """Gradient steps on ψ in a round."""
    batch: int = 512
    """Demonstrated transitions in a discriminator batch; as many sampled ones."""
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    gain: float = 5.0
    """Scale of g in the discriminator's logit: g lies in (−1, 1), log density ratios do not."""
    gradient_penalty: float = 0.5
    """Weight of E|∇_φ g|² between demonstrated and sampled features."""
    match_noise: bool = True
    """Give demonstrated actions the sampler's noise before taking log π of them."""
    shaping_hidden: tuple[int, ...] = (32,)
    """Units of h."""
    background: bool = True
    """Begin the mixture with policies that throw wrongly on purpose."""
    sampler_throws: int = 128
    """Throws kept of each policy in the mixture."""
    keep_every: int = 5
    """Rounds between two policies kept in the mixture."""
    reward: RewardSettings = field(default_factory=RewardSettings)
    ppo: PPOSettings = field(default_factory=PPOSettings)

    def __post_init__(self) -> None:
        at_least(self, 1, "discriminator_steps", "batch", "sampler_throws", "keep_every")
        at_least(self, 0, "iterations", "head_start", "least", "learning_rate", "gradient_penalty")
        if not self.gain > 0:
            raise ValueError(f"gain: must be above 0, found {self.gain}")


@dataclass
class Sampler:
    """A policy of the mixture and the transitions it contributed."""

    policy: Policy
    samples: Transitions


class AIRL:
    """The game between a discriminator with reward g_ψ and a policy π_θ.

    Args:
        simulator: where the policy throws.
        demonstrations: expert throws.
        policy: warm-started π_θ, improved in place.
        settings: see AIRLSettings.
        starts: joint positions and velocities that throws start from, each [M, n]; default: home, at rest.
    """

    def __init__(
        self,
        simulator: Simulator,
        demonstrations: Throws,
        policy: Policy,
        settings: AIRLSettings,
        starts: Starts = None,
    ) -> None:
        self.simulator, self.policy, self.settings, self.starts = simulator, policy, settings, starts
        device = policy.log_std.device
        self.reward = Reward(simulator.world, settings.reward).to(device)
        self.shaping = mlp([policy.observation.size, *settings.shaping_hidden, 1], last_gain=0.1).to(device)
        self.offset = nn.Parameter(torch.zeros((), device=device))
        self.discriminator = nn.ModuleDict({"g": self.reward, "h": self.shaping})
        self.optimizer = torch.optim.AdamW(
            [*self.discriminator.parameters(), self.offset],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )
        self.ppo = PPO(policy, settings.ppo)
        self.demonstrations = Transitions.of(demonstrations, policy.observation, self.reward.features)
        self.samplers = [self._sampler(p) for p in background_policies(policy)] if settings.background else []
        self.round, self.matched = 0, False

    @property
    def finished(self) -> bool:
        return self.matched or self.round >= self.settings.iterations

    def iterate(self) -> dict[str, float]:
        """One round of Algorithm 1; returns figures for the log."""
        s = self.settings
        # step 3: collect trajectories τ by executing π_θ
        rollout = collect(self.simulator, self.policy, s.ppo.throws, self.starts)
        # step 4: train D_ψ by logistic regression to tell demonstrations from samples
        current = Sampler(
            copy.deepcopy(self.policy).eval(),
            Transitions.of(rollout.throws, self.policy.observation, self.reward.features),
        )
        figures = self.train_discriminator([*self.samplers, current])
        if self.round % s.keep_every == 0:
            kept = torch.randperm(len(current.samples))[: s.sampler_throws * self.simulator.world.horizon]
            self.samplers.append(Sampler(current.policy, current.samples[kept]))
        # steps 5 and 6: r = log D − log(1 − D) = f − log π, and a policy step on it. E[−log π] is PPO's
        # entropy term, at PPO's weight instead of the paper's 1: PPO normalises advantages
        if self.round >= s.head_start:
            figures |= self.ppo.update(rollout, self.policy_reward(rollout))
        self.round += 1
        with torch.no_grad():
            policy_score = float(self.reward.of_features(current.samples.features).mean())
            expert_score = float(self.reward.of_features(self.demonstrations.features).mean())
        self.matched = s.stop_at_match and self.round >= s.least and policy_score >= expert_score
        return figures | {"reward_mean": policy_score, "reward_demonstrations": expert_score} | rollout.hits

    def f(self, batch: Transitions) -> Tensor:
        """f_ψ(s, s') in the discriminator's scale and up to its constant, [K] (eq. 4)."""
        gamma = self.settings.ppo.gamma
        h, h_next = self.shaping(batch.observation)[:, 0], self.shaping(batch.next_observation)[:, 0]
        return self.settings.gain * self.reward.of_features(batch.features) + self.offset + gamma * h_next - h

    @torch.no_grad()
    def policy_reward(self, rollout: Rollout) -> Tensor:
        """f_ψ without its constant, in units of g, plus release shaping, [N, T]."""
        states, gamma = rollout.throws.states, self.settings.ppo.gamma
        h = self.shaping(rollout.observations)[..., 0] / self.settings.gain
        release = ReleasePotential(self.simulator.world, self.reward, gamma)
        return self.reward(states[:, :-1]) + gamma * h[:, 1:] - h[:, :-1] + release(states)

    def train_discriminator(self, samplers: list[Sampler]) -> dict[str, float]:
        """Logistic regression on D_ψ = exp f / (exp f + μ), μ(a | s) the mixture of all samplers."""
        s = self.settings
        weights = torch.ones(len(samplers))
        weights[-1] = max(1.0, len(samplers) - 1.0)  # the policy of the day gives half of the samples
        weights /= weights.sum()
        losses, right = [], []
        for _ in range(s.discriminator_steps):
            expert = self.demonstrations.draw(s.batch)
            if s.match_noise:
                expert = expert.with_noise(self.policy.bounded_log_std.detach().exp())
            shares = torch.multinomial(weights, s.batch, replacement=True).bincount(minlength=len(samplers))
            sample = Transitions.cat([x.samples.draw(int(k)) for x, k in zip(samplers, shares)])
            batch = Transitions.cat([expert, sample])
            logit = self.f(batch) - log_mixture(batch, samplers, weights)
            label = (torch.arange(len(batch), device=logit.device) < len(expert)).to(logit)
            loss = functional.binary_cross_entropy_with_logits(logit, label)
            penalty = self._gradient_penalty(expert.features, sample.features)
            self.optimizer.zero_grad()
            (loss + s.gradient_penalty * penalty).backward()
            self.optimizer.step()
            losses.append(float(loss.detach()))
            right.append(float(((logit > 0) == (label > 0)).float().mean()))
        count = len(losses)
        return {"discriminator_loss": sum(losses) / count, "discriminator_accuracy": sum(right) / count}

    def _gradient_penalty(self, expert: Tensor, sample: Tensor) -> Tensor:
        mix = torch.rand(len(expert), 1, device=expert.device)
        between = mix * expert + (1 - mix) * sample[torch.randperm(len(sample), device=sample.device)]
        between.requires_grad_(True)
        (gradient,) = torch.autograd.grad(self.reward.of_features(between).sum(), between, create_graph=True)
        return gradient.square().sum(-1).mean()

    def _sampler(self, policy: Policy) -> Sampler:
        throws = collect(self.simulator, policy, self.settings.sampler_throws, self.starts).throws
        return Sampler(policy, Transitions.of(throws, policy.observation, self.reward.features))

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs to go on as if never stopped."""
        return {
            "discriminator": dict(self.discriminator.state_dict()),
            "offset": self.offset.detach(),
            "optimizer": self.optimizer.state_dict(),
            "ppo": self.ppo.state_dict(),
            "samplers": [
                {"policy": dict(x.policy.state_dict()), "samples": vars(x.samples)} for x in self.samplers
            ],
            "round": self.round,
            "matched": self.matched,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.discriminator.load_state_dict(state["discriminator"])
        self.offset.data.copy_(state["offset"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ppo.load_state_dict(state["ppo"])
        self.samplers = []
        device = self.policy.log_std.device
        for kept in state["samplers"]:
            policy = copy.deepcopy(self.policy).eval()
            policy.load_state_dict(kept["policy"])
            samples = Transitions(**{name: tensor.to(device) for name, tensor in kept["samples"].items()})
            self.samplers.append(Sampler(policy, samples))
        self.round, self.matched = state["round"], state["matched"]


@torch.no_grad()
def log_mixture(batch: Transitions, samplers: list[Sampler], weights: Tensor) -> Tensor:
    """log μ(a | s) of a weighted mixture of samplers, [K]."""
    log_prob = [x.policy.log_prob(batch.observation, batch.action, batch.held) for x in samplers]
    mixture = torch.logsumexp(torch.stack(log_prob) + weights.log().to(log_prob[0])[:, None], 0)
    # an action far in every sampler's tail must not decide a batch alone
    return mixture.clamp(-20.0, 20.0)


def background_policies(policy: Policy) -> list[Policy]:
    """Policies that throw wrongly in the ways a fresh learner will try.

    The clone's swing let go at any time; never; the swing with much noise; an arm that moves at random.
    """

    def variant(release_rate: float | None, noise: float, swing: float = 1.0) -> Policy:
        other = copy.deepcopy(policy).eval()
        last: nn.Linear = other.net[-1]  # type: ignore[assignment]
        with torch.no_grad():
            last.weight[:-1] *= swing
            last.bias[:-1] *= swing
            other.log_std.copy_((other.log_std + math.log(noise)).clamp(-2.5, 0.0))
            if release_rate is not None:
                last.weight[-1] = 0.0
                last.bias[-1] = math.log(release_rate / (1 - release_rate)) / RELEASE_GAIN
        return other

    return [
        variant(release_rate=0.04, noise=1.5),
        variant(release_rate=1e-4, noise=1.5),
        variant(release_rate=None, noise=3.0),
        variant(release_rate=0.05, noise=6.0, swing=0.0),
    ]
