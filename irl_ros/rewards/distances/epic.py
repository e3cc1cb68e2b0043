"""EPIC: equivalent-policy invariant comparison (Gleave et al. 2021, "Quantifying differences in …").

A reward is brought into the one shape that all rewards share which differ from it by a potential: state and
next state are each followed by a random action into a random state, and what that brings is taken off. States
are drawn independently of each other, so rewards are asked about transitions that no dynamics allows.

A reward of the state alone, R(s), becomes γ (R(s') − E R): there is nothing to shape away, and EPIC is the
Pearson distance of the rewards over the states that are entered.
"""

from __future__ import annotations

import torch
from torch import Tensor

from irl_ros.rewards.distances.comparison import cancelled, pearson_distance
from irl_ros.rewards.distances.samples import S, Samples, TransitionReward, repeated


def canonically_shaped(
    reward: Tensor, from_next: Tensor, from_state: Tensor, between: Tensor, gamma: float
) -> Tensor:
    """C(R)(s, a, s') = R(s, a, s') + γ E R(s', A, S'') − E R(s, A, S') − γ E R(S', A, S'') (§4).

    EPIC draws S' and S'' independently of everything; in DARD they are one step from s and from s'.
    """
    return cancelled(reward, gamma * from_next, -from_state, -gamma * between)


def epic(
    one: Tensor,
    other: Tensor,
    gamma: float,
    states: Tensor | None = None,
    actions: Tensor | None = None,
    coverage: Tensor | None = None,
) -> float:
    """The exact EPIC distance of two rewards of a finite MDP, in [0, 1].

    Args:
        one, other: R(s, a, s'), [S, A, S].
        gamma: discount.
        states, actions: D_S [S] and D_A [A], which canonical shaping averages over; default: uniform.
        coverage: how much each transition counts, [S, A, S]; default: all the same.
    """
    shaped, other_shaped = (epic_canonical(r, gamma, states, actions) for r in (one, other))
    return pearson_distance(shaped, other_shaped, coverage)


def epic_canonical(
    reward: Tensor, gamma: float, states: Tensor | None = None, actions: Tensor | None = None
) -> Tensor:
    """The canonically shaped reward of a finite MDP, [S, A, S]. Arguments as of `epic`."""
    reward = reward.double()
    d_s = _shares(states, reward.shape[0])
    d_a = _shares(actions, reward.shape[1])
    onward = torch.einsum("sat,a,t->s", reward, d_a, d_s)
    return canonically_shaped(
        reward, onward[None, None, :], onward[:, None, None], (d_s * onward).sum(), gamma
    )


def epic_from_samples(
    reward: TransitionReward[S],
    samples: Samples[S],
    gamma: float,
    draws: int = 16,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The canonically shaped reward of K sampled transitions, [K] or [K, R].

    D_S and D_A are those of the samples. All transitions share the drawn states, and the last expectation
    runs over all pairs of them, so that a potential cancels exactly, however few are drawn.

    Args:
        reward: R(s, a, s').
        samples: K transitions from the coverage distribution.
        gamma: discount.
        draws: states and actions drawn for the expectations.
        generator: draws them.
    """
    count = len(samples)
    pool_s = samples.state[torch.randint(count, (draws,), generator=generator)]
    pool_a = samples.action[torch.randint(count, (draws,), generator=generator)]

    def onward(states: S, number: int) -> Tensor:
        """E R(s, A, S') of each state."""
        values = [
            reward(states, repeated(pool_a, m, number), repeated(pool_s, m, number)).double()
            for m in range(draws)
        ]
        return torch.stack(values).mean(0)

    plain = reward(samples.state, samples.action, samples.next_state).double()
    between = onward(pool_s, draws).mean(0)
    return canonically_shaped(
        plain, onward(samples.next_state, count), onward(samples.state, count), between, gamma
    )


def _shares(distribution: Tensor | None, size: int) -> Tensor:
    if distribution is None:
        return torch.full((size,), 1.0 / size, dtype=torch.double)
    return distribution.double()
