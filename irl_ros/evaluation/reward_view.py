"""What a reward says of a ball lying beside the target, and of one that was never let go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from irl_ros.rewards.true_reward import TrueReward
from irl_ros.sim import BatchWorld, State, World

REACH = 0.6
"""Half the width of the picture, m."""
FARTHEST = 1.0
"""End of the profile, m."""
DIRECTIONS = 24


@dataclass(frozen=True)
class RewardView:
    """A reward over where the ball lies, [G, G] (rows: far, columns: right) and around the target.

    Attributes:
        offsets: m, [G]; both axes of `picture`.
        picture: reward of a landed ball, [G, G].
        distance: m, [K].
        profile: mean reward over all directions, [K]; `low` and `high`: the least and most of them.
        true: the task's own reward, scaled and shifted to lie closest to `profile`, [K].
        correlation: Pearson's, between the learned and the true reward over `picture`.
        held: reward before a throw, the ball in the hand at the start.
    """

    offsets: np.ndarray
    picture: np.ndarray
    distance: np.ndarray
    profile: np.ndarray
    low: np.ndarray
    high: np.ndarray
    true: np.ndarray
    correlation: float
    held: float


def view_reward(reward: Callable[[State], Tensor], world: World, grid: int = 121) -> RewardView:
    """Look at a reward around a target in the middle of the world's ring."""
    scene = _Scene(world)
    true = TrueReward(world)
    offsets = torch.linspace(-REACH, REACH, grid)
    far, right = torch.meshgrid(offsets, offsets, indexing="ij")
    lying = scene.landed(right.reshape(-1), far.reshape(-1))
    picture, right_answer = reward(lying), true(lying)
    distance = torch.linspace(0.0, FARTHEST, 101)
    angle = torch.arange(DIRECTIONS) * (2 * torch.pi / DIRECTIONS)
    around = scene.landed(
        (distance[:, None] * angle.cos()).reshape(-1), (distance[:, None] * angle.sin()).reshape(-1)
    )
    profile = reward(around).reshape(-1, DIRECTIONS)
    return RewardView(
        offsets=offsets.numpy(),
        picture=picture.reshape(grid, grid).numpy(),
        distance=distance.numpy(),
        profile=profile.mean(1).numpy(),
        low=profile.amin(1).numpy(),
        high=profile.amax(1).numpy(),
        true=_fitted(true(around).reshape(-1, DIRECTIONS).mean(1), profile.mean(1)).numpy(),
        correlation=float(torch.corrcoef(torch.stack((picture, right_answer)))[0, 1].nan_to_num(0.0)),
        held=float(reward(scene.at_home).mean()),
    )


def _fitted(values: Tensor, to: Tensor) -> Tensor:
    """a·values + b with a ≥ 0, by least squares: so changed, a reward has the same optimal policies."""
    centred = values - values.mean()
    scale = ((to - to.mean()) * centred).sum() / centred.square().sum()
    return to.mean() + scale.clamp_min(0.0) * centred


class _Scene:
    """States of one world with a target in the middle of its ring."""

    def __init__(self, world: World) -> None:
        t = world.settings.target
        radius, azimuth = torch.tensor(sum(t.radius) / 2), torch.tensor(sum(t.azimuth) / 2)
        self.forward = torch.stack((azimuth.cos(), azimuth.sin()))
        self.target = torch.cat((radius * self.forward, torch.tensor([t.height])))
        self.at_home = BatchWorld(world).reset(self.target[None])

    def landed(self, right: Tensor, far: Tensor) -> State:
        """A ball at rest `far` behind and `right` of the target, m, [K] each."""
        count = len(right)
        to_the_right = torch.stack((self.forward[1], -self.forward[0]))
        place = far[:, None] * self.forward + right[:, None] * to_the_right
        home = self.at_home
        yes = torch.ones(count, dtype=torch.bool)
        return State(
            q=home.q.expand(count, -1),
            qd=home.qd.expand(count, -1),
            ball_position=self.target + torch.nn.functional.pad(place, (0, 1)),
            ball_velocity=torch.zeros(count, 3),
            target=self.target.expand(count, 3),
            held=~yes,
            landed=yes,
            phase=torch.ones(count),
        )
