"""Adversarial inverse reinforcement learning (Fu, Luo & Levine 2018, "Learning robust rewards with AIRL").

Read beside the paper: ψ are the parameters of the discriminator (irl/discriminator.py: eq. 4), θ those of the
policy, τ a throw. Algorithm 1's steps are marked in `AIRL.iterate`.

Where this differs from the paper, it is so that the frozen reward survives being optimised afresh:

* Background. The samples that the discriminator sees come from every policy so far, and the density of that
  mixture stands in place of log π (the fusion of Finn et al. 2016, §4.3; theirs weighs whole trajectories,
  this one takes every policy as equally likely to be in a state). The mixture begins with policies that
  throw wrongly on purpose; without them nothing says what g is where neither the demonstrations nor a good
  policy ever go, and that is where an optimiser goes.
* Like with like. People move smoothly, samplers with noise, and log π would tell them apart by that alone. So
  demonstrated actions get the sampler's noise before log π is taken of them.
* A rival. Beside the policy, which begins as a clone, another begins untrained and is optimised on g alone,
  as `transfer` will do it. Its samples are in the mixture too, so what a fresh optimiser finds to exploit
  (to carry the ball to the target and keep it there, say) is answered while ψ can still answer.
* An end. When the policy's throws score what the demonstrations score (apprenticeship learning's criterion:
  Abbeel & Ng 2004) ψ rests: taught on, the policy having grown steadier than the person, g is flattened to
  excuse the person. It learns again whenever the rival scores more than the policy. The game is over when a
  rival has lived its life and found nothing better than what the policy does.
* g is bounded and smooth: tanh, few units, gradient penalty.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from irl_ros.errors import unknown_name
from irl_ros.irl.discriminator import Discriminator, DiscriminatorSettings
from irl_ros.irl.reoptimise import rewards_of
from irl_ros.irl.samplers import Sampler, log_mixture, mixture_weights, restore_samplers, samplers_state
from irl_ros.irl.transitions import Transitions
from irl_ros.rewards.reward_net import RewardNet
from irl_ros.rl.agent import Agent
from irl_ros.rl.ppo import PPO, PPOSettings
from irl_ros.rl.task import Rollout, Task, Trajectories
from irl_ros.settings import at_least

POLICY_REWARDS = ("reward", "logit", "discriminator")


@dataclass(frozen=True)
class AIRLSettings(DiscriminatorSettings):
    iterations: int = 160
    """Most rounds of the game."""
    head_start: int = 3
    """Discriminator rounds before the first policy step."""
    least: int = 15
    """Rounds before ψ may rest."""
    stop_at_match: bool = True
    """ψ rests, and the game may end, when the policy's throws score what the demonstrations score."""
    rival: int = 40
    """Rounds of a rival's life, after which another begins untrained; 0: no rival."""
    background: bool = True
    """Begin the mixture with policies that throw wrongly on purpose."""
    sampler_episodes: int = 128
    """Episodes kept of each policy in the mixture."""
    keep_every: int = 5
    """Rounds between two policies kept in the mixture."""
    policy_reward: str = "reward"
    """What the policy is paid: reward, f (with PPO's entropy term); logit, log D − log(1 − D) = f − log μ;
    discriminator, log D. The last two are what a GAN would use."""
    ppo: PPOSettings = field(default_factory=PPOSettings)

    @property
    def episodes(self) -> int:
        """Episodes in a round, the rival's too."""
        return self.ppo.episodes * (2 if self.rival else 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.policy_reward not in POLICY_REWARDS:
            raise ValueError("; ".join(unknown_name("policy_reward", self.policy_reward, POLICY_REWARDS)))
        at_least(self, 1, "sampler_episodes", "keep_every")
        at_least(self, 0, "iterations", "head_start", "least", "rival")


class AIRL:
    """The game between a discriminator with reward g_ψ and a policy π_θ.

    Args:
        task: what the policy acts in.
        demonstrations: the expert's episodes.
        policy: warm-started π_θ, improved in place.
        reward: g_ψ, learned in place.
        settings: see AIRLSettings.
    """

    def __init__(
        self,
        task: Task,
        demonstrations: Trajectories,
        policy: Agent,
        reward: RewardNet,
        settings: AIRLSettings,
    ) -> None:
        self.task, self.policy, self.reward, self.settings = task, policy, reward, settings
        observed = demonstrations.observations.shape[-1]
        self.discriminator = Discriminator(reward, observed, settings.ppo.gamma, settings)
        self.ppo, self.rival = PPO(policy, settings.ppo), PPO(policy.untrained(), settings.ppo)
        self.demonstrations = Transitions.of(demonstrations)
        wrong = task.background(policy) if settings.background else []
        self.samplers = [Sampler(p, task.rollout(p, settings.sampler_episodes).trajectories) for p in wrong]
        self.round, self.over = 0, False

    @property
    def finished(self) -> bool:
        return self.over or self.round >= self.settings.iterations

    def iterate(self) -> dict[str, float]:
        """One round of Algorithm 1; returns figures for the log."""
        s = self.settings
        # line 4: collect trajectories τ by executing π_θ
        rollout = self.task.rollout(self.policy, s.ppo.episodes)
        other = self.task.rollout(self.rival.policy, s.ppo.episodes) if s.rival else None
        players = [Sampler.frozen(self.policy, rollout.trajectories)]
        if other is not None:
            players.insert(0, Sampler.frozen(self.rival.policy, other.trajectories))
        mixture = [*self.samplers, *players]
        # line 5: train D_ψ by logistic regression to tell demonstrations from samples
        settled, scores = self.settled(players)
        figures = {}
        if not settled:
            figures = self.discriminator.train(self.demonstrations, mixture, self.policy)
        if self.round % s.keep_every == 0:
            self.samplers += [x.some(s.sampler_episodes) for x in players]
        # lines 6 and 7: r = log D − log(1 − D) = f − log π, and a policy step on it. E[−log π] is PPO's
        # entropy term, at PPO's weight instead of the paper's 1: PPO normalises advantages
        if self.round >= s.head_start:
            figures |= self.ppo.update(rollout, self.policy_reward(rollout, mixture))
        if other is not None:
            paid = rewards_of(other, self.reward) + self.task.shaping(other, self.reward, s.ppo.gamma)
            self.rival.update(other, paid)
        self.round += 1
        self._end_of_round(settled)
        return figures | scores | rollout.figures

    def settled(self, players: list[Sampler]) -> tuple[bool, dict[str, float]]:
        """Whether ψ may rest: the policy (the last player) scores what is demonstrated, the rival no more.

        Returns:
            That, and the scores: mean g of a step.
        """
        s, d = self.settings, self.discriminator
        earned = [d.score(x.transitions) for x in players]
        policy, best, expert = earned[-1], max(earned), d.score_expert(self.demonstrations, self.policy)
        scores = {"reward_mean": policy, "reward_demonstrations": expert, "reward_best": best}
        return s.stop_at_match and self.round >= s.least and policy >= expert and best <= policy, scores

    def _end_of_round(self, settled: bool) -> None:
        """The game is over when all is settled at the end of a rival's life; else another rival begins."""
        life = self.settings.rival
        if life and self.round % life:
            return
        self.over = settled
        if life:
            self.rival = PPO(self.policy.untrained(), self.settings.ppo)

    @torch.no_grad()
    def policy_reward(self, rollout: Rollout, mixture: list[Sampler]) -> Tensor:
        """What settings.policy_reward names, in units of g, and the task's shaping, [N, T]."""
        s, batch = self.settings, Transitions.of(rollout.trajectories)
        paid = self.discriminator.f(batch)
        if s.policy_reward == "reward":
            paid = paid - self.discriminator.offset
        else:
            paid = paid - log_mixture(batch, mixture, mixture_weights(len(mixture)))
            if s.policy_reward == "discriminator":
                paid = functional.logsigmoid(paid)
        paid = paid.reshape(rollout.log_prob.shape) / s.gain
        return paid + self.task.shaping(rollout, self.reward, s.ppo.gamma)

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs to go on as if never stopped."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "ppo": self.ppo.state_dict(),
            "rival": self.rival.state_dict(),
            "samplers": samplers_state(self.samplers),
            "round": self.round,
            "over": self.over,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.discriminator.load_state_dict(state["discriminator"])
        self.ppo.load_state_dict(state["ppo"])
        self.rival.load_state_dict(state["rival"])
        self.samplers = restore_samplers(state["samplers"], self.policy, self.task.device)
        self.round, self.over = state["round"], state["over"]
