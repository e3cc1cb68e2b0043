"""What algorithms need of a stochastic policy, whatever its actions are: Actor to act, Agent to learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor, nn


class Actor(Protocol):
    """π(a | s) on observations [..., D], with actions [..., A]; in fact always an nn.Module."""

    def sample(self, observation: Tensor) -> Tensor:
        """An action [..., A]."""

    def mode(self, observation: Tensor) -> Tensor:
        """The action [..., A] that a robot executes."""

    def log_prob(self, observation: Tensor, action: Tensor) -> Tensor:
        """log π(a | s), [...], of actions as sampled (before the world clips them)."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


class Agent(Actor, Protocol):
    """An Actor π_θ that gradients improve."""

    def log_prob_entropy(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """log π(a | s) and the entropy of π(· | s), each [...]."""

    def expectation(self, observation: Tensor, of: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """E_π[of(a)] and the entropy of π(· | s), each [...], with gradients into the policy.

        One reparametrised sample of what is continuous in an action, an exact sum over what is discrete.

        Args:
            observation: [..., D].
            of: actions [..., A] → [...]; called with actions that may have further leading dimensions.
        """

    def jitter(self, action: Tensor) -> Tensor:
        """The action [..., A] with the policy's own exploration noise added, where it has any."""

    def keep_within_bounds(self) -> None:
        """For after a gradient step: bring parameters back that have left their bounds."""

    def untrained(self) -> Agent:
        """Another of the same kind and size that sees the same, scaled the same, and has learned nothing."""

    def value_network(self) -> nn.Module:
        """An untrained network [..., D] → [..., 1] of the policy's own size, on its device."""

    def parameters(self) -> Any: ...
