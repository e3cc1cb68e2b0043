"""The ball's flight and the observation of it, in components (`robots.components`): the formulas of `Flight`.

Written once; `Flight` runs them on tensors, and `throw_kernel` turns them into machine code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from irl_ros.robots.components import Number, Vector

LONG_STEPS = 4
"""Of foreseeing a landing with drag."""
LEFT = 0.3
"""Of foreseeing: farther from the plane than this, m, drag has changed the flight beyond what is foreseen."""
Mask = Any


@dataclass(frozen=True)
class FlightStep:
    """A ball in the air.

    Attributes:
        g: gravity, m/s².
        drag: deceleration per squared speed, 1/m.
        h: physics step, s.
    """

    g: Number
    drag: Number
    h: Number

    def fall(self, position: Vector, velocity: Vector, height: Number) -> Number:
        """Real number of physics steps until a ball without drag is down at z = height.

        Of one that is below and will not come over it: until it no longer rises.
        """
        a = 0.5 * self.g * self.h * self.h
        b = a - self.h * velocity[2]
        above = position[2] - height
        square = b * b + 4 * a * above
        k = (square.clamp_min(0.0).sqrt() - b) / (2 * a)
        stays_below = (above <= 0.0) & ((square < 0.0) | (b >= 0.0))
        return torch.where(stays_below, (velocity[2] / (self.g * self.h)).clamp_min(0.0).ceil(), k)

    def after(self, position: Vector, velocity: Vector, k: Number) -> tuple[list[Number], list[Number]]:
        """Position and velocity after k physics steps without drag."""
        x, y, z = (p + self.h * (k * v) for p, v in zip(position, velocity, strict=True))
        down = self.h * self.g
        place = [x, y, z - self.h * (0.5 * k * (k + 1.0) * down)]
        return place, [velocity[0], velocity[1], velocity[2] - k * down]

    def through_air(
        self, position: Vector, velocity: Vector, landed: Mask, height: Number
    ) -> tuple[list[Number], list[Number], Mask]:
        """A physics step with drag: position, velocity, and whether the ball is down. What is down rests."""
        brake = self.drag * norm(velocity)
        vx, vy, vz = (v - self.h * (brake * v) for v in velocity)
        now = [vx, vy, vz - self.h * self.g]
        moved = [p + self.h * v for p, v in zip(position, now, strict=True)]
        above, below = position[2] - height, moved[2] <= height
        through = (above > 0.0) & below
        share = above / (position[2] - moved[2]).clamp_min(1e-12)
        place = [
            torch.where(landed, p, torch.where(through, p + share * (m - p), m))
            for p, m in zip(position, moved, strict=True)
        ]
        return place, now, landed | through | (below & (now[2] <= 0.0))

    def foreseen(
        self, position: Vector, velocity: Vector, height: Number, in_air: bool
    ) -> tuple[Number, list[Number]]:
        """Real number of physics steps until a ball let go now rests, and where, m: `Flight.foreseen`."""
        k = self.fall(position, velocity, height)
        if not in_air:
            return k, self.after(position, velocity, k)[0]
        place, speed = self._far(position, velocity, self.h * k)
        a = self._slope(speed)
        # what is left of the fall, to second order; v + h a / 2 is the slope of the stepped path
        rate = [v + 0.5 * self.h * x for v, x in zip(speed, a, strict=True)]
        left, bend = place[2] - height, a[2]
        falls = (rate[2] < 0.0) & (abs(left) < LEFT)
        root = (rate[2] * rate[2] - 2.0 * bend * left).clamp_min(0.0).sqrt()
        more = torch.where(falls, 2.0 * left / (root - rate[2]).clamp_min(1e-9), 0.0 * left)
        landing = [p + more * r + 0.5 * more * more * x for p, r, x in zip(place, rate, a, strict=True)]
        return k + more / self.h, landing

    def _far(self, position: Vector, velocity: Vector, time: Number) -> tuple[list[Number], list[Number]]:
        """Position and velocity of the stepped flight with drag after `time`, s, in a few long steps.

        Runge-Kutta on the equation whose exact solution explicit Euler follows to second order,
        v' = a − h/2 a'(v) a; the stepped position is then x₀ + ∫v dt + h/2 (v − v₀).
        """
        dt = time / LONG_STEPS
        v, way = list(velocity), [0.0 * p for p in position]
        for _ in range(LONG_STEPS):
            k1 = self._slope(v)
            k2 = self._slope([x + 0.5 * dt * k for x, k in zip(v, k1, strict=True)])
            k3 = self._slope([x + 0.5 * dt * k for x, k in zip(v, k2, strict=True)])
            k4 = self._slope([x + dt * k for x, k in zip(v, k3, strict=True)])
            slopes = list(zip(k1, k2, k3, k4, strict=True))
            way = [
                w + dt * x + dt * dt / 6.0 * (a + b + c)
                for w, x, (a, b, c, _) in zip(way, v, slopes, strict=True)
            ]
            v = [x + dt / 6.0 * (a + 2.0 * b + 2.0 * c + d) for x, (a, b, c, d) in zip(v, slopes)]
        place = [
            p + w + 0.5 * self.h * (x - x0) for p, w, x, x0 in zip(position, way, v, velocity, strict=True)
        ]
        return place, v

    def _slope(self, v: Vector) -> list[Number]:
        """v' of `_far`, m/s²."""
        speed = norm(v).clamp_min(1e-9)
        ax, ay, az = (-self.drag * speed * x for x in v)
        a = [ax, ay, az - self.g]
        along = (v[0] * a[0] + v[1] * a[1] + v[2] * a[2]) / speed
        turn = [-self.drag * (speed * x + y * along) for x, y in zip(a, v, strict=True)]
        return [x - 0.5 * self.h * y for x, y in zip(a, turn, strict=True)]


def touches(position: Vector, target: Vector, rim: Number, radius: Number) -> Mask:
    """Whether a ball of that radius overlaps the wall of a bin, whose opening has the radius `rim`; m."""
    x, y, z = (p - t for p, t in zip(position, target, strict=True))
    across, above = (x * x + y * y).sqrt() - rim, z.clamp_min(0.0)
    return (across * across + above * above).sqrt() < radius


def norm(v: Vector) -> Number:
    """Length of a vector."""
    return (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]).sqrt()
