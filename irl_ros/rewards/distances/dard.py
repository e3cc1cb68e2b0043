"""DARD: dynamics-aware reward distance.

Wulfe et al. 2022, "Dynamics-aware comparison of learned reward functions".

EPIC's formula with states that can be reached: after s and after s' an action is drawn and one step is taken.
A learned reward is then asked only about states near those it knows.

A reward of the state alone, R(s), becomes γ (R(s') − E R(S')), S' one random action after s: how much better
the state that was entered is than what chance would have entered. Where actions change nothing (a ball in the
air) it is 0 for every reward; a distance by DARD is one of the moments in which something is decided.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from irl_ros.rewards.distances.comparison import pearson_distance
from irl_ros.rewards.distances.epic import canonically_shaped
from irl_ros.rewards.distances.samples import S, Samples, TransitionReward


def dard(
    one: Tensor,
    other: Tensor,
    transition: Tensor,
    gamma: float,
    actions: Tensor | None = None,
    coverage: Tensor | None = None,
) -> float:
    """The exact DARD of two rewards of a finite MDP, in [0, 1].

    Args:
        one, other: R(s, a, s'), [S, A, S].
        transition: T(s' | s, a), [S, A, S].
        gamma: discount.
        actions: D_A, [A]; default: uniform.
        coverage: how much each transition counts, [S, A, S]; default: as `transition` has it from
            (s, a) drawn uniformly.
    """
    weight = transition if coverage is None else coverage
    shaped, other_shaped = (dard_canonical(r, transition, gamma, actions) for r in (one, other))
    return pearson_distance(shaped, other_shaped, weight)


def dard_canonical(reward: Tensor, transition: Tensor, gamma: float, actions: Tensor | None = None) -> Tensor:
    """The reward of a finite MDP, shaped with its dynamics, [S, A, S] (eq. 3). Arguments as of `dard`."""
    reward, transition = reward.double(), transition.double()
    size = reward.shape[1]
    d_a = torch.full((size,), 1.0 / size, dtype=torch.double) if actions is None else actions.double()
    onward = torch.einsum("sat,a,sat->s", reward, d_a, transition)
    # one action for both: S' = T(s, A), S'' = T(s', A)
    between = torch.einsum("uav,a,sau,tav->st", reward, d_a, transition, transition)
    return canonically_shaped(
        reward, onward[None, None, :], onward[:, None, None], between[:, None, :], gamma
    )


def dard_from_samples(
    reward: TransitionReward[S],
    samples: Samples[S],
    step: Callable[[S, Tensor], S],
    draw_actions: Callable[[int], Tensor],
    gamma: float,
    draws: int = 16,
) -> Tensor:
    """The reward of K sampled transitions, shaped with the dynamics, [K] or [K, R].

    A potential cancels in every single draw, so however few are taken.

    Args:
        reward: R(s, a, s').
        samples: K transitions from the coverage distribution.
        step: the transition model: K states and K actions → K next states.
        draw_actions: K → K actions drawn from D_A.
        gamma: discount.
        draws: actions drawn in each transition.
    """
    s, s_next = samples.state, samples.next_state
    shaped = []
    for _ in range(draws):
        action = draw_actions(len(samples))
        after_state, after_next = step(s, action), step(s_next, action)
        shaped.append(
            canonically_shaped(
                reward(s, samples.action, s_next).double(),
                reward(s_next, action, after_next).double(),
                reward(s, action, after_state).double(),
                reward(after_state, action, after_next).double(),
                gamma,
            )
        )
    return torch.stack(shaped).mean(0)
