"""Policies that throw wrongly do so in the ways they are meant to."""

from __future__ import annotations

import math

import pytest
import torch

from irl_ros.rl.background import background_policies
from irl_ros.rl.policy import Policy
from irl_ros.rl.throw_task import ThrowTask


def test_background_policies_throw_wrongly_in_four_ways(task: ThrowTask, policy: Policy) -> None:
    torch.manual_seed(0)
    anytime, never, noisy, random = background_policies(policy)
    rollouts = [task.rollout(p, 200).states for p in (anytime, never, noisy, random)]
    steps_held = [states.held[:, :-1].float().sum(1) for states in rollouts]
    # a chance of 4 % in every step: geometric, cut off at 60
    expected = sum(0.96**k for k in range(60))
    assert float(steps_held[0].mean()) == pytest.approx(expected, rel=0.15)
    assert float(steps_held[0].std()) > 10
    assert float(rollouts[1].held[:, -1].float().mean()) > 0.95
    state = rollouts[0][:, 5]
    clone = policy.act(state)[:, :-1]
    for other in (anytime, never, noisy):
        torch.testing.assert_close(other.act(state)[:, :-1], clone)
    torch.testing.assert_close(random.act(state)[:, :-1], torch.zeros_like(clone))
    for other, factor in ((anytime, 1.5), (never, 1.5), (noisy, 3.0)):
        wanted = (policy.bounded_log_std + math.log(factor)).clamp(max=0.0)
        torch.testing.assert_close(other.bounded_log_std, wanted)
    # the noisy one lets go when the clone does
    out = [p.distribution(p.observation(state))[2] for p in (noisy, policy)]
    torch.testing.assert_close(out[0], out[1])
    # and the policy itself is as it was
    torch.testing.assert_close(policy.act(state)[:, :-1], clone)
