"""Soft actor-critic (Haarnoja et al. 2018, "SAC algorithms and applications") on replayed episodes."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from irl_ros.networks import mlp
from irl_ros.rl.agent import Agent
from irl_ros.rl.task import Rollout
from irl_ros.settings import at_least


@dataclass(frozen=True)
class SACSettings:
    steps: int = 100
    """Gradient steps an update, on critic, policy and temperature alike."""
    batch: int = 256
    """Transitions in a gradient step."""
    gamma: float = 0.99
    """Discount; the reward's shaping uses the same."""
    hidden: tuple[int, ...] = (128, 128)
    """Units of each hidden layer of Q."""
    learning_rate: float = 1e-3
    """Of the critic."""
    policy_learning_rate: float = 3e-4
    temperature: float = 0.01
    """First α, in units of the spread of returns (IQ-Learn, which has no returns: of Q)."""
    temperature_rate: float = 1e-3
    """Learning rate of log α; 0 keeps α."""
    target_entropy: float = -0.5
    """Wanted entropy of π(· | s), nats an action dimension."""
    target_share: float = 0.3
    """Wanted entropy of one choice among several, which is never below 0, as a share of the most there is."""
    tau: float = 0.01
    """Share of the critic that enters its target after each step. (IQ-Learn's steps have no target.)"""
    outside: float = 1.0
    """Price of an action's square distance from the box the world clips it to."""

    def __post_init__(self) -> None:
        at_least(self, 1, "steps", "batch")
        for key in ("gamma", "learning_rate", "policy_learning_rate", "temperature_rate", "outside"):
            at_least(self, 0, key)
        if not self.temperature > 0:
            raise ValueError(f"temperature: must be above 0, found {self.temperature}")
        for key in ("gamma", "tau", "target_share"):
            if not 0 <= getattr(self, key) <= 1:
                raise ValueError(f"{key}: must be between 0 and 1, found {getattr(self, key)}")


class Critic(nn.Module):
    """Q_1 and Q_2 of observations [..., D] and actions [..., A], clipped to ±1 → [2, ...].

    Args:
        observation_size: D.
        action_size: A.
        hidden: units of each hidden layer.
    """

    def __init__(self, observation_size: int, action_size: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        sizes = [observation_size + action_size, *hidden, 1]
        twins = [mlp(sizes, last_gain=0.1) for _ in range(2)]
        layers = [[x for x in q if isinstance(x, nn.Linear)] for q in twins]
        # both at once: networks this small cost what their operations cost to start
        self.weights = nn.ParameterList(
            torch.stack([a.weight.T, b.weight.T]).detach() for a, b in zip(*layers)
        )
        self.biases = nn.ParameterList(
            torch.stack([a.bias, b.bias])[:, None].detach() for a, b in zip(*layers)
        )

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        observation = observation.expand(*action.shape[:-1], -1)
        seen = torch.cat((observation, action.clamp(-1.0, 1.0)), -1)
        x = seen.flatten(0, -2).expand(2, -1, -1)
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            x = torch.baddbmm(bias, x, weight)
            if i < last:
                x = torch.relu(x)
        return x.reshape(2, *seen.shape[:-1])


class SAC:
    """Improves a policy on rewards of episodes that any policy may have made.

    What differs from the paper:

    * π is the agent's own; actions are sampled unbounded and clipped by the world, not squashed. Q is a
      function of the clipped action, so outside the box it is flat; a small price on what lies outside brings
      means back. Entropy is that of the unclipped Gaussian.
    * The policy climbs the mean of the twins, the target takes the lower one: the lower one shuns whatever is
      rare in the replay, and the step in which a ball is let go is.
    * Expectations over discrete parts of an action (a release) and entropies are exact: `Agent.expectation`.
    * Episodes have a fixed length and the phase is observed, so after step T nothing is worth anything.
    * Rewards are divided by the spread of returns: α and learning rates mean the same on every task.

    Args:
        policy: θ, improved in place.
        observation_size, action_size: D and A.
        settings: see SACSettings.
    """

    def __init__(
        self, policy: Agent, observation_size: int, action_size: int, settings: SACSettings | None = None
    ) -> None:
        self.policy, self.settings = policy, settings or SACSettings()
        s, device = self.settings, next(iter(policy.parameters())).device
        self.critic = Critic(observation_size, action_size, s.hidden).to(device)
        self.target = copy.deepcopy(self.critic).requires_grad_(False)
        self.log_alpha = nn.Parameter(torch.tensor(s.temperature, device=device).log())
        most = getattr(policy, "most_entropy", None)
        self.target_entropy = s.target_entropy * action_size if most is None else s.target_share * most
        self.share = 1.0
        self.return_scale = torch.zeros((), device=device)  # 0: no returns seen yet
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=s.learning_rate, fused=True)
        self.policy_optimizer = torch.optim.Adam(policy.parameters(), lr=s.policy_learning_rate, fused=True)
        self.alpha_optimizer = torch.optim.Adam([self.log_alpha], lr=s.temperature_rate)

    @property
    def alpha(self) -> Tensor:
        """The temperature, in units of the spread of returns."""
        return self.share * self.log_alpha.detach().exp()

    def settle(self, share: float) -> None:
        """Let the policy learn at `share` of its rate, at `share` of the temperature it has come to."""
        self.policy_optimizer.param_groups[0]["lr"] = share * self.settings.policy_learning_rate
        self.share = share

    def update(self, rollout: Rollout, rewards: Tensor, improve: bool = True) -> dict[str, float]:
        """Gradient steps on replayed episodes; returns figures for the log.

        Args:
            rollout: N episodes.
            rewards: what they are worth today, [N, T].
            improve: also improve the policy; else the critic alone learns what the policy is worth.
        """
        s = self.settings
        self._rescale(rewards)
        rewards = rewards / self.return_scale
        seen, actions = rollout.trajectories.observations, rollout.trajectories.actions
        figures: dict[str, float] = {}
        for _ in range(s.steps):
            n = torch.randint(rewards.shape[0], (s.batch,), device=rewards.device)
            t = torch.randint(rewards.shape[1], (s.batch,), device=rewards.device)
            goes_on = (t < rewards.shape[1] - 1).to(rewards)
            loss = self.evaluate(seen[n, t], actions[n, t], rewards[n, t], seen[n, t + 1], goes_on)
            step = {"critic_loss": loss}
            if improve:
                step |= self.improve(seen[n, t])
            with torch.no_grad():
                for target, new in zip(self.target.parameters(), self.critic.parameters()):
                    target.lerp_(new, s.tau)
            for key, value in step.items():
                figures[key] = figures.get(key, 0.0) + value / s.steps
        return figures | {"alpha": float(self.alpha)}

    def soft_value(self, critic: Critic, observation: Tensor) -> Tensor:
        """V(s) = E_π[min Q(s, a)] + α H(π(· | s)), [...] (eq. 3)."""
        expected, entropy = self.policy.expectation(observation, lambda a: critic(observation, a).amin(0))
        return expected + self.alpha * entropy

    def evaluate(
        self, observation: Tensor, action: Tensor, reward: Tensor, following: Tensor, goes_on: Tensor
    ) -> float:
        """One step of the critic to r + γ V̄(s') (eqs. 5 and 6); returns the loss."""
        with torch.no_grad():
            wanted = reward + self.settings.gamma * goes_on * self.soft_value(self.target, following)
        loss = (self.critic(observation, action) - wanted).square().mean()
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        return float(loss.detach())

    def improve(self, observation: Tensor) -> dict[str, float]:
        """One step of the policy (eqs. 7 to 9) and of the temperature (eqs. 17 and 18)."""

        def worth(action: Tensor) -> Tensor:
            outside = (action - action.clamp(-1.0, 1.0)).square().sum(-1)
            return self.critic(observation, action).mean(0) - self.settings.outside * outside

        self.critic.requires_grad_(False)
        expected, entropy = self.policy.expectation(observation, worth)
        loss = -(expected + self.alpha * entropy).mean()
        self.policy_optimizer.zero_grad()
        loss.backward()
        self.policy_optimizer.step()
        self.policy.keep_within_bounds()
        self.critic.requires_grad_(True)
        # where actions do nothing entropy is 0 by definition, and says nothing about the policy
        counts = (entropy.detach() != 0).sum().clamp_min(1)
        surplus = float(entropy.detach().sum() / counts) - self.target_entropy
        if self.share == 1.0:
            self.log_alpha.grad = torch.full_like(self.log_alpha, surplus)
            self.alpha_optimizer.step()
        return {"value": float(expected.detach().mean()), "entropy": surplus + self.target_entropy}

    @torch.no_grad()
    def _rescale(self, rewards: Tensor) -> None:
        to_go = torch.zeros_like(rewards)
        total = torch.zeros_like(rewards[:, 0])
        for t in reversed(range(rewards.shape[1])):
            total = rewards[:, t] + self.settings.gamma * total
            to_go[:, t] = total
        spread = to_go.std().clamp_min(1e-3)
        self.return_scale = spread if self.return_scale == 0 else torch.lerp(self.return_scale, spread, 0.2)

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs to go on as if never stopped."""
        return {
            "policy": dict(self.policy.state_dict()),
            "critic": dict(self.critic.state_dict()),
            "target": dict(self.target.state_dict()),
            "log_alpha": self.log_alpha.detach(),
            "share": self.share,
            "return_scale": self.return_scale,
            "critic_optimizer": self.critic_optimizer.state_dict(),
            "policy_optimizer": self.policy_optimizer.state_dict(),
            "alpha_optimizer": self.alpha_optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.policy.load_state_dict(state["policy"])
        self.critic.load_state_dict(state["critic"])
        self.target.load_state_dict(state["target"])
        self.log_alpha.data.copy_(state["log_alpha"])
        self.share = state["share"]
        self.return_scale = state["return_scale"].to(self.return_scale.device)
        self.critic_optimizer.load_state_dict(state["critic_optimizer"])
        self.policy_optimizer.load_state_dict(state["policy_optimizer"])
        self.alpha_optimizer.load_state_dict(state["alpha_optimizer"])
