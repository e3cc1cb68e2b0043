"""g_ψ: the network of a learned reward, on features alone. What features are is the task's affair."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from irl_ros.errors import unknown_name
from irl_ros.networks import mlp
from irl_ros.rewards.features import FEATURES

INPUTS = ("state", "state-action")


@dataclass(frozen=True)
class RewardSettings:
    features: str = "distance"
    """What g sees of a throw: distance or offset (rewards/features.py)."""
    inputs: str = "state"
    """state: g(s), which can be told from the dynamics (Fu et al. 2018, §6); state-action: g(s, a)."""
    hidden: tuple[int, ...] = (32, 32)
    """Units of each hidden layer. Small on purpose: twenty throws say little about fine structure."""

    def __post_init__(self) -> None:
        for name, choices in (("features", FEATURES), ("inputs", INPUTS)):
            if getattr(self, name) not in choices:
                problem, cure = unknown_name(name, getattr(self, name), choices)
                raise ValueError(f"{name}: {problem}; {cure}")


class RewardNet(nn.Module):
    """g_ψ = tanh(MLP(φ(s))), or of φ(s) and a, in (−1, 1).

    Bounded, so that no corner of the state space can promise more than the best the demonstrations showed.

    Args:
        feature_size: F.
        action_size: A; read where the settings ask for state-action inputs.
        settings: see RewardSettings.
    """

    def __init__(self, feature_size: int, action_size: int, settings: RewardSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or RewardSettings()
        self.sees_action = self.settings.inputs == "state-action"
        self.action_size = action_size
        inputs = feature_size + (action_size if self.sees_action else 0)
        self.net = mlp([inputs, *self.settings.hidden, 1], last_gain=0.1)

    def of_features(self, features: Tensor, actions: Tensor | None = None) -> Tensor:
        """g for features [..., F] and actions [..., A] (clipped to [−1, 1]; none given: no motion), [...]."""
        if self.sees_action:
            if actions is None:
                actions = features.new_zeros((*features.shape[:-1], self.action_size))
            features = torch.cat((features, actions.clamp(-1.0, 1.0)), -1)
        return torch.tanh(self.net(features)[..., 0])
