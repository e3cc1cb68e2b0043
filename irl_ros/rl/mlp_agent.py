"""What the agents of Gymnasium tasks share: a small network, idle states, a file of weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from irl_ros.networks import mlp, save_weights, weights_sha256
from irl_ros.settings import as_dict, save_yaml


@dataclass(frozen=True)
class AgentSettings:
    hidden: tuple[int, ...] = (64, 64)
    """Units of each hidden layer."""
    log_std: float = -0.5
    """Initial log standard deviation of continuous actions, where the bounds of the task are ±1."""
    log_std_bounds: tuple[float, float] = (-2.5, 0.5)
    """Kept within: near-deterministic demonstrations would drive it without bound."""

    def __post_init__(self) -> None:
        for i, units in enumerate(self.hidden):
            if units < 1:
                raise ValueError(f"hidden[{i}]: must be at least 1, found {units}")
        if not self.log_std_bounds[0] <= self.log_std_bounds[1]:
            raise ValueError(f"log_std_bounds: lower end is above upper end, found {self.log_std_bounds}")


class MlpAgent(nn.Module):
    """The part of an `Agent` that does not depend on what its actions are.

    Args:
        observation_size: D.
        outputs: of the network.
        settings: see AgentSettings.
        idle: index of the observation's entry that is 1 where actions no longer do anything, else 0 (more or
            less: cloning adds noise); log π and entropy are 0 there. None: actions always count.
    """

    kind: str

    def __init__(
        self, observation_size: int, outputs: int, settings: AgentSettings, idle: int | None = None
    ) -> None:
        super().__init__()
        self.observation_size, self.outputs = observation_size, outputs
        self.settings, self.idle = settings, idle
        self.net = mlp([observation_size, *settings.hidden, outputs], last_gain=0.01)

    def counting(self, observation: Tensor, value: Tensor) -> Tensor:
        """`value` [...] or [..., A] where actions count, 0 where they do not; observation [..., D]."""
        if self.idle is None:
            return value
        idle = observation[..., self.idle] > 0.5
        idle = idle if idle.ndim == value.ndim else idle[..., None]
        return torch.where(idle, torch.zeros_like(value), value)

    def sample(self, observation: Tensor) -> Tensor:
        """An action [..., A]."""
        raise NotImplementedError

    def mode(self, observation: Tensor) -> Tensor:
        """The likeliest action [..., A]."""
        raise NotImplementedError

    def jitter(self, action: Tensor) -> Tensor:
        """The action [..., A] with the agent's own noise added, where it has any."""
        raise NotImplementedError

    def log_prob(self, observation: Tensor, action: Tensor) -> Tensor:
        """log π(a | s), [...]; 0 where actions do not count."""
        raise NotImplementedError

    def log_prob_entropy(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """log π(a | s) and the entropy of π(· | s), each [...]; 0 where actions do not count."""
        raise NotImplementedError

    def expectation(self, observation: Tensor, of: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """See `Agent`."""
        raise NotImplementedError

    def keep_within_bounds(self) -> None:
        """For after a gradient step: nothing to bring back, unless an agent has bounds."""

    def untrained(self) -> MlpAgent:
        """Another of the same kind and size that has learned nothing."""
        other = type(self)(self.observation_size, self.outputs, self.settings, self.idle)
        return other.to(next(self.parameters()).device)

    def value_network(self) -> nn.Module:
        """An untrained value function of the agent's size, [..., D] → [..., 1]."""
        device = next(self.parameters()).device
        return mlp([self.observation_size, *self.settings.hidden, 1], last_gain=0.1).to(device)

    def noisier(self, factor: float) -> MlpAgent:
        """A copy with `factor` times the noise (within its bounds)."""
        raise NotImplementedError

    def aimless(self) -> MlpAgent:
        """A copy that acts at random whatever it sees."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write policy.safetensors and policy.yaml."""
        save_weights(self, folder / "policy.safetensors")
        description: dict[str, Any] = {
            "kind": self.kind,
            "settings": as_dict(self.settings),
            "observation_size": self.observation_size,
            "outputs": self.outputs,
            "sha256": weights_sha256(self),
        }
        save_yaml(folder / "policy.yaml", description)  # last: where it is, the bundle is whole
