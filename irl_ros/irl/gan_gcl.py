"""Guided cost learning as a GAN over whole trajectories: GAN-GCL (Finn, Christiano, Abbeel & Levine 2016, "A
connection between GANs, inverse reinforcement learning, and energy-based models"; Fu et al. 2018, §3).

Read beside the paper: ψ are the parameters of the reward R_ψ(τ) = Σ_t gain · g_ψ(s_t) (the paper's −c), θ
those of the policy, τ an episode, Z one learned scalar:

    D(τ) = (1/Z) exp R_ψ(τ) / ((1/Z) exp R_ψ(τ) + q(τ))                                    (the paper's §3.1)

q(τ) = Π_t π(a_t | s_t): the dynamics stand in both terms and cancel. In log space D = σ(R_ψ − log Z − log q).

The paper tried none of it, and at sixty steps of eight actions it needs help: Σ_t log π scatters by tens of
nats from episode to episode of one and the same policy, and D is sure before R has learned anything. So:

* Tempering. The logit is divided by Lᵖ (L steps, p = `temper`): 0 is the paper, 1 its mean over steps. It has
  the same fixed point, where policy and reward agree and every logit is 0; away from it R learns too much.
* Segments. `segment` = L judges pieces of L steps; T (0) is the paper. One log Z no longer serves, because
  what is still to come depends on where a piece starts and ends, so it gets h(s_end) − h(s_start), with h = 0
  at the end of the episode. L = 1 is AIRL with `shaping_ends`, undiscounted.
* Background. q is the mixture of all policies so far and of some that act wrongly on purpose, as densities of
  whole trajectories (the fusion of Finn, Levine & Abbeel 2016, §4.3). As in AIRL.
* Like with like. Demonstrated actions get the policy's noise before log q is taken of them. As in AIRL.
* No step's log π counts more than `log_bound`.
* The policy is paid R; −log π is PPO's entropy term, at PPO's weight instead of 1. As in AIRL.
* An end: when the policy's episodes score what the demonstrations score; g bounded and smooth. As in AIRL.

All are settings; `PAPER` turns every one of them off.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from irl_ros.errors import InputError, unknown_name
from irl_ros.irl.logistic_regression import logistic_regression
from irl_ros.irl.regularisation import gradient_penalty
from irl_ros.irl.samplers import Sampler, mixture_weights, restore_samplers, samplers_state
from irl_ros.irl.segments import Segments, draw_mixed_segments, log_mixture_of_segments
from irl_ros.irl.transitions import Transitions
from irl_ros.networks import mlp
from irl_ros.rewards.reward_net import RewardNet
from irl_ros.rl.agent import Agent
from irl_ros.rl.ppo import PPO, PPOSettings
from irl_ros.rl.task import Rollout, Task, Trajectories
from irl_ros.settings import at_least

POLICY_REWARDS = ("reward", "logit")


@dataclass(frozen=True)
class GANGCLSettings:
    iterations: int = 100
    """Most rounds of the game."""
    head_start: int = 3
    """Discriminator rounds before the first policy step."""
    least: int = 15
    """Rounds before the game may end."""
    stop_at_match: bool = True
    """End when the policy's episodes score what the demonstrations score."""
    segment: int = 0
    """Steps D judges at once, L; 0: whole episodes, as the paper; 1: AIRL."""
    temper: float = 1.0
    """p: the logit is divided by L to the power of p; 0: the paper."""
    discriminator_steps: int = 20
    """Gradient steps on ψ and Z in a round."""
    batch: int = 1920
    """Demonstrated steps in a discriminator batch, in segments; as many sampled ones."""
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    log_z_rate: float = 0.02
    """Learning rate of log Z, nats for every step that D judges at once."""
    gain: float = 5.0
    """Nats a step that g is worth: g lies in (−1, 1), log densities do not."""
    gradient_penalty: float = 0.5
    """Weight of E|∇g|² between demonstrated and sampled inputs of g."""
    match_noise: bool = True
    """Give demonstrated actions the sampler's noise before taking log q of them."""
    log_bound: float = 20.0
    """No step's log π counts more, either way."""
    shaping_hidden: tuple[int, ...] = (32,)
    """Units of h, where segments are shorter than episodes."""
    fusion: bool = True
    """q is the mixture of all policies so far; off, that of the day, as in the paper's D."""
    background: bool = True
    """Begin the mixture with policies that act wrongly on purpose."""
    sampler_episodes: int = 128
    """Episodes kept of each policy in the mixture."""
    keep_every: int = 5
    """Rounds between two policies kept in the mixture."""
    policy_reward: str = "reward"
    """What the policy is paid: reward, R (with PPO's entropy term); logit, R − log π, as the paper."""
    ppo: PPOSettings = field(default_factory=PPOSettings)

    @property
    def episodes(self) -> int:
        """Episodes in a round."""
        return self.ppo.episodes

    def __post_init__(self) -> None:
        if self.policy_reward not in POLICY_REWARDS:
            raise ValueError("; ".join(unknown_name("policy_reward", self.policy_reward, POLICY_REWARDS)))
        at_least(self, 1, "discriminator_steps", "batch", "sampler_episodes", "keep_every")
        at_least(self, 0, "iterations", "head_start", "least", "learning_rate", "log_z_rate")
        at_least(self, 0, "segment", "temper", "gradient_penalty", "log_bound")
        if not self.gain > 0:
            raise ValueError(f"gain: must be above 0, found {self.gain}")


PAPER: dict[str, Any] = {
    "segment": 0,
    "temper": 0.0,
    "fusion": False,
    "background": False,
    "match_noise": False,
    "log_bound": float("inf"),
    "gradient_penalty": 0.0,
    "stop_at_match": False,
    "policy_reward": "logit",
}
"""Settings with which this is the paper's game (beside `ppo.entropy` 0); g stays bounded, and the policy's
warm start stays."""


class GANGCL:
    """The game between a discriminator of trajectories with reward g_ψ and a policy π_θ.

    Args:
        task: what the policy acts in.
        demonstrations: the expert's episodes.
        policy: warm-started π_θ, improved in place.
        reward: g_ψ, learned in place.
        settings: see GANGCLSettings.

    Raises:
        InputError: segments longer than an episode.
    """

    def __init__(
        self,
        task: Task,
        demonstrations: Trajectories,
        policy: Agent,
        reward: RewardNet,
        settings: GANGCLSettings,
    ) -> None:
        self.task, self.policy, self.reward, self.settings = task, policy, reward, settings
        self.demonstrations = demonstrations
        self.length = settings.segment or task.horizon  # L
        if self.length > task.horizon:
            problem = f"{self.length} steps are more than an episode's {task.horizon}"
            raise InputError("gan_gcl.segment", problem, "0 stands for whole episodes")
        self.whole = self.length == task.horizon
        self.scale = self.length**settings.temper
        size = demonstrations.observations.shape[-1]
        self.shaping = mlp([size, *settings.shaping_hidden, 1], last_gain=0.1).to(task.device)
        self.discriminator = nn.ModuleDict({"g": self.reward, "h": self.shaping})
        self.log_z_a_step = nn.Parameter(torch.zeros((), device=task.device))
        learned = {"params": [*self.discriminator.parameters()], "weight_decay": settings.weight_decay}
        partition = {"params": [self.log_z_a_step], "lr": settings.log_z_rate, "weight_decay": 0.0}
        self.optimizer = torch.optim.AdamW([learned, partition], lr=settings.learning_rate)
        self.ppo = PPO(policy, settings.ppo)
        wrong = task.background(policy) if settings.fusion and settings.background else []
        self.samplers = [Sampler(p, task.rollout(p, settings.sampler_episodes).trajectories) for p in wrong]
        self.round, self.matched = 0, False

    @property
    def finished(self) -> bool:
        return self.matched or self.round >= self.settings.iterations

    @property
    def log_z(self) -> Tensor:
        """log Z."""
        return self.length * self.log_z_a_step

    def iterate(self) -> dict[str, float]:
        """One round; returns figures for the log."""
        s = self.settings
        rollout = self.task.rollout(self.policy, s.ppo.episodes)
        current = Sampler.frozen(self.policy, rollout.trajectories)
        mixture = [*self.samplers, current]
        if self.round == 0:
            self.start_log_z(mixture)
        figures = self.train_discriminator(mixture)
        if s.fusion and self.round % s.keep_every == 0:
            self.samplers.append(current.some(s.sampler_episodes))
        # the generator's loss E_π[log(1 − D) − log D] = log Z + E_π[log π − R] (the paper's §3.2)
        if self.round >= s.head_start:
            figures |= self.ppo.update(rollout, self.policy_reward(rollout))
        self.round += 1
        policy_score, expert_score = self.score(rollout.trajectories), self.score(self.alike())
        self.matched = s.stop_at_match and self.round >= s.least and policy_score >= expert_score
        figures |= {"reward_mean": policy_score, "reward_demonstrations": expert_score}
        return figures | {"log_z": float(self.log_z.detach())} | rollout.figures

    def g(self, episodes: Trajectories) -> Tensor:
        """g_ψ of every step of episodes or segments, [N, T]."""
        return self.reward.of_features(episodes.features[:, :-1], episodes.actions)

    def alike(self) -> Trajectories:
        """The demonstrations as they are scored: where g sees actions, as D is shown them."""
        shown = self.demonstrations
        if not (self.settings.match_noise and self.reward.sees_action):
            return shown
        return replace(shown, actions=self.policy.jitter(shown.actions))

    @torch.no_grad()
    def score(self, episodes: Trajectories) -> float:
        """Mean g of their steps."""
        return float(self.g(episodes).mean())

    def R(self, segments: Segments) -> Tensor:
        """R_ψ(τ) = Σ_t gain · g_ψ(s_t), of a part of an episode with what its two ends are worth, [K]."""
        total = self.settings.gain * self.g(segments.steps).sum(1)
        if self.whole:
            return total
        start, end = (self.shaping(segments.steps.observations[:, i])[:, 0] for i in (0, -1))
        return total + torch.where(segments.ends, torch.zeros_like(end), end) - start

    def log_q(self, segments: Segments, mixture: list[Sampler]) -> Tensor:
        """log q(τ), [K]."""
        return log_mixture_of_segments(
            segments, mixture, mixture_weights(len(mixture)), self.settings.log_bound
        )

    def logit(self, segments: Segments, mixture: list[Sampler]) -> Tensor:
        """log D − log(1 − D) = (R_ψ − log Z − log q) / Lᵖ, [K]."""
        return (self.R(segments) - self.log_z - self.log_q(segments, mixture)) / self.scale

    def draw(self, mixture: list[Sampler]) -> tuple[Segments, Segments]:
        """Demonstrated and sampled segments for a discriminator batch."""
        s = self.settings
        count = max(1, s.batch // self.length)
        expert = Segments.draw(self.demonstrations, self.length, count)
        if s.match_noise:
            expert = expert.jittered(self.policy)
        return expert, draw_mixed_segments(mixture, mixture_weights(len(mixture)), self.length, count)

    @torch.no_grad()
    def start_log_z(self, mixture: list[Sampler]) -> None:
        """Where D cannot tell at first: the way there is hundreds of nats, a thousand gradient steps."""
        segments = Segments.join(self.draw(mixture))
        self.log_z_a_step.copy_((self.R(segments) - self.log_q(segments, mixture)).mean() / self.length)

    @torch.no_grad()
    def policy_reward(self, rollout: Rollout) -> Tensor:
        """What settings.policy_reward names, in units of g, and the task's shaping, [N, T]."""
        s = self.settings
        paid = self.g(rollout.trajectories)
        if s.policy_reward == "logit":
            paid = paid - rollout.log_prob.clamp(-s.log_bound, s.log_bound) / s.gain
        return paid + self.task.shaping(rollout, self.reward, s.ppo.gamma)

    def train_discriminator(self, mixture: list[Sampler]) -> dict[str, float]:
        """Logistic regression on D of demonstrated segments (1) and sampled ones (0)."""
        s = self.settings

        def batch() -> tuple[Tensor, int, Tensor]:
            expert, sample = self.draw(mixture)
            logit = self.logit(Segments.join([expert, sample]), mixture)
            steps = Transitions.of(expert.steps), Transitions.of(sample.steps)
            return logit, len(expert), gradient_penalty(self.reward, *steps)

        return logistic_regression(self.optimizer, s.discriminator_steps, batch, s.gradient_penalty)

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs to go on as if never stopped."""
        return {
            "discriminator": dict(self.discriminator.state_dict()),
            "log_z_a_step": self.log_z_a_step.detach(),
            "optimizer": self.optimizer.state_dict(),
            "ppo": self.ppo.state_dict(),
            "samplers": samplers_state(self.samplers),
            "round": self.round,
            "matched": self.matched,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.discriminator.load_state_dict(state["discriminator"])
        self.log_z_a_step.data.copy_(state["log_z_a_step"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ppo.load_state_dict(state["ppo"])
        self.samplers = restore_samplers(state["samplers"], self.policy, self.task.device)
        self.round, self.matched = state["round"], state["matched"]
