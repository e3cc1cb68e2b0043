"""What a reward may see of a state: ball and target, never the arm. That is why it survives another arm."""

from __future__ import annotations

import torch
from torch import Tensor

from irl_ros.sim.reference import Flight
from irl_ros.sim.state import State
from irl_ros.sim.world import World

FEATURES = ("distance", "offset")


class Features:
    """State → bounded features [..., size] in [−1, 1].

    "distance": how far from the target the ball lies or, let go now, would land: d, seen at three scales.
    "offset": the same as two numbers, along and across the line from the robot to the target, at two scales.
    Both add the held and landed flags and the ball's height over the target plane.

    Bounded features keep a reward from being asked about values no demonstration and no sample has shown.

    Args:
        world: gives the flight rule.
        kind: one of FEATURES.
    """

    def __init__(self, world: World, kind: str = "distance") -> None:
        self.flight, self.kind = Flight(world), kind
        self.size = 3 + (3 if kind == "distance" else 4)

    def __call__(self, s: State) -> Tensor:
        miss = self.flight.predicted_miss(s.ball_position, s.ball_velocity, s.target)
        height = torch.tanh((s.ball_position[..., 2] - s.target[..., 2]) / 0.5)
        flags = torch.stack((s.held.to(miss), s.landed.to(miss), height), -1)
        if self.kind == "distance":
            d = miss.square().sum(-1).add(1e-8).sqrt()
            scales = torch.stack([torch.tanh(d / scale) for scale in (0.1, 0.3, 1.0)], -1)
        else:
            forward = torch.nn.functional.normalize(s.target[..., :2], dim=-1)
            along = (miss * forward).sum(-1)
            across = forward[..., 0] * miss[..., 1] - forward[..., 1] * miss[..., 0]
            offset = torch.stack((along, across), -1)
            scales = torch.cat([torch.tanh(offset / scale) for scale in (0.15, 0.7)], -1)
        return torch.cat((scales, flags), -1)
