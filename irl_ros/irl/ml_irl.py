"""Maximum-likelihood inverse reinforcement learning (Zeng, Li, Garcia & Hong 2022).

After "Maximum-likelihood inverse reinforcement learning with finite-time guarantees". The expert is taken
for the maximum-entropy policy π_ψ of a stationary reward r_ψ. The likelihood of what was demonstrated,
L(ψ) = E_demo[Σ_t γ^t log π_ψ(a_t | s_t)], has the gradient

    ∇L = E_demo[Σ_t γ^t ∇r_ψ(s_t, a_t)] − E_{τ ∼ π_ψ}[Σ_t γ^t ∇r_ψ(s_t, a_t)]

and Algorithm 1 climbs it in a single loop: episodes of the policy, a step on ψ, a policy step towards π_ψ.
There is no discriminator and no log π: where AIRL's f ends as the log ratio of the densities of two players,
r_ψ stays the one thing whose optimum must look like the demonstrations.

Where this differs from the paper:

* PPO takes the policy step (theirs: soft policy iteration, in practice SAC): the temperature is PPO's entropy
  weight.
* Who π_ψ is. The second expectation belongs to the *optimum* of r_ψ, and the policy that plays along, warm
  from demonstrations, is one candidate for it only: it will not notice that never letting go, say, pays more.
  So the soft value of π_ψ is the best that any policy known reaches, softly: (1/β) log Σ_k exp(β V_k),
  V_k = E_{π_k}[R_ψ] + α H_k. With one policy its gradient is the paper's. Known are the policy, earlier ones,
  ones that throw wrongly on purpose, and
* a rival: a second policy that begins untrained every few rounds and is optimised on r_ψ as `transfer` would
  do it. What a fresh optimiser can find to exploit, it finds while ψ can still answer.
* r = g_ψ is bounded and smooth: tanh, and a limit on its slope.
* The exported reward is the running mean of ψ. Steps on ψ answer the policies of the day and go to and fro
  about the solution; their mean does not.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from irl_ros.irl.regularisation import gradient_penalty
from irl_ros.irl.transitions import Transitions
from irl_ros.rewards.reward_net import RewardNet
from irl_ros.rl.agent import Agent
from irl_ros.rl.ppo import PPO, PPOSettings
from irl_ros.rl.task import Rollout, Task, Trajectories
from irl_ros.settings import at_least


@dataclass(frozen=True)
class MLIRLSettings:
    iterations: int = 100
    """Rounds."""
    reward_steps: int = 5
    """Gradient steps on ψ in a round."""
    learning_rate: float = 2e-3
    """Adam's, of ψ."""
    weight_decay: float = 1e-4
    slope: float = 1.0
    """|∇_φ g| that is free between demonstrated and sampled features."""
    gradient_penalty: float = 10.0
    """Weight of the square of what is beyond `slope`. Slope as such is free: a price on it would flatten g as
    soon as the policy comes near the demonstrations."""
    level: float = 1.0
    """Price of the square of g's mean over demonstrated and sampled steps. r_ψ + c is the same reward, as
    likely: without this ψ drifts into the flat of tanh, where nothing it says makes a difference."""
    sharpness: float = 50.0
    """β: a policy whose soft value is 1/β a step less than another's counts e times less."""
    temperature: float = 0.005
    """α, in units of g a nat. People err, so some policy will earn more than the demonstrations whatever the
    reward: what its steadiness costs it in entropy is what keeps g from being flattened to excuse them."""
    known: bool = True
    """Keep earlier policies as candidates for π_ψ, the first of which throw wrongly on purpose."""
    restart: int = 25
    """Rounds after which the rival begins again; 0: no rival."""
    sampler_episodes: int = 64
    """Episodes kept of each policy."""
    keep_every: int = 5
    """Rounds between two policies kept."""
    averaging: float = 0.95
    """Of the running mean of ψ a round; 0: the newest ψ."""
    ppo: PPOSettings = field(default_factory=PPOSettings)

    @property
    def episodes(self) -> int:
        """Episodes in a round, the rival's too."""
        return self.ppo.episodes * (2 if self.restart else 1)

    def __post_init__(self) -> None:
        at_least(self, 1, "reward_steps", "sampler_episodes", "keep_every")
        at_least(
            self,
            0,
            "iterations",
            "temperature",
            "learning_rate",
            "weight_decay",
            "gradient_penalty",
            "slope",
            "level",
            "restart",
        )
        if not self.sharpness > 0:
            raise ValueError(f"sharpness: must be above 0, found {self.sharpness}")
        if not 0 <= self.averaging < 1:
            raise ValueError(f"averaging: must be at least 0 and below 1, found {self.averaging}")


@dataclass(frozen=True)
class Candidate:
    """Episodes of a policy that may be the best there is for r_ψ, and its entropy in them.

    Attributes:
        trajectories: N episodes.
        entropy: mean of −log π, nats a step; all steps count alike, those of rewards by γ^t.
    """

    trajectories: Trajectories
    entropy: float

    @classmethod
    def of(cls, rollout: Rollout, episodes: int | None = None) -> Candidate:
        """Of the first `episodes` episodes of a rollout; None: of all."""
        return cls(rollout.trajectories[:episodes], -float(rollout.log_prob.mean()))


class MLIRL:
    """Policy steps and reward steps by turns.

    Args:
        task: what the policy acts in.
        demonstrations: the expert's episodes.
        policy: warm-started π_θ, improved in place.
        reward: r_ψ; gets the running mean of ψ.
        settings: see MLIRLSettings.
    """

    def __init__(
        self,
        task: Task,
        demonstrations: Trajectories,
        policy: Agent,
        reward: RewardNet,
        settings: MLIRLSettings,
    ) -> None:
        self.task, self.policy, self.reward, self.settings = task, policy, reward, settings
        self.newest = copy.deepcopy(reward)
        self.optimizer = torch.optim.AdamW(
            self.newest.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.ppo = PPO(policy, settings.ppo)
        self.rival = PPO(policy.untrained(), settings.ppo)
        self.demonstrations = demonstrations
        wrong = task.background(policy) if settings.known else []
        self.known = [Candidate.of(task.rollout(p, settings.sampler_episodes)) for p in wrong]
        self.round = 0

    @property
    def finished(self) -> bool:
        return self.round >= self.settings.iterations

    def iterate(self) -> dict[str, float]:
        """One round of Algorithm 1; returns figures for the log."""
        s = self.settings
        players = [self.ppo, self.rival] if s.restart else [self.ppo]
        # data: τ^A ∼ π_θ
        rollouts = [self.task.rollout(x.policy, s.ppo.episodes) for x in players]
        # reward step: ψ ← ψ + α (h(ψ; τ^E) − h(ψ; τ^A))
        figures = self.step_reward([Candidate.of(r) for r in rollouts])
        if s.known and self.round % s.keep_every == 0:
            self.known += [Candidate.of(r, s.sampler_episodes) for r in rollouts]
        # policy step towards π_ψ ∝ exp Q_ψ
        steps = [x.update(r, self.policy_reward(r)) for x, r in zip(players, rollouts)]
        self.round += 1
        if s.restart and self.round % s.restart == 0:
            self.rival = PPO(self.policy.untrained(), s.ppo)
        return figures | steps[0] | rollouts[0].figures

    @torch.no_grad()
    def policy_reward(self, rollout: Rollout) -> Tensor:
        """r_ψ and the task's shaping, [N, T]."""
        made = rollout.trajectories
        paid = self.newest.of_features(made.features[:, :-1], made.actions)
        return paid + self.task.shaping(rollout, self.newest, self.settings.ppo.gamma)

    def mean_reward(self, episodes: Trajectories) -> Tensor:
        """E[Σ_t γ^t r_ψ(s_t, a_t)] / Σ_t γ^t over episodes; times the divisor, h(ψ; τ) is its gradient."""
        reward = self.newest.of_features(episodes.features[:, :-1], episodes.actions)
        weight = self.settings.ppo.gamma ** torch.arange(reward.shape[1], device=reward.device)
        return (reward.mean(0) * weight).sum() / weight.sum()

    def advantage(self, candidates: list[Candidate]) -> Tensor:
        """How much more a step of a demonstration earns than one of π_ψ. Its gradient is ∇L / Σ_t γ^t."""
        s = self.settings
        value = [self.mean_reward(x.trajectories) + s.temperature * x.entropy for x in candidates]
        best = torch.logsumexp(s.sharpness * torch.stack(value), 0) / s.sharpness
        return self.mean_reward(self.demonstrations) - best

    def step_reward(self, samples: list[Candidate]) -> dict[str, float]:
        """Gradient steps on ψ, up the likelihood; returns figures for the log."""
        s = self.settings
        expert = Transitions.of(self.demonstrations)
        other = Transitions.of(Trajectories.cat([x.trajectories for x in samples]))
        for _ in range(s.reward_steps):
            advantage = self.advantage([*samples, *self.known])
            sampled = other.draw(len(expert))
            both = Transitions.cat([expert, sampled])
            level = self.newest.of_features(both.features, both.action).mean()
            price = s.gradient_penalty * gradient_penalty(self.newest, expert, sampled, s.slope)
            self.optimizer.zero_grad()
            (price + s.level * level.square() - advantage).backward()
            self.optimizer.step()
        with torch.no_grad():
            for mean, new in zip(self.reward.parameters(), self.newest.parameters()):
                mean.lerp_(new, 1 - s.averaging)
            played = (self.demonstrations, *(x.trajectories for x in samples))
            earned = [float(self.mean_reward(x)) for x in played]
        names = ("reward_demonstrations", "reward_mean", "reward_rival")
        return {"advantage": float(advantage.detach()), **dict(zip(names, earned))}

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs to go on as if never stopped."""
        return {
            "reward": dict(self.reward.state_dict()),
            "newest": dict(self.newest.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "ppo": self.ppo.state_dict(),
            "rival": self.rival.state_dict(),
            "known": [{**vars(x.trajectories), "entropy": x.entropy} for x in self.known],
            "round": self.round,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.reward.load_state_dict(state["reward"])
        self.newest.load_state_dict(state["newest"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ppo.load_state_dict(state["ppo"])
        self.rival.load_state_dict(state["rival"])
        self.known = []
        for x in state["known"]:
            entropy = x.pop("entropy")
            self.known.append(Candidate(Trajectories(**x).to(self.task.device), entropy))
        self.round = state["round"]
