"""Policies that throw wrongly on purpose: a discriminator must have seen what a fresh learner will try."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from irl_ros.rl.policy import RELEASE_GAIN, Policy


def background_policies(policy: Policy) -> list[Policy]:
    """Policies that throw wrongly in the ways a fresh learner will try.

    The clone's swing let go at any time; never; the swing with much noise; an arm that moves at random.
    """

    def variant(release_rate: float | None, noise: float, swing: float = 1.0) -> Policy:
        other = copy.deepcopy(policy).eval()
        last: nn.Linear = other.net[-1]  # type: ignore[assignment]
        with torch.no_grad():
            last.weight[:-1] *= swing
            last.bias[:-1] *= swing
            other.log_std.copy_((other.log_std + math.log(noise)).clamp(-2.5, 0.0))
            if release_rate is not None:
                last.weight[-1] = 0.0
                last.bias[-1] = math.log(release_rate / (1 - release_rate)) / RELEASE_GAIN
        return other

    return [
        variant(release_rate=0.04, noise=1.5),
        variant(release_rate=1e-4, noise=1.5),
        variant(release_rate=None, noise=3.0),
        variant(release_rate=0.05, noise=6.0, swing=0.0),
    ]
