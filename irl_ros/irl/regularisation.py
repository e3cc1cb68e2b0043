"""What keeps a reward smooth where neither demonstrations nor samples are."""

from __future__ import annotations

import torch
from torch import Tensor

from irl_ros.irl.transitions import Transitions
from irl_ros.rewards.reward_net import RewardNet


def gradient_penalty(reward: RewardNet, expert: Transitions, sample: Transitions) -> Tensor:
    """E |∇_φ g|² on lines between expert and sampled features (after Gulrajani et al. 2017, eq. 3, to zero).

    Args:
        reward: g_ψ.
        expert, sample: transitions [K] each.
    """
    mix = torch.rand(len(expert), 1, device=expert.features.device)
    other = sample[torch.randperm(len(sample), device=sample.features.device)]
    between = (mix * expert.features + (1 - mix) * other.features).requires_grad_(True)
    action = mix * expert.action + (1 - mix) * other.action
    (gradient,) = torch.autograd.grad(reward.of_features(between, action).sum(), between, create_graph=True)
    return gradient.square().sum(-1).mean()
