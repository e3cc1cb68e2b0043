"""Proximal policy optimisation (Schulman et al. 2017) with an entropy term, on batched throws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from irl_ros.networks import mlp
from irl_ros.rl.policy import Policy
from irl_ros.settings import at_least
from irl_ros.sim.rollout import Simulator
from irl_ros.sim.state import State, Throws

Starts = tuple[Tensor, Tensor] | None


@dataclass(frozen=True)
class PPOSettings:
    throws: int = 256
    """Throws an iteration (N)."""
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
    """Adam's first rate; adapted to hold `target_kl`."""
    target_kl: float = 0.015
    """Wanted KL(old ‖ new) a policy step."""
    entropy: float = 0.003
    """Weight of the entropy term."""
    effort: float = 0.01
    """Cost of commanded velocity after the release, a step: an arm that has thrown comes to rest."""
    value_coefficient: float = 1.0
    max_grad_norm: float = 1.0

    def __post_init__(self) -> None:
        at_least(self, 1, "throws", "epochs", "minibatches")
        at_least(self, 0, "gamma", "gae_lambda", "clip", "learning_rate", "target_kl", "max_grad_norm")
        for key in ("gamma", "gae_lambda"):
            if getattr(self, key) > 1:
                raise ValueError(f"{key}: must be at most 1, found {getattr(self, key)}")


@dataclass(frozen=True)
class Rollout:
    """N throws as the learner sees them.

    Attributes:
        throws: states [N, T + 1], actions [N, T, n + 1] as sampled.
        observations: [N, T + 1, D].
        log_prob: of the actions under the policy that threw, [N, T].
    """

    throws: Throws
    observations: Tensor
    log_prob: Tensor

    @property
    def hits(self) -> dict[str, float]:
        """Hit rate of the exploring policy, for the log. Learning does not use it."""
        return {"explore_hit_10cm": float((self.throws.outcome.error <= 0.10).float().mean())}


@torch.no_grad()
def collect(
    simulator: Simulator,
    policy: Policy,
    count: int,
    starts: Starts = None,
) -> Rollout:
    """Throw `count` times with exploration noise, at targets the world draws.

    Args:
        simulator: where.
        policy: π_θ.
        count: N.
        starts: joint positions and velocities to draw starts from, each [M, n]; default: home, at rest.

    Raises:
        FloatingPointError: the world or the policy gave a value that is not finite.
    """
    if starts is not None:
        chosen = torch.randint(len(starts[0]), (count,))
        starts = (starts[0][chosen], starts[1][chosen])
    state = simulator.reset(simulator.world.sample_targets(count), starts)
    states, observations, actions, log_prob = [state], [policy.observation(state)], [], []
    for _ in range(simulator.world.horizon):
        action = policy.sample(observations[-1])
        log_prob.append(policy.log_prob(observations[-1], action, state.held))
        state = simulator.step(action)
        actions.append(action)
        states.append(state)
        observations.append(policy.observation(state))
    throws = Throws(State.stack(states, 1), torch.stack(actions, 1), simulator.outcome())
    if not torch.isfinite(observations[-1]).all():
        raise FloatingPointError("a throw ended in values that are not finite: learning has diverged")
    return Rollout(throws, torch.stack(observations, 1), torch.stack(log_prob, 1))


class PPO:
    """Improves a policy on rewards of its own rollouts.

    Args:
        policy: θ, improved in place.
        settings: see PPOSettings.
    """

    def __init__(self, policy: Policy, settings: PPOSettings | None = None) -> None:
        self.policy, self.settings = policy, settings or PPOSettings()
        hidden = policy.settings.hidden
        device = policy.log_std.device
        self.value = mlp([policy.observation.size, *hidden, 1], last_gain=0.1).to(device)
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
            values = self.value(rollout.observations)[..., 0] * self.return_scale
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
        held = rollout.throws.states.held[:, :-1]
        effort = rollout.throws.actions[..., :-1].clamp(-1, 1).square().mean(-1)
        rewards = rewards - s.effort * effort * (~held)
        advantages, returns = self.advantages(rollout, rewards)
        spread = returns.std().clamp_min(1e-3)
        self.return_scale = spread if self.return_scale == 0 else torch.lerp(self.return_scale, spread, 0.2)
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)

        def flat(x: Tensor) -> Tensor:
            return x.reshape(-1, *x.shape[2:])

        data = tuple(
            flat(x)
            for x in (
                rollout.observations[:, :-1],
                rollout.throws.actions,
                held,
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
        self, obs: Tensor, action: Tensor, held: Tensor, old: Tensor, advantage: Tensor, target: Tensor
    ) -> tuple[float, float, float, float]:
        s = self.settings
        new, entropy = self.policy.log_prob_entropy(obs, action, held)
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
