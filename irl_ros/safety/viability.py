"""The next velocity command of one joint: as near to what is wanted as lets a stop inside all limits remain."""

from __future__ import annotations

from dataclasses import dataclass

from irl_ros.safety.braking import brake, deadbeat, peak_speed, stopping_distance, towards

_HALVINGS = 12  # of an interval of accelerations at most 2 A wide
_REST = 1e-12  # rad/s; a stop converges quadratically, and from here on it is over


@dataclass(frozen=True)
class JointLimits:
    """What one joint may do: rad, rad/s, rad/s², rad/s³."""

    lower: float
    upper: float
    velocity: float
    acceleration: float
    jerk: float


class Viability:
    """One-step lookahead into the set of joint states from which a stop inside all limits exists.

    A state is viable where
        |a| ≤ A,    v + a² / 2J ≤ V while a > 0 (and mirrored),    κ B(v, a) ≤ room up and room down,
    with B from `braking_room`. From a viable state the step of `brake` leads to a viable one, so each call can
    choose among accelerations that do: an interval around that step. Wanted velocities inside pass exactly.

    Args:
        limits: of the joint.
        period: the longest planned time between commands, s.
        lateness: how much longer every one of them may take, as a share of it: κ = 1 + lateness. A stop whose
            every command comes late by that much takes κ times the room.
        lag: how much later than commanded the arm moves, s; for rooms that were measured on it.
    """

    def __init__(self, limits: JointLimits, period: float, lateness: float = 0.0, lag: float = 0.0) -> None:
        self.limits, self.period, self.stretch, self.lag = limits, period, 1.0 + lateness, lag
        v, a, j = limits.velocity, limits.acceleration, limits.jerk
        worst = stopping_distance(v, 0.0, a, j) + v * a / j + (period + lag) * v
        self._far = self.stretch * worst  # no viable command needs more room than this

    def stop(self, v: float, a: float, dt: float) -> float:
        """The next velocity on the way to rest, rad/s, from velocity v and acceleration a after dt seconds."""
        return self._apply(v, brake(v, a, dt, self.limits.acceleration, self.limits.jerk), dt)

    def next(
        self,
        wanted: float,
        v: float,
        a: float,
        dt: float,
        commanded: tuple[float, float],
        measured: tuple[float, float],
    ) -> float:
        """The velocity to command, rad/s, after dt ≤ period seconds at velocity v with acceleration a.

        Args:
            wanted: the velocity asked for, rad/s.
            commanded: room below and above the commanded position, rad. Viability in it is kept for certain.
            measured: the same of the measured position, which may be disturbed: where a stop no longer fits,
                the joint brakes as hard as it may.
        """
        top, amax, jerk = self.limits.velocity, self.limits.acceleration, self.limits.jerk
        safe = brake(v, a, dt, amax, jerk)
        reach = jerk * dt
        low = max(a - reach, -amax, -towards(top + v, dt, jerk))
        high = min(a + reach, amax, towards(top - v, dt, jerk))
        # rounding may put the certain stop a hair outside its own bounds
        chosen = min(max(deadbeat(wanted - v, dt, jerk), min(low, safe)), max(high, safe))
        if chosen > safe:
            if min(commanded[1], measured[1]) < self._far:
                chosen = self._fit(chosen, safe, v, dt, commanded[1], measured[1])
        elif chosen < safe and min(commanded[0], measured[0]) < self._far:
            chosen = -self._fit(-chosen, -safe, -v, dt, commanded[0], measured[0])
        return self._apply(v, chosen, dt)

    def _fit(
        self, chosen: float, safe: float, v: float, dt: float, commanded: float, measured: float
    ) -> float:
        """The largest acceleration in [safe, chosen] that leaves room to stop; need rises with acceleration."""
        if self._fits(chosen, v, dt, commanded, measured):
            return chosen
        for _ in range(_HALVINGS):
            middle = 0.5 * (safe + chosen)
            if self._fits(middle, v, dt, commanded, measured):
                safe = middle
            else:
                chosen = middle
        return safe

    def _fits(self, a: float, v: float, dt: float, commanded: float, measured: float) -> bool:
        after = v + a * dt
        peak = peak_speed(after, a, self.limits.jerk)
        need = stopping_distance(after, a, self.limits.acceleration, self.limits.jerk) + self.period * peak
        # an arm that is late has the way of its former velocity still to go
        return (
            self.stretch * need <= commanded and self.stretch * (need + self.lag * max(peak, v)) <= measured
        )

    def _apply(self, v: float, a: float, dt: float) -> float:
        after = v + a * dt
        if abs(after) < _REST:
            return 0.0
        return min(max(after, -self.limits.velocity), self.limits.velocity)
