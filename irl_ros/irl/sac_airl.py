"""Off-policy AIRL: its discriminator against a replay buffer, soft actor-critic as its policy step.

After discriminator actor-critic (Kostrikov et al. 2019, "Discriminator-actor-critic", Algorithm 1) with the
reward of Fu, Luo & Levine 2018. Read beside irl/airl.py, whose discriminator this is (irl/discriminator.py);
what differs is where samples come from and go to:

* The discriminator sees what the policies of all rounds put into the replay buffer R, not the newest episodes
  alone. DAC drops the importance weights that this asks for. Here they are known: the density μ is that of
  the mixture of those policies, by a copy of the policy every few rounds; half of it is the newest.
* Rewards are worked out when episodes are replayed, from today's g and h, and the policy step is K gradient
  steps of SAC on all of R, so an episode teaches many times.
* Some episodes of a round are made by a background policy, this round's swing let go at any time: a critic
  can compare letting go now with holding on only if it has seen both, and a policy soon does but one of them.
  They are for the critic alone: paid by f like all of R, and in neither the samples of D nor μ. (In the head
  start such policies have rounds of their own, and D sees those.)
* A game of few episodes has no calm of its own, so when it is over, g and h stay as they are for the last
  rounds, and policy steps and temperature shrink to nothing.
* DAC's absorbing states are a matter of episodes whose length the policy can choose: what ends early gets
  nothing for the rest, which favours ending where rewards are negative and lasting where they are positive.
  Here an episode has T steps whatever is done. A ball that has landed lies there, seen and paid for at every
  step until T: the absorbing state is in the data, and its reward is learned like any other. The end at T is
  not the world's but the task's: the phase is observed, no policy gets anything later, V(s_T) = 0 is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from irl_ros.irl.discriminator import Discriminator, DiscriminatorSettings
from irl_ros.irl.samplers import Sampler, restore_samplers, samplers_state
from irl_ros.irl.transitions import Transitions
from irl_ros.rewards.reward_net import RewardNet
from irl_ros.rl.agent import Agent
from irl_ros.rl.replay import Replay
from irl_ros.rl.sac import SAC, SACSettings
from irl_ros.rl.task import Rollout, Task, Trajectories
from irl_ros.settings import at_least


@dataclass(frozen=True)
class SACAIRLSettings(DiscriminatorSettings):
    iterations: int = 180
    """Most rounds."""
    episodes: int = 16
    """Episodes in a round."""
    explorers: int = 4
    """How many of them are made by the task's first background policy."""
    head_start: int = 5
    """Rounds of discriminator and critic alone before the first policy step."""
    least: int = 30
    """Rounds before the game may end."""
    stop_at_match: bool = True
    """End when the policy's episodes of the last `keep_every` rounds score what the demonstrations score."""
    settle: int = 100
    """Rounds after the game, with g and h as they are and policy steps that shrink to nothing."""
    discriminator_steps: int = 10
    gradient_penalty: float = 0.5
    keep_every: int = 5
    """Rounds that share one copy of the policy in the mixture."""
    sac: SACSettings = field(default_factory=lambda: SACSettings(steps=200))

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "episodes", "keep_every")
        at_least(self, 0, "iterations", "explorers", "head_start", "least")
        if not self.explorers < self.episodes:
            raise ValueError(f"explorers: must be below episodes ({self.episodes}), found {self.explorers}")
        if not 0 <= self.settle <= self.iterations:
            raise ValueError(f"settle: must be 0 to iterations ({self.iterations}), found {self.settle}")


class SACAIRL:
    """The game between a discriminator with reward g_ψ and a policy π_θ, on a replay buffer.

    Args:
        task: what the policy acts in.
        demonstrations: the expert's episodes.
        policy: warm-started π_θ, improved in place.
        reward: g_ψ, learned in place.
        settings: see SACAIRLSettings.
    """

    def __init__(
        self,
        task: Task,
        demonstrations: Trajectories,
        policy: Agent,
        reward: RewardNet,
        settings: SACAIRLSettings,
    ) -> None:
        self.task, self.policy, self.reward, self.settings = task, policy, reward, settings
        size = demonstrations.observations.shape[-1]
        self.discriminator = Discriminator(reward, size, settings.sac.gamma, settings)
        self.sac = SAC(policy, size, demonstrations.actions.shape[-1], settings.sac)
        self.demonstrations = Transitions.of(demonstrations)
        self.samplers: list[Sampler] = []
        self.replay: Replay | None = None  # nothing before the first round
        self.round, self.over = 0, settings.iterations - settings.settle

    @property
    def finished(self) -> bool:
        return self.round >= self.over + self.settings.settle

    def iterate(self) -> dict[str, float]:
        """One round of DAC's Algorithm 1; returns figures for the log."""
        s, policy, d = self.settings, self.policy, self.discriminator
        # collect: R ← R ∪ {τ}
        replay, figures = self.collect()
        # discriminator update: demonstrations against R
        if self.round < self.over:
            figures |= d.train(self.demonstrations, self.samplers, policy)
        # r = log D − log(1 − D) = f − log π of everything in R as it is today; −log π is SAC's entropy term
        self.sac.settle(min(1.0, (self.over + s.settle - self.round) / max(1, s.settle)))
        rewards = self.policy_reward(replay.rollout)
        figures |= self.sac.update(replay.rollout, rewards, self.round >= s.head_start)
        self.round += 1
        policy_score = d.score(self.samplers[-1].transitions)
        expert_score = d.score_expert(self.demonstrations, policy)
        # a few episodes say little: ask when the newest sampler is complete
        asked = s.stop_at_match and self.round >= s.least and (self.round - s.head_start) % s.keep_every == 0
        if asked and self.round < self.over and policy_score >= expert_score:
            self.over = self.round
        return figures | {"reward_mean": policy_score, "reward_demonstrations": expert_score}

    def collect(self) -> tuple[Replay, dict[str, float]]:
        """Put a round's episodes into the replay buffer; returns it and how those of the policy went."""
        s, policy = self.settings, self.policy
        wrong = self.task.background(policy) or [policy]
        if self.round < s.head_start:
            actor, new = [policy, *wrong][self.round % (1 + len(wrong))], True
            rollouts = [self.task.rollout(actor, s.episodes)]
        else:
            actor, new = policy, (self.round - s.head_start) % s.keep_every == 0
            rollouts = [self.task.rollout(policy, s.episodes - s.explorers)]
            if s.explorers:
                rollouts.append(self.task.rollout(wrong[0], s.explorers))
        # the policies of a few rounds count as one in the mixture: the newest of them
        made = [] if new else [self.samplers.pop().trajectories]
        together = Trajectories.cat([*made, rollouts[0].trajectories])
        self.samplers.append(Sampler.frozen(actor, together))
        self.replay = replay = self.replay.with_more(rollouts) if self.replay else Replay(rollouts)
        return replay, rollouts[0].figures

    @torch.no_grad()
    def policy_reward(self, rollout: Rollout) -> Tensor:
        """f without its constant, in units of g, and the task's shaping, [N, T]."""
        d = self.discriminator
        paid = (d.f(Transitions.of(rollout.trajectories)) - d.offset) / self.settings.gain
        shaping = self.task.shaping(rollout, self.reward, self.settings.sac.gamma)
        return paid.reshape(rollout.log_prob.shape) + shaping

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs to go on as if never stopped."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "sac": self.sac.state_dict(),
            "samplers": samplers_state(self.samplers),
            "replay": None if self.replay is None else self.replay.state_dict(),
            "round": self.round,
            "over": self.over,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.discriminator.load_state_dict(state["discriminator"])
        self.sac.load_state_dict(state["sac"])
        self.samplers = restore_samplers(state["samplers"], self.policy, self.task.device)
        if state["replay"] is not None:
            # one episode shows what kind of states the task keeps
            self.replay = Replay.load(state["replay"], self.task.rollout(self.policy, 1))
        self.round, self.over = state["round"], state["over"]
