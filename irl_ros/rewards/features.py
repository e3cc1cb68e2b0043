"""What a reward may see of a state: ball and target, never the arm. That is why it survives another arm."""

from __future__ import annotations

import torch
from torch import Tensor

from irl_ros.sim.reference import Flight
from irl_ros.sim.state import State
from irl_ros.sim.world import World

FEATURES = ("distance", "offset")
FARTHEST = 1.0
"""Misses from here on look the same, m: of those a demonstration says nothing."""
NEAR, NEAR_SHARE = 0.1, 0.3
"""Where distance counts extra, m, and how much of it: a peak as sharp as a person's aim can be."""


class Features:
    """State → bounded features [..., size] in [−1, 1]: first those of the ball's place, then its phase.

    The place is where the ball lies or, let go now, would land. "distance": its distance d from the target,
    as it is and once more near the target. "offset": its offset along and across the line from the robot to
    the target, at two scales. The phase: held and landed flags (neither: in the air).

    A ball that came down below the target's height, or against the wall of a bin, looks like one that lies as
    far from the target on its plane: a reward of these cannot hold that against it. (The true reward does.)

    Bounded features keep a reward from being asked about values no demonstration and no sample has shown.

    Args:
        world: gives the flight rule.
        kind: one of FEATURES.

    Attributes:
        size: F, how many there are.
        place: how many of them, the first ones, are of the place.
    """

    def __init__(self, world: World, kind: str = "distance") -> None:
        self.flight, self.kind = Flight(world), kind
        self.place = 2 if kind == "distance" else 4
        self.size = self.place + 2

    def __call__(self, s: State) -> Tensor:
        miss = self.flight.predicted_miss(s.ball_position, s.ball_velocity, s.target)
        phase = torch.stack((s.held.to(miss), s.landed.to(miss)), -1)
        if self.kind == "distance":
            d = miss.square().sum(-1).add(1e-8).sqrt()
            place = torch.stack((d.clamp_max(FARTHEST) / FARTHEST, NEAR_SHARE * torch.tanh(d / NEAR)), -1)
        else:
            forward = torch.nn.functional.normalize(s.target[..., :2], dim=-1)
            along = (miss * forward).sum(-1)
            across = forward[..., 0] * miss[..., 1] - forward[..., 1] * miss[..., 0]
            offset = torch.stack((along, across), -1)
            place = torch.cat([torch.tanh(offset / scale) for scale in (0.15, 0.7)], -1)
        return torch.cat((place, phase), -1)
