"""The next velocity command of one joint: as near to the wanted one as leaves a stop inside all limits."""

from __future__ import annotations

from dataclasses import dataclass

from irl_ros.safety.braking import brake, deadbeat, peak_speed, stopping_distance, towards

SHORTEST = 0.5
"""Of a period: no step is shorter."""
_TRIES = 5  # of accelerations between one that is certain and one that is wanted
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
        |a| ≤ A,    v ≤ V, and v + a² / 2J ≤ V where the next step cannot take a back,    κ B(v, a) ≤ room,
    each in both directions, with B from `braking_room`. From a viable state the step of `brake` leads to a
    viable one, so there is an interval of accelerations around it that do. Wanted velocities inside pass
    exactly.

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
        worst = stopping_distance(v, a, a, j) + (period + lag) * peak_speed(v, a, j)
        self._far = self.stretch * worst  # no viable command needs more room than this
        # no step from farther away can take the velocity beyond its limit
        self._near = a * period + a * a / (2.0 * j)
        # an acceleration that the next step can take back, however short
        self._soon = j * SHORTEST * period

    def stop(self, v: float, a: float, dt: float) -> float:
        """The next velocity on the way to rest, rad/s, after dt s at velocity v with acceleration a."""
        return self._apply(v, brake(v, a, dt, self.limits.acceleration, self.limits.jerk), dt)

    def next(
        self,
        wanted: float,
        v: float,
        a: float,
        dt: float,
        commanded: tuple[float, float],
        measured: tuple[float, float],
        recent: tuple[float, float] = (0.0, 0.0),
    ) -> float:
        """The velocity to command, rad/s, after dt ≤ period seconds at velocity v with acceleration a.

        Args:
            wanted: the velocity asked for, rad/s.
            commanded: room below and above the commanded position, rad. Viability in it is kept for certain.
            measured: the same of the measured position, which may be disturbed: where a stop no longer fits,
                the joint brakes as hard as it may.
            recent: lowest and highest velocity commanded since that measurement, rad/s. An arm that is late
                still has a way of these to go.
        """
        top, amax, jerk = self.limits.velocity, self.limits.acceleration, self.limits.jerk
        safe = brake(v, a, dt, amax, jerk)
        reach = jerk * dt
        low, high = max(a - reach, -amax), min(a + reach, amax)
        if top + v < self._near:
            low = max(low, -self._up_to(top + v, dt))
        if top - v < self._near:
            high = min(high, self._up_to(top - v, dt))
        # rounding may put the certain stop a hair outside its own bounds
        chosen = min(max(deadbeat(wanted - v, dt, jerk), min(low, safe)), max(high, safe))
        if chosen > safe:
            if min(commanded[1], measured[1]) < self._far:
                chosen = self._fit(chosen, safe, v, dt, commanded[1], measured[1], recent[1])
        elif chosen < safe and min(commanded[0], measured[0]) < self._far:
            chosen = -self._fit(-chosen, -safe, -v, dt, commanded[0], measured[0], -recent[0])
        return self._apply(v, chosen, dt)

    def _up_to(self, error: float, dt: float) -> float:
        """The largest acceleration that goes through a rest of velocity only as far as is allowed, rad/s²."""
        at_once = error / dt
        if at_once <= self._soon:
            return at_once
        return max(towards(error, dt, self.limits.jerk), self._soon)

    def _fit(
        self,
        chosen: float,
        safe: float,
        v: float,
        dt: float,
        commanded: float,
        measured: float,
        recent: float,
    ) -> float:
        """The largest acceleration in [safe, chosen] that leaves room to stop; need rises with it.

        Everything is towards one limit: its rooms, rad, and the highest recent velocity, rad/s.
        """
        amax, jerk = self.limits.acceleration, self.limits.jerk

        def left(a: float) -> float:
            """Room that is not needed, rad."""
            after = v + a * dt
            peak = peak_speed(after, a, jerk)
            need = stopping_distance(after, a, amax, jerk) + self.period * peak
            late = self.lag * (peak if peak > recent else recent)
            return min(commanded - self.stretch * need, measured - self.stretch * (need + late))

        above = left(chosen)
        if above >= 0.0:
            return chosen
        below = left(safe)
        if below <= 0.0:
            return safe
        # regula falsi with Illinois' rule; the answer is always the end that fits, however far it has come
        side = 0
        for _ in range(_TRIES):
            middle = safe + (chosen - safe) * below / (below - above)
            room = left(middle)
            if room >= 0.0:
                safe, below = middle, room
                above, side = 0.5 * above if side == 1 else above, 1
            else:
                chosen, above = middle, room
                below, side = 0.5 * below if side == -1 else below, -1
        return safe

    def _apply(self, v: float, a: float, dt: float) -> float:
        after = v + a * dt
        if abs(after) < _REST:
            return 0.0
        return min(max(after, -self.limits.velocity), self.limits.velocity)
