"""Inverse soft Q-learning (Garg et al. 2021, "IQ-Learn: inverse soft-Q learning for imitation").

Read beside the paper: a soft Q-function and its policy stand for a reward by the inverse soft Bellman
operator, (T^π Q)(s, a) = Q(s, a) − γ E_{s'} V^π(s'), where V^π(s) = E_π[Q(s, a)] + α H(π(· | s)). So the game
between reward and policy becomes one objective for Q, with π after it as in soft actor-critic:

    J(π, Q) = E_demo[T^π Q] − E[V^π(s_0)] − 1/(4c) E_ρ[(T^π Q)²]

The last term is the paper's χ² regularisation, taken over ρ = half demonstrations, half replay, as its
authors do in practice: Q is bounded where only the policy goes, too. E[V(s_0)] is written as
Σ_t γ^t E_ρ[V(s_t) − γ V(s_{t+1})], which telescopes over the states of any policy. An episode has T steps and
the phase is observed: V(s_T) = 0, and the sum is exact.

The reward comes last. Q − γ V' depends on all that the policy sees: the arm, the phase, the very
demonstrations. g_ψ(φ(s)) is fitted to it, standardised, by regression on demonstrations and replay.
`reward_fit` in the log is the share of its variance that g explains (R²); what g cannot say is not in the
exported reward. On throws g is the better half: where the policy that Q implies is wrong by a little all
along, the ball goes astray, and the clone optimised on g hits.

What differs from the paper for that: the policy's noise is small from the first round on. With χ² the implied
reward is 4c (d_E − d) / (d_E + d) of demonstrations d_E against replay d at its best, which is flat, at its
end, wherever the replay hardly comes: samples have to land about as near to the target as people do.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from irl_ros.irl.transitions import Transitions
from irl_ros.rewards.reward_net import RewardNet
from irl_ros.rl.agent import Agent
from irl_ros.rl.replay import Replay
from irl_ros.rl.sac import SAC, SACSettings
from irl_ros.rl.task import Task, Trajectories
from irl_ros.settings import at_least
from irl_ros.sim.state import TensorBatch


@dataclass(frozen=True)
class IQLearnSettings:
    iterations: int = 30
    """Rounds."""
    episodes: int = 16
    """Episodes in a round."""
    head_start: int = 10
    """Rounds of Q alone before the first policy step."""
    log_std: float = -3.0
    """Most noise that the policy begins with, where it has a Gaussian's: log σ of its actions."""
    keeps_policy: bool = False
    """Hand on the policy that Q implies. Else it is the one that came, a clone, which is then optimised on g:
    that one hits at times, and has the noise to learn by."""
    chi: float = 0.5
    """c: implied rewards end within ±4c."""
    reward_steps: int = 20
    """Gradient steps a round of g towards Q − γ V'."""
    reward_rate: float = 1e-3
    """Their learning rate."""
    reward_spread: float = 0.4
    """g has this standard deviation where it explains everything: g lies in (−1, 1)."""
    sac: SACSettings = field(
        default_factory=lambda: SACSettings(
            steps=100, learning_rate=3e-4, temperature=0.01, temperature_rate=0.0
        )
    )
    """Its `steps` are those of Q and policy a round, half of its `batch` is demonstrations."""

    def __post_init__(self) -> None:
        at_least(self, 1, "episodes")
        at_least(self, 0, "iterations", "head_start", "reward_steps", "reward_rate")
        for key in ("chi", "reward_spread"):
            if not getattr(self, key) > 0:
                raise ValueError(f"{key}: must be above 0, found {getattr(self, key)}")


@dataclass(frozen=True)
class Steps(TensorBatch):
    """K steps of episodes.

    Attributes:
        observation, next_observation: [K, D].
        features: φ(s), [K, F].
        action: as sampled, [K, A].
        weight: γ^t, [K].
        goes_on: 0 in an episode's last step, else 1, [K].
    """

    observation: Tensor
    next_observation: Tensor
    features: Tensor
    action: Tensor
    weight: Tensor
    goes_on: Tensor

    @classmethod
    def of(cls, made: Trajectories, gamma: float) -> Steps:
        """Every step of whole episodes."""
        flat, t = Transitions.of(made), torch.arange(made.actions.shape[1], device=made.actions.device)
        weight = (gamma**t).to(made.actions).repeat(len(made))
        return cls(flat.observation, flat.next_observation, flat.features, flat.action, weight, flat.goes_on)

    def draw(self, count: int) -> Steps:
        """`count` of them at random, with replacement."""
        return self[torch.randint(len(self.weight), (count,), device=self.weight.device)]


class IQLearn:
    """One Q-function that is reward and value, and the policy it implies.

    Args:
        task: what the policy acts in.
        demonstrations: the expert's episodes.
        policy: π, improved in place.
        reward: g_ψ, fitted to what Q implies.
        settings: see IQLearnSettings.
    """

    def __init__(
        self,
        task: Task,
        demonstrations: Trajectories,
        policy: Agent,
        reward: RewardNet,
        settings: IQLearnSettings,
    ) -> None:
        self.task, self.policy, self.reward, self.settings = task, policy, reward, settings
        sizes = demonstrations.observations.shape[-1], demonstrations.actions.shape[-1]
        self.came = copy.deepcopy(policy.state_dict())
        self.sac = SAC(policy, *sizes, settings.sac)
        self.demonstrations = Steps.of(demonstrations, settings.sac.gamma)
        self.reward_optimizer = torch.optim.Adam(reward.parameters(), lr=settings.reward_rate)
        self.replay: Replay | None = None  # nothing before the first round
        self.round = 0

    @property
    def finished(self) -> bool:
        return self.round >= self.settings.iterations

    def iterate(self) -> dict[str, float]:
        """One round: episodes, K steps of Q and policy (Algorithm 1), g after them; returns figures."""
        s = self.settings
        if self.round == 0 and isinstance(noise := getattr(self.policy, "log_std", None), Tensor):
            noise.data.clamp_(max=s.log_std)
        rollout = self.task.rollout(self.policy, s.episodes)
        self.replay = replay = self.replay.with_more([rollout]) if self.replay else Replay([rollout])
        figures: dict[str, float] = {}
        replayed = Steps.of(replay.rollout.trajectories, s.sac.gamma)
        for _ in range(s.sac.steps):
            expert, other = (x.draw(s.sac.batch // 2) for x in (self.demonstrations, replayed))
            # step 1: Q, up J; step 2: π, by SAC's policy step
            step = self.step_q(expert, other)
            if self.round >= s.head_start:
                step |= self.sac.improve(torch.cat((expert.observation, other.observation)))
            for key, value in step.items():
                figures[key] = figures.get(key, 0.0) + value / s.sac.steps
        # recover a reward: r = Q − γ V'
        figures |= self.fit_reward(replayed)
        self.round += 1
        if self.finished and not s.keeps_policy:
            self.policy.load_state_dict(self.came)
        return figures | rollout.figures

    def q(self, observation: Tensor, action: Tensor) -> Tensor:
        """Q(s, a), [...]: the mean of SAC's twins, an ensemble of two."""
        return self.sac.critic(observation, action).mean(0)

    def value(self, observation: Tensor) -> Tensor:
        """V^π(s) = E_π[Q(s, a)] + α H(π(· | s)), [...], of a policy that is not to learn from it."""
        expected, entropy = self.policy.expectation(observation, lambda a: self.q(observation, a))
        return expected + self.sac.alpha * entropy

    def implied_reward(self, steps: Steps) -> tuple[Tensor, Tensor]:
        """(T^π Q)(s, a) by the s' that came, and V^π(s) − γ V^π(s'), each [K]."""
        v = self.value(steps.observation)
        following = self.settings.sac.gamma * steps.goes_on * self.value(steps.next_observation)
        return self.q(steps.observation, steps.action) - following, v - following

    def objective(self, expert: Steps, other: Steps) -> tuple[Tensor, Tensor]:
        """J(π, Q) in units of a step, and what demonstrated steps are implied to earn, [K]."""
        earned, v_less_next = self.implied_reward(expert)
        earned_other, v_less_next_other = self.implied_reward(other)
        demonstrated = (expert.weight * earned).mean()
        weight = torch.cat((expert.weight, other.weight))
        start = (weight * torch.cat((v_less_next, v_less_next_other))).mean()
        square = (weight * torch.cat((earned, earned_other)).square()).mean()
        return demonstrated - start - square / (4 * self.settings.chi), earned.detach()

    def step_q(self, expert: Steps, other: Steps) -> dict[str, float]:
        """One gradient step of Q up J."""
        objective, earned = self.objective(expert, other)
        self.sac.critic_optimizer.zero_grad()
        (-objective).backward()
        self.sac.critic_optimizer.step()
        return {"objective": float(objective.detach()), "implied_reward": float(earned.mean())}

    def fit_reward(self, replayed: Steps) -> dict[str, float]:
        """Gradient steps of g towards the implied reward, standardised; returns R² for the log."""
        s, errors, spreads = self.settings, [], []
        for _ in range(s.reward_steps):
            batch = Steps.cat([x.draw(s.sac.batch) for x in (self.demonstrations, replayed)])
            with torch.no_grad():
                implied = self.implied_reward(batch)[0]
                wanted = s.reward_spread * (implied - implied.mean()) / implied.std().clamp_min(1e-6)
            error = (self.reward.of_features(batch.features, batch.action) - wanted).square().mean()
            self.reward_optimizer.zero_grad()
            error.backward()
            self.reward_optimizer.step()
            errors.append(float(error.detach()))
            spreads.append(float(wanted.var()))
        return {"reward_fit": 1 - sum(errors) / sum(spreads)} if errors else {}

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs to go on as if never stopped."""
        return {
            "sac": self.sac.state_dict(),
            "reward": dict(self.reward.state_dict()),
            "reward_optimizer": self.reward_optimizer.state_dict(),
            "replay": None if self.replay is None else self.replay.state_dict(),
            "round": self.round,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sac.load_state_dict(state["sac"])
        self.reward.load_state_dict(state["reward"])
        self.reward_optimizer.load_state_dict(state["reward_optimizer"])
        if state["replay"] is not None:
            # one episode shows what kind of states the task keeps
            self.replay = Replay.load(state["replay"], self.task.rollout(self.policy, 1))
        self.round = state["round"]
