"""The task's own reward: the yardstick a learned one is measured against. Learning never sees it."""

from __future__ import annotations

import torch
from torch import Tensor

from irl_ros.sim.reference import Flight
from irl_ros.sim.state import State
from irl_ros.sim.world import World

FARTHEST = 1.0
"""All misses from here on count the same, m."""
NOT_DOWN = 0.1
"""What a ball that has not landed costs beside its miss, m: holding it over the target is no throw."""


class TrueReward:
    """−(distance, in metres, of the target from where the ball lies or, let go now, would land).

    A ball that has missed the plane or the bin's opening has missed by FARTHEST.

    What a designer would write: dense, highest for a ball lying on the target, and with no state in which
    dropping or keeping the ball beats carrying it somewhere better.

    Args:
        world: gives the flight rule.
    """

    def __init__(self, world: World) -> None:
        self.flight = Flight(world)

    def __call__(self, state: State) -> Tensor:
        """Reward of a State of any leading shape, in [−1.1, 0]."""
        miss = self.flight.predicted_miss(state.ball_position, state.ball_velocity, state.target).norm(dim=-1)
        # lying below the plane or against a bin's wall is no landing, however near
        down = state.landed & self.flight.came_down(state.ball_position, state.target)
        miss = torch.where(state.landed & ~down, torch.full_like(miss, FARTHEST), miss.clamp_max(FARTHEST))
        return -miss - NOT_DOWN * ~down
