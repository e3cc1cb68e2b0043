"""Proximal policy optimisation (Schulman et al. 2017) with an entropy term, on batched episodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from irl_ros.rl.agent import Agent
from irl_ros.rl.task import Rollout
from irl_ros.settings import at_least


@dataclass(frozen=True)
class PPOSettings:
    episodes: int = 256
    """Episodes an iteration (N)."""
    epochs: int = 4
    """Passes over a batch."""
    minibatches: int = 8
    """Updates a pass."""
    gamma: float = 0.99
    """Discount; the reward's shaping uses the same."""
    gae_lambda: float = 0.95
    """λ of generalised advantage estimation (Schulman et al. 2016)."""
    clip: float = 0.2
    """ε of the clipped objective (eq. 7)."""
    learning_rate: float = 1e-3
    """Adam's first rate; adapted, from 1e-5 to 3e-3, to hold `target_kl`."""
    target_kl: float = 0.015
    """Wanted KL(old ‖ new) a policy step."""
    entropy: float = 0.003
    """Weight of the entropy term, beside advantages of unit variance."""
    value_coefficient: float = 1.0
    """Weight of the value function's square error."""
    max_grad_norm: float = 1.0
    """Longer gradients are shortened to this."""

    def __post_init__(self) -> None:
        at_least(self, 1, "episodes", "epochs", "minibatches")
        at_least(self, 0, "gamma", "gae_lambda", "clip", "learning_rate", "target_kl", "max_grad_norm")
        for key in ("gamma", "gae_lambda"):
            if getattr(self, key) > 1:
                raise ValueError(f"{key}: must be at most 1, found {getattr(self, key)}")


class PPO:
    """Improves a policy on rewards of its own rollouts.

    Args:
        policy: θ, improved in place.
        settings: see PPOSettings.
    """

    def __init__(self, policy: Agent, settings: PPOSettings | None = None) -> None:
        self.policy, self.settings = policy, settings or PPOSettings()
        self.value = policy.value_network()
        device = next(self.value.parameters()).device
        self.optimizer = torch.optim.Adam(
            [*policy.parameters(), *self.value.parameters()], lr=self.settings.learning_rate
        )
        self.return_scale = torch.zeros((), device=device)  # 0: no returns seen yet
        self.target_kl = self.settings.target_kl

    def advantages(self, rollout: Rollout, rewards: Tensor) -> tuple[Tensor, Tensor]:
        """GAE advantages and value targets, [N, T].

        The horizon is part of the task and the phase is observed, so nothing is worth anything after step T.
        """
        s = self.settings
        with torch.no_grad():
            values = self.value(rollout.trajectories.observations)[..., 0] * self.return_scale
        values[:, -1] = 0.0
        advantage = torch.zeros_like(values[:, 0])
        advantages = torch.zeros_like(rewards)
        for t in reversed(range(rewards.shape[1])):
            delta = rewards[:, t] + s.gamma * values[:, t + 1] - values[:, t]
            advantage = delta + s.gamma * s.gae_lambda * advantage
            advantages[:, t] = advantage
        return advantages, advantages + values[:, :-1]

    def update(self, rollout: Rollout, rewards: Tensor) -> dict[str, float]:
        """One policy step on rewards [N, T]. Returns figures for the log."""
        s = self.settings
        advantages, returns = self.advantages(rollout, rewards)
        spread = returns.std().clamp_min(1e-3)
        self.return_scale = spread if self.return_scale == 0 else torch.lerp(self.return_scale, spread, 0.2)
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)

        def flat(x: Tensor) -> Tensor:
            return x.reshape(-1, *x.shape[2:])

        data = tuple(
            flat(x)
            for x in (
                rollout.trajectories.observations[:, :-1],
                rollout.trajectories.actions,
                rollout.log_prob,
                advantages,
                returns / self.return_scale,
            )
        )
        size = data[0].shape[0] // s.minibatches
        kl, policy_loss, value_loss, entropy = 0.0, 0.0, 0.0, 0.0
        for _ in range(s.epochs):
            order = torch.randperm(data[0].shape[0], device=data[0].device)
            kls = []
            for i in range(s.minibatches):
                batch = [x[order[i * size : (i + 1) * size]] for x in data]
                kls.append(self._step(*batch))
            kl, policy_loss, value_loss, entropy = (sum(x) / len(kls) for x in zip(*kls, strict=True))
            self._adapt(kl)
        return {
            "kl": kl,
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": entropy,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "return": float(rewards.sum(1).mean()),
        }

    def _step(
        self, obs: Tensor, action: Tensor, old: Tensor, advantage: Tensor, target: Tensor
    ) -> tuple[float, float, float, float]:
        s = self.settings
        new, entropy = self.policy.log_prob_entropy(obs, action)
        log_ratio = new - old
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1 - s.clip, 1 + s.clip)
        policy_loss = -torch.minimum(ratio * advantage, clipped * advantage).mean()  # eq. 7
        value_loss = (self.value(obs)[..., 0] - target).square().mean()
        loss = policy_loss + s.value_coefficient * value_loss - s.entropy * entropy.mean()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([*self.policy.parameters(), *self.value.parameters()], s.max_grad_norm)
        self.optimizer.step()
        self.policy.keep_within_bounds()
        with torch.no_grad():
            kl = (ratio - 1 - log_ratio).mean()  # Schulman's k3 estimate
        return tuple(float(x.detach()) for x in (kl, policy_loss, value_loss, entropy.mean()))  # type: ignore[return-value]

    def _adapt(self, kl: float) -> None:
        group = self.optimizer.param_groups[0]
        if kl > 2.0 * self.target_kl:
            group["lr"] = max(group["lr"] / 1.5, 1e-5)
        elif kl < 0.5 * self.target_kl:
            group["lr"] = min(group["lr"] * 1.5, 3e-3)

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs to go on as if never stopped."""
        return {
            "policy": dict(self.policy.state_dict()),
            "value": dict(self.value.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "return_scale": self.return_scale,
            "target_kl": self.target_kl,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.policy.load_state_dict(state["policy"])
        self.value.load_state_dict(state["value"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.return_scale = state["return_scale"].to(self.return_scale.device)
        self.target_kl = state["target_kl"]
