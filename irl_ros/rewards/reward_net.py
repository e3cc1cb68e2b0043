"""g_ψ: the network of a learned reward, on features alone. What features are is the task's affair."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from irl_ros.errors import unknown_name
from irl_ros.networks import mlp
from irl_ros.rewards.features import FEATURES

INPUTS = ("state", "state-action")
STRUCTURES = ("separate", "joint")
REST = 0.1
"""Scale of what a ball that lies is worth beside one that could lie there."""


@dataclass(frozen=True)
class RewardSettings:
    features: str = "distance"
    """What g sees of a throw: distance or offset (rewards/features.py)."""
    structure: str = "separate"
    """separate: what g thinks of the ball's place is the same in every phase, and lying is worth more than
    not lying yet, u(place) + w landed, w > 0; joint: one network of everything. Tasks that do not tell a
    place from the rest are always joint."""
    inputs: str = "state"
    """state: g(s), which can be told from the dynamics (Fu et al. 2018, §6); state-action: g(s, a)."""
    hidden: tuple[int, ...] = (32, 32)
    """Units of each hidden layer. Small on purpose: twenty throws say little about fine structure."""

    def __post_init__(self) -> None:
        choices_of = {"features": FEATURES, "structure": STRUCTURES, "inputs": INPUTS}
        for name, choices in choices_of.items():
            if getattr(self, name) not in choices:
                problem, cure = unknown_name(name, getattr(self, name), choices)
                raise ValueError(f"{name}: {problem}; {cure}")


class RewardNet(nn.Module):
    """g_ψ in (−1, 1): tanh(u(place) + w landed) or tanh(u(φ)), u a small MLP.

    Bounded, so that no corner of the state space can promise more than the best the demonstrations showed.
    Separate, so that what demonstrations say of one phase holds in all: how much nearer is better is seen
    where balls lie, and a ball in hand is judged by the same measure. That a ball which lies is worth more
    than one that could lie there is believed beforehand; how much more, w = REST softplus(…), is learned.

    Args:
        feature_size: F.
        action_size: A; read where the settings ask for state-action inputs.
        settings: see RewardSettings.
        place: how many of the first features are of the place; the last one is then the landed flag. None:
            not told apart.
    """

    def __init__(
        self,
        feature_size: int,
        action_size: int,
        settings: RewardSettings | None = None,
        place: int | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings or RewardSettings()
        self.sees_action = self.settings.inputs == "state-action"
        self.action_size = action_size
        self.place = place if self.settings.structure == "separate" else None
        inputs = feature_size if self.place is None else self.place
        inputs += action_size if self.sees_action else 0
        self.net = mlp([inputs, *self.settings.hidden, 1], last_gain=0.1)
        if self.place is not None:
            self.rest = nn.Parameter(torch.zeros(()))

    def of_features(self, features: Tensor, actions: Tensor | None = None) -> Tensor:
        """g for features [..., F] and actions [..., A] (clipped to [−1, 1]; none given: no motion), [...]."""
        seen = features if self.place is None else features[..., : self.place]
        if self.sees_action:
            if actions is None:
                actions = features.new_zeros((*features.shape[:-1], self.action_size))
            seen = torch.cat((seen, actions.clamp(-1.0, 1.0)), -1)
        value = self.net(seen)[..., 0]
        if self.place is not None:
            value = value + REST * functional.softplus(self.rest) * features[..., -1]
        return torch.tanh(value)
