"""Every throw at one target that a grid of swings can make, with features rounded to cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from irl_ros.rewards.features import Features
from irl_ros.sim.reference import Flight
from irl_ros.sim.state import State


class Rounding:
    """Features [..., F] in [−1, 1] ↔ one whole number, by rounding to multiples of `resolution`."""

    def __init__(self, resolution: float, size: int) -> None:
        self.resolution, self.levels = resolution, round(2 / resolution) + 1
        if size * math.log2(self.levels) > 62:
            raise ValueError(f"resolution: {resolution} is too fine for {size} features")
        self.place = torch.tensor([self.levels**i for i in range(size)])

    def code(self, features: Tensor) -> Tensor:
        """int64 [...]."""
        return (((features + 1) / self.resolution).round().long() * self.place).sum(-1)

    def features(self, code: Tensor) -> Tensor:
        """Rounded features, float32 [..., F]."""
        return (code[..., None] // self.place % self.levels) * self.resolution - 1.0


@dataclass(frozen=True)
class Bundle:
    """K swings, each let go in control step u = 0 … T − 1 or (u = T) never.

    Attributes:
        code: rounded features at t = 0 … T − 1, int64 [T, K, T + 1].
        miss: distance of landing and target, m, [K, T + 1]; inf where the ball is not down at the horizon.
    """

    code: Tensor
    miss: Tensor

    @property
    def held(self) -> Tensor:
        """Codes while the ball is in hand, [T, K]."""
        return self.code[:, :, -1]

    def flights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What follows a release: release step u, swing k, code, and steps spent in it, each [E]."""
        steps, swings, _ = self.code.shape
        code = self.code[:, :, :steps].permute(2, 1, 0)  # [u, k, t]
        t, u = torch.arange(steps), torch.arange(steps)[:, None, None]
        begins = torch.ones_like(code, dtype=torch.bool)
        begins[..., 1:] = code[..., 1:] != code[..., :-1]
        begins = (begins & (t > u)) | (t == u + 1)
        at = begins.flatten().nonzero()[:, 0]
        row = at // steps
        end = torch.minimum(torch.cat((at[1:], at.new_tensor([code.numel()]))), (row + 1) * steps)
        return row // swings, row % swings, code.flatten()[at], end - at

    def nearest(self, features: Tensor, rounding: Rounding) -> tuple[int, int]:
        """Swing k and release u whose features are nearest to φ(s_0) … φ(s_{T−1}), [T, F]."""
        distance = torch.zeros(self.miss.shape)
        for code, phi in zip(self.code, features):
            distance += (rounding.features(code) - phi).square().sum(-1)
        best = int(distance.argmin())
        return best // distance.shape[1], best % distance.shape[1]


def throw_all(
    position: Tensor, velocity: Tensor, target: Tensor, flight: Flight, phi: Features, rounding: Rounding
) -> Bundle:
    """Let every swing go in every step.

    Args:
        position, velocity: of the ball in the hand of K swings at steps 0 … T, m and m/s, [K, T + 1, 3].
        target: m, [3].
        flight: how a ball flies.
        phi: features of states.
        rounding: of the features.
    """
    swings, steps = len(position), position.shape[1] - 1
    code = torch.empty(steps, swings, steps + 1, dtype=torch.long)
    # where the ball of a release in step u is now; columns fill up from the left
    x, v = position[:, :steps].clone(), velocity[:, :steps].clone()
    landed = torch.zeros(swings, steps, dtype=torch.bool)
    for t in range(steps):
        code[t] = rounding.code(phi(_state(position[:, t], velocity[:, t], target, held=True)))[:, None]
        if t > 0:
            code[t, :, :t] = rounding.code(phi(_state(x[:, :t], v[:, :t], target, landed=landed[:, :t])))
        gone = slice(0, t + 1)
        down = landed[:, gone]
        moved, speed, reached = flight.advance(x[:, gone], v[:, gone], target)
        x[:, gone] = torch.where(down[..., None], x[:, gone], moved)
        v[:, gone] = torch.where(down[..., None], v[:, gone], speed)
        landed[:, gone] = down | reached
    miss = (x - target)[..., :2].norm(dim=-1).masked_fill(~landed, math.inf)
    return Bundle(code, torch.cat((miss, torch.full((swings, 1), math.inf)), 1))


def _state(x: Tensor, v: Tensor, target: Tensor, held: bool = False, landed: Tensor | None = None) -> State:
    """A State as features see it: of the ball and the target."""
    flag = torch.zeros(x.shape[:-1], dtype=torch.bool)
    none = x.new_zeros((*x.shape[:-1], 0))
    return State(
        q=none,
        qd=none,
        ball_position=x,
        ball_velocity=v,
        target=target.expand_as(x),
        held=flag | held,
        landed=flag if landed is None else landed,
        phase=flag.to(x),
    )
