"""A throwing swing: the sum of minimum-jerk submovements of the joints, and the moment the hand opens.

People's reaches are well described by overlapping minimum-jerk submovements (Flash & Hogan 1985; Flash &
Henis 1991). A throw here has three: an approach (or back-swing), the thrust, and the turn of the base.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PEAK_SPEED, PEAK_ACCELERATION = 1.875, 5.7735
"""Peak speed and acceleration of a minimum-jerk movement of amplitude 1 that takes 1 s."""


def minimum_jerk(x: Tensor) -> Tensor:
    """Share of the way covered at share `x` of the time: 10x³ − 15x⁴ + 6x⁵ on [0, 1], constant outside."""
    x = x.clamp(0.0, 1.0)
    return x * x * x * (10.0 - 15.0 * x + 6.0 * x * x)


def minimum_jerk_speed(x: Tensor) -> Tensor:
    """Derivative of `minimum_jerk`, 30x²(1 − x)² on [0, 1], zero outside."""
    x = x.clamp(0.0, 1.0)
    return 30.0 * (x * (1.0 - x)) ** 2


def minimum_jerk_acceleration(x: Tensor) -> Tensor:
    """Second derivative of `minimum_jerk`, 60x − 180x² + 120x³ on [0, 1], zero at the ends and outside."""
    x = x.clamp(0.0, 1.0)
    return x * (60.0 - 180.0 * x + 120.0 * x * x)


@dataclass(frozen=True)
class Swing:
    """Swings of any leading shape [...]: m submovements of n joints. Times count from onset.

    Attributes:
        home: where it starts, at rest, rad, [n].
        amplitude: how far each submovement carries each joint, rad, [..., m, n].
        start, duration: when it begins and how long it takes, s, [..., m, n].
        release: when the hand opens, s, [...].
    """

    home: Tensor
    amplitude: Tensor
    start: Tensor
    duration: Tensor
    release: Tensor

    def _share(self, t: Tensor) -> Tensor:
        return (t[..., None, None] - self.start) / self.duration

    def position(self, t: Tensor) -> Tensor:
        """Joint positions at time t [...], rad, [..., n]."""
        return self.home + (self.amplitude * minimum_jerk(self._share(t))).sum(-2)

    def velocity(self, t: Tensor) -> Tensor:
        """Joint velocities at time t [...], rad/s, [..., n]."""
        return (self.amplitude / self.duration * minimum_jerk_speed(self._share(t))).sum(-2)

    def velocities(self, times: Tensor) -> Tensor:
        """Joint velocities at the same times [K] for every swing, rad/s, [..., K, n]."""
        amplitude, start, duration = (x[..., None, :, :] for x in (self.amplitude, self.start, self.duration))
        return Swing(self.home, amplitude, start, duration, self.release).velocity(times)

    def acceleration(self, t: Tensor) -> Tensor:
        """Joint accelerations at time t [...], rad/s², [..., n]."""
        return (self.amplitude / self.duration.square() * minimum_jerk_acceleration(self._share(t))).sum(-2)

    def each(self) -> list[Swing]:
        """The swings along the first leading dimension, one by one."""
        parts = zip(self.amplitude, self.start, self.duration, self.release, strict=True)
        return [Swing(self.home, *part) for part in parts]

    @classmethod
    def stack(cls, swings: Sequence[Swing]) -> Swing:
        """Swings of one arm along a new first leading dimension."""
        names = ("amplitude", "start", "duration", "release")
        return cls(swings[0].home, *(torch.stack([getattr(s, n) for s in swings]) for n in names))

    @property
    def end(self) -> Tensor:
        """When the last joint is at rest again, s, [...]."""
        moves = self.amplitude != 0
        return torch.where(moves, self.start + self.duration, torch.zeros_like(self.amplitude)).amax((-1, -2))

    def slower(self, factor: Tensor) -> Swing:
        """The same path at another pace: every time multiplied by `factor` [...]."""
        wide = factor[..., None, None]
        return dataclasses.replace(
            self, start=self.start * wide, duration=self.duration * wide, release=self.release * factor
        )
