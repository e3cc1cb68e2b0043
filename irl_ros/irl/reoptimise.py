"""Find a policy for a frozen reward: polish after the game, transfer into a changed world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from irl_ros.rewards.shaping import ReleasePotential
from irl_ros.rl.policy import Policy
from irl_ros.rl.ppo import PPO, PPOSettings, Starts, collect
from irl_ros.settings import at_least
from irl_ros.sim.rollout import Simulator
from irl_ros.sim.state import State


@dataclass(frozen=True)
class ReoptimiseSettings:
    iterations: int = 100
    """Policy steps."""
    settle: float = 0.5
    """Share of the iterations, at the end, over which policy steps shrink to nothing."""
    ppo: PPOSettings = field(default_factory=lambda: PPOSettings(throws=512, entropy=0.001))

    def __post_init__(self) -> None:
        at_least(self, 0, "iterations", "settle")


class Reoptimisation:
    """Maximum-entropy RL on a reward that does not change.

    Args:
        simulator: where the policy throws.
        reward: State → [...].
        policy: improved in place.
        settings: see ReoptimiseSettings.
        starts: joint positions and velocities that throws start from, each [M, n]; default: home, at rest.
    """

    def __init__(
        self,
        simulator: Simulator,
        reward: Callable[[State], Tensor],
        policy: Policy,
        settings: ReoptimiseSettings,
        starts: Starts = None,
    ) -> None:
        self.simulator, self.reward, self.policy, self.settings = simulator, reward, policy, settings
        self.starts = starts
        self.ppo = PPO(policy, settings.ppo)
        self.release = ReleasePotential(simulator.world, reward, settings.ppo.gamma)
        self.round = 0

    @property
    def finished(self) -> bool:
        return self.round >= self.settings.iterations

    def iterate(self) -> dict[str, float]:
        """One policy step; returns figures for the log."""
        s = self.settings
        rollout = collect(self.simulator, self.policy, s.ppo.throws, self.starts)
        states = rollout.throws.states
        with torch.no_grad():
            reward = self.reward(states[:, :-1])
        left = 1 - self.round / s.iterations
        self.ppo.target_kl = s.ppo.target_kl * min(1.0, left / s.settle) if s.settle > 0 else s.ppo.target_kl
        figures = self.ppo.update(rollout, reward + self.release(states))
        self.round += 1
        return figures | {"reward_mean": float(reward.mean())} | rollout.hits

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs to go on as if never stopped."""
        return {"ppo": self.ppo.state_dict(), "round": self.round}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.ppo.load_state_dict(state["ppo"])
        self.round = state["round"]
