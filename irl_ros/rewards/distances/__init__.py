"""How far two rewards are from each other, without optimising either.

pearson, spearman: correlation of the rewards as they are, in [−1, 1]. Scale and offset do not count, nor
    (Spearman) any increasing bend.
EPIC (Gleave et al. 2021): Pearson distance of canonically shaped rewards. Potential shaping does not count.
DARD (Wulfe et al. 2022): the same, shaped with the dynamics, so that only states within reach are asked for.
STARC (Skalse et al. 2024): distance of standardised advantages. Whatever no policy can tell does not count.

The three distances lie in [0, 1]: 0 same up to what does not count, √½ ≈ 0.71 unrelated, 1 opposite. Each has
a file with its formula, the exact value on a finite MDP and an estimate from samples; both use the formula.
"""

from irl_ros.rewards.distances.comparison import (
    pearson,
    pearson_distance,
    ranks,
    spearman,
    standardised_distance,
)
from irl_ros.rewards.distances.dard import dard, dard_from_samples
from irl_ros.rewards.distances.epic import epic, epic_from_samples
from irl_ros.rewards.distances.samples import Samples, TransitionReward
from irl_ros.rewards.distances.starc import starc, starc_from_samples

__all__ = [
    "Samples",
    "TransitionReward",
    "dard",
    "dard_from_samples",
    "epic",
    "epic_from_samples",
    "pearson",
    "pearson_distance",
    "ranks",
    "spearman",
    "standardised_distance",
    "starc",
    "starc_from_samples",
]
