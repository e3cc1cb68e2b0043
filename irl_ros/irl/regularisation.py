"""What keeps a reward smooth where neither demonstrations nor samples are."""

from __future__ import annotations

import torch
from torch import Tensor

from irl_ros.irl.transitions import Transitions
from irl_ros.rewards.reward_net import RewardNet


def gradient_penalty(
    reward: RewardNet, expert: Transitions, sample: Transitions, allowed: float = 0.0
) -> Tensor:
    """E |∇g|² on lines between expert and sampled inputs (after Gulrajani et al. 2017, eq. 3, to zero).

    Inputs are the features, and the actions of a g that sees them.

    Args:
        reward: g_ψ.
        expert, sample: transitions [K] each.
        allowed: slope that costs nothing; what is beyond it costs its square.
    """
    mix = torch.rand(len(expert), 1, device=expert.features.device)
    other = sample[torch.randperm(len(sample), device=sample.features.device)]
    between = (mix * expert.features + (1 - mix) * other.features).requires_grad_(True)
    action = (mix * expert.action + (1 - mix) * other.action).requires_grad_(reward.sees_action)
    inputs = [between, action] if reward.sees_action else [between]
    slopes = torch.autograd.grad(reward.of_features(between, action).sum(), inputs, create_graph=True)
    square = torch.cat(slopes, -1).square().sum(-1)
    if allowed > 0:
        square = ((square + 1e-12).sqrt() - allowed).clamp_min(0.0).square()
    return square.mean()
