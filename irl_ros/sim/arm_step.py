"""One physics step of a torque-limited arm under its servo, in components (`robots.components`).

What PyBullet does to BulletWorld's arm, as formulas: the servo's torque for the velocity aimed at is clipped
at the effort limits, the equations of motion give the velocity that comes of it, joints stop at the ends of
their travel, locked joints stand still, and positions follow by semi-implicit Euler. Written once; BatchWorld
runs it on tensors, and `throw_kernel` turns it into machine code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import torch

from irl_ros.robots.components import Matrix, Number, minus, plus, times
from irl_ros.robots.dynamics import Dynamics
from irl_ros.robots.kinematics import Turn

STOP_GAIN = 0.2
"""Share of what a joint is beyond its travel that a stop takes back in a physics step (Bullet's parameter of
that name is erp). Stops are soft: one acts from the step after the joint has passed it."""
DEEP = 0.04
"""What a joint may be beyond its travel, rad (m), and still be pushed back. Deeper in, where one of 10 rad/s
gets in a step, a stop only keeps it from going on (a threshold of Bullet's contacts, which is there for a
correction that its joint stops do not have)."""
SLACK = 1e-4
"""How much slower than its stop wants it a joint may come back before the stop is said to act, rad/s: above
rounding of float32, below what matters."""
FREE = 1e30
"""Velocity that no stop forbids, rad/s."""
ROUNDS = 2
"""Of finding out which stops act: few joints ever reach one at once."""

Numbers = Sequence[Number]
Mask = Any
"""A tensor of bools, or what stands for one while formulas are being recorded."""


@dataclass(frozen=True)
class Load:
    """What an arm works under. Joint lists have n numbers.

    Attributes:
        effort: torque limits, N m (N); infinite for locked joints.
        locked: 1 for a joint that stands still, else 0.
        lower, upper: the ends of the joints' travel, rad (m).
        payload: kg at the tool point.
        gravity: m/s².
        h, rate: physics step, s, and steps a second.
        zero: 0, in the shape of what is computed.
    """

    effort: Numbers
    locked: Numbers
    lower: Numbers
    upper: Numbers
    payload: Number
    gravity: Number
    h: Number
    rate: Number
    zero: Number


class ArmStep:
    """Formulas of a physics step, for an arm.

    Args:
        dynamics: of the arm.
    """

    def __init__(self, dynamics: Dynamics) -> None:
        self.dynamics, self.n = dynamics, dynamics.n

    def servo(
        self, q: Numbers, qd: Numbers, aim: Numbers, load: Load, turns: Sequence[Turn] | None = None
    ) -> list[Number]:
        """Torques, N m, [n], that would end the step at velocities `aim`. `turns`: as in `Dynamics`."""
        wanted = [times(a - v, load.rate) for a, v in zip(aim, qd, strict=True)]
        return self.dynamics.torque_of(q, qd, wanted, load.payload, load.gravity, turns)

    @staticmethod
    def weak(torque: Numbers, load: Load) -> Mask:
        """Whether a torque is beyond its limit."""
        return _any([abs(t) > e for t, e in zip(torque, load.effort, strict=True)])

    def kept(self, q: Numbers, aim: Numbers, load: Load) -> Mask:
        """Whether a stop keeps a joint from the velocity aimed at."""
        least, most = self._room(q, load)
        return _any([(a < x - SLACK) | (a > y + SLACK) for a, x, y in zip(aim, least, most, strict=True)])

    @staticmethod
    def concern(q: Numbers, torque: Numbers, load: Load) -> Number:
        """Above 0 where an arm is `weak` or may be `kept`: the cheapest test of whether to look closer."""
        over = [abs(t) - e for t, e in zip(torque, load.effort, strict=True)]
        low = [x - p for x, p in zip(load.lower, q, strict=True)]
        high = [p - x for p, x in zip(q, load.upper, strict=True)]
        return reduce(torch.maximum, (*over, *low, *high))

    def yielding(
        self,
        q: Numbers,
        aim: Numbers,
        torque: Numbers,
        load: Load,
        turns: Sequence[Turn] | None = None,
    ) -> tuple[list[list[Number]], list[Number], list[Number], Mask]:
        """What comes of clipped torques: M (v − aim) = h (clipped − wanted), locked joints standing still.

        Returns:
            M, [n][n]; the impulses h (clipped − wanted), [n]; the velocities v; whether a stop keeps a joint
            from them, in which case `stopped` is to be asked.
        """
        mass = self.dynamics.mass_matrix_of(q, load.payload, turns)
        clipped = [torch.minimum(torch.maximum(t, -e), e) for t, e in zip(torque, load.effort, strict=True)]
        impulse = [times(load.h, minus(c, t)) for c, t in zip(clipped, torque, strict=True)]
        locked = [x > 0.5 for x in load.locked]
        change = _settle(mass, impulse, locked, [-a for a in aim], load.zero)
        velocity = [plus(a, x) for a, x in zip(aim, change, strict=True)]
        least, most = self._room(q, load)
        beyond = [
            ~still & ((v < x - SLACK) | (v > y + SLACK))
            for v, x, y, still in zip(velocity, least, most, locked, strict=True)
        ]
        return mass, impulse, velocity, _any(beyond)

    def stopped(
        self, q: Numbers, aim: Numbers, mass: Matrix, impulse: Numbers, velocity: Numbers, load: Load
    ) -> list[Number]:
        """Velocities, rad/s [n], where stops push joints back that are beyond their travel.

        A stop pushes, never pulls: which of them act is found in a few rounds.
        """
        least, most = self._room(q, load)
        locked = [x > 0.5 for x in load.locked]
        nothing = [still & ~still for still in locked]
        low, high = nothing, nothing
        change = [v - a for v, a in zip(velocity, aim, strict=True)]
        for _ in range(ROUNDS):
            push = [
                minus(plus(*(times(m, x) for m, x in zip(row, change, strict=True))), r)
                for row, r in zip(mass, impulse, strict=True)
            ]
            now = [a + x for a, x in zip(aim, change, strict=True)]
            low = [
                ~s & ((v < b - SLACK) | (w & (p > 0.0)))
                for s, v, b, w, p in zip(locked, now, least, low, push)
            ]
            high = [
                ~s & ((v > b + SLACK) | (w & (p < 0.0)))
                for s, v, b, w, p in zip(locked, now, most, high, push)
            ]
            fixed = [s | a | b for s, a, b in zip(locked, low, high, strict=True)]
            by = [
                torch.where(a, x - v, torch.where(b, y - v, -v))
                for a, b, x, y, v in zip(low, high, least, most, aim, strict=True)
            ]
            change = _settle(mass, impulse, fixed, by, load.zero)
        now = [a + x for a, x in zip(aim, change, strict=True)]
        return [
            torch.where(s, v, torch.minimum(torch.maximum(v, x), y))
            for s, v, x, y in zip(locked, now, least, most, strict=True)
        ]

    @staticmethod
    def _room(q: Numbers, load: Load) -> tuple[list[Number], list[Number]]:
        """The least and the most velocity that stops allow."""
        gain = times(STOP_GAIN, load.rate)

        def back(excess: Number) -> Number:
            return torch.where(excess > DEEP, load.zero, times(gain, excess))

        least = [torch.where(p < x, back(x - p), -FREE) for x, p in zip(load.lower, q, strict=True)]
        most = [torch.where(p > x, -back(p - x), FREE) for x, p in zip(load.upper, q, strict=True)]
        return least, most


def _any(masks: Sequence[Mask]) -> Mask:
    return reduce(or_, masks)


def _settle(mass: Matrix, impulse: Numbers, fixed: Sequence[Mask], by: Numbers, zero: Number) -> list[Number]:
    """Changes x of velocity with M x = impulse in the free joints and x = by in the fixed ones: L D Lᵀ.

    A fixed joint's row and column are those of the unit matrix, and what it takes from the others moves to
    the right-hand side.
    """
    n = len(fixed)
    taken = [torch.where(f, b, zero) for f, b in zip(fixed, by, strict=True)]
    left = [minus(r, plus(*map(times, row, taken))) for row, r in zip(mass, impulse, strict=True)]
    right = [torch.where(f, b, r) for f, b, r in zip(fixed, by, left, strict=True)]
    lower: list[list[Number]] = [[0.0] * n for _ in range(n)]
    diagonal: list[Number] = []
    for j in range(n):
        rest = plus(*(times(times(lower[j][k], lower[j][k]), -diagonal[k]) for k in range(j)))
        diagonal.append(torch.where(fixed[j], 1.0, plus(mass[j][j], rest, zero)))
        for i in range(j + 1, n):
            rest = plus(*(times(times(lower[i][k], lower[j][k]), -diagonal[k]) for k in range(j)))
            free = torch.where(fixed[i] | fixed[j], zero, plus(mass[i][j], zero))
            lower[i][j] = plus(free, rest) / diagonal[j]
    x = list(right)
    for i in range(n):
        x[i] = minus(x[i], plus(*(times(lower[i][k], x[k]) for k in range(i))))
    x = [a / d for a, d in zip(x, diagonal, strict=True)]
    for i in reversed(range(n)):
        x[i] = minus(x[i], plus(*(times(lower[k][i], x[k]) for k in range(i + 1, n))))
    return x
