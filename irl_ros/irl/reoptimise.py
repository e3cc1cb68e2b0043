"""Find a policy for a frozen reward: polish after the game, transfer into a changed world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from irl_ros.rewards.reward_net import RewardNet
from irl_ros.rl.agent import Agent
from irl_ros.rl.ppo import PPO, PPOSettings
from irl_ros.rl.task import Rollout, Task
from irl_ros.settings import at_least

FAR_SIGHTED = 0.98
"""λ of the advantages here. What a throw earns, it earns long after the swing, and there is no game that
changes the reward meanwhile: less bias pays for the variance."""


@dataclass(frozen=True)
class ReoptimiseSettings:
    iterations: int = 100
    """Policy steps."""
    settle: float = 0.5
    """Share of the iterations, at the end, over which policy steps shrink to nothing."""
    ppo: PPOSettings = field(
        default_factory=lambda: PPOSettings(episodes=512, entropy=0.001, gae_lambda=FAR_SIGHTED)
    )

    def __post_init__(self) -> None:
        at_least(self, 0, "iterations", "settle")


class Reoptimisation:
    """Maximum-entropy RL on a reward that does not change.

    Args:
        task: what to do.
        reward: a learned one, or a function of the task's own states [N, T] → [N, T] (the true reward).
        policy: improved in place.
        settings: see ReoptimiseSettings.
    """

    def __init__(
        self,
        task: Task,
        reward: RewardNet | Callable[[Any], Tensor],
        policy: Agent,
        settings: ReoptimiseSettings,
    ) -> None:
        self.task, self.reward, self.policy, self.settings = task, reward, policy, settings
        self.ppo = PPO(policy, settings.ppo)
        self.round = 0

    @property
    def finished(self) -> bool:
        return self.round >= self.settings.iterations

    def iterate(self) -> dict[str, float]:
        """One policy step; returns figures for the log."""
        s = self.settings
        rollout = self.task.rollout(self.policy, s.ppo.episodes)
        reward = rewards_of(rollout, self.reward)
        left = 1 - self.round / s.iterations
        self.ppo.target_kl = s.ppo.target_kl * min(1.0, left / s.settle) if s.settle > 0 else s.ppo.target_kl
        figures = self.ppo.update(rollout, reward + self.task.shaping(rollout, self.reward, s.ppo.gamma))
        self.round += 1
        return figures | {"reward_mean": float(reward.mean())} | rollout.figures

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs to go on as if never stopped."""
        return {"ppo": self.ppo.state_dict(), "round": self.round}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.ppo.load_state_dict(state["ppo"])
        self.round = state["round"]


@torch.no_grad()
def rewards_of(rollout: Rollout, reward: RewardNet | Callable[[Any], Tensor]) -> Tensor:
    """The reward of every step of a rollout, [N, T]."""
    if isinstance(reward, RewardNet):
        return reward.of_features(rollout.trajectories.features[:, :-1], rollout.trajectories.actions)
    return reward(rollout.states[:, :-1])
