"""STARC: standardised reward comparison (Skalse et al. 2024, "STARC: a general framework for quantifying …").

A reward is made canonical, divided by its norm, and compared in a metric. Here: value-adjusted levelling
(VAL), the L² norm and its metric. VAL takes off what the state is worth under a fixed policy π,

    c(R)(s, a) = E_{S' ~ T(s, a)}[R(s, a, S') + γ V^π(S')] − V^π(s),

which is the advantage of a over π. Potentials cancel, and so does how reward is spread over next states,
since no policy can tell. That makes it complete: two rewards are 0 apart exactly if they order all policies
alike.
"""

from __future__ import annotations

import torch
from torch import Tensor

from irl_ros.rewards.distances.comparison import cancelled, standardised_distance


def value_adjusted(reward: Tensor, value: Tensor, value_next: Tensor, gamma: float) -> Tensor:
    """R(s, a, s') + γ V^π(s') − V^π(s)."""
    return cancelled(reward, gamma * value_next, -value)


def starc(
    one: Tensor,
    other: Tensor,
    transition: Tensor,
    gamma: float,
    policy: Tensor | None = None,
    coverage: Tensor | None = None,
) -> float:
    """The exact STARC distance of two rewards of a finite MDP, in [0, 1].

    Args:
        one, other: R(s, a, s'), [S, A, S].
        transition: T(s' | s, a), [S, A, S].
        gamma: discount, below 1.
        policy: π(a | s) of VAL, [S, A]; default: uniform.
        coverage: how much each (s, a) counts in the norm, > 0, [S, A]; default: all the same.

    Raises:
        ValueError: gamma is not below 1.
    """
    canonical, other_canonical = (starc_canonical(r, transition, gamma, policy) for r in (one, other))
    return standardised_distance(canonical, other_canonical, coverage)


def starc_canonical(reward: Tensor, transition: Tensor, gamma: float, policy: Tensor | None = None) -> Tensor:
    """VAL of a reward of a finite MDP, [S, A]. Arguments as of `starc`."""
    if not 0 <= gamma < 1:
        raise ValueError(f"gamma: must be at least 0 and below 1, found {gamma}")
    reward, transition = reward.double(), transition.double()
    size = reward.shape[1]
    pi = torch.full(reward.shape[:2], 1.0 / size, dtype=torch.double) if policy is None else policy.double()
    expected = (transition * reward).sum(-1)
    between = torch.einsum("sa,sat->st", pi, transition)
    identity = torch.eye(len(reward), dtype=torch.double)
    value = torch.linalg.solve(identity - gamma * between, (pi * expected).sum(-1))
    return value_adjusted(expected, value[:, None], transition @ value, gamma)


def starc_from_samples(reward: Tensor, value: Tensor, value_next: Tensor, gamma: float) -> Tensor:
    """VAL of K sampled transitions, [K] or [K, R].

    With deterministic dynamics s' is all of T(s, a) and this is c(R)(s, a) itself; otherwise it is c(R)(s, a)
    plus noise of mean 0, which makes distances too large.

    Args:
        reward: R(s, a, s') of the transitions.
        value, value_next: V^π(s) and V^π(s') of the same reward, exact or estimated, same shape. Where an
            episode ends V^π is 0; then potentials cancel that are 0 there (Ng et al. 1999).
        gamma: discount.
    """
    return value_adjusted(reward.double(), value.double(), value_next.double(), gamma)
