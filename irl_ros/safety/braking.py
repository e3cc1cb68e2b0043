"""How a joint is brought to rest under acceleration and jerk limits, and how much room that takes.

One joint, one direction: v is its speed towards a position limit, rad/s (negative: away from it), a its
acceleration, rad/s², A and J the limits that remain, rad/s² and rad/s³. Everything is a plain float: the
filter runs up to a thousand times a second, where arrays of seven cost more than they save.

The stop is the quickest one with bounded acceleration and jerk: down to -A at -J, -A held, up to 0 at J.
As a law for the next step it is `brake`, as a distance `stopping_distance`.
"""

from __future__ import annotations

import math


def towards(error: float, dt: float, jerk: float) -> float:
    """Acceleration that removes a velocity error for good, rad/s².

    The result a solves a dt + a |a| / 2J = error: after this step of dt seconds, what is left of the error
    goes by while the jerk limit takes the acceleration back to zero, in steps of any length.
    """
    reach = jerk * dt
    return 2.0 * jerk * error / (math.sqrt(reach * reach + 2.0 * jerk * abs(error)) + reach)


def deadbeat(error: float, dt: float, jerk: float) -> float:
    """Acceleration that removes a velocity error in the fewest steps of exactly dt seconds, rad/s².

    With n further steps that take the acceleration back by J dt each,
    error = (n + 1) a dt - J dt² n (n + 1) / 2. Below J dt² that is error / dt: a wish that the jerk limit
    does not touch is met exactly.
    """
    size, quantum = abs(error), jerk * dt * dt
    if size <= quantum:
        return error / dt
    n = int((math.sqrt(1.0 + 8.0 * size / quantum) - 1.0) / 2.0)
    return math.copysign(size / ((n + 1) * dt) + 0.5 * n * jerk * dt, error)


def brake(v: float, a: float, dt: float, acceleration: float, jerk: float) -> float:
    """The stop's next acceleration, rad/s², for a step of dt seconds.

    As hard as the limits allow, but never so hard that the velocity would go through zero before the
    acceleration is back at zero.
    """
    reach = jerk * dt
    low, high = max(a - reach, -acceleration), min(a + reach, acceleration)
    return min(max(towards(-v, dt, jerk), low), high)


def stopping_distance(v: float, a: float, acceleration: float, jerk: float) -> float:
    """Farthest a joint gets towards the limit while it stops, rad; 0 where it does not move towards it.

    Where it moves away and will turn (v < 0), that is counted from the turning point. For v ≥ 0, let
    w = v + a² / 2J, the speed at which the acceleration will be zero on this stop, or was. The stop from
    there takes S₀ = w² / 2A + w A / 2J, or w √(w / J) where -A is not reached; the way between (v, a) and
    (w, 0) is (w - a² / 6J) a / J, negative where it has been gone already.
    """
    w = v + a * a / (2.0 * jerk)
    if a <= 0.0:
        if v <= 0.0:
            return 0.0
        if w < a * a / jerk:  # braking so hard that it will turn back: as far as the turning point
            turning = math.sqrt(a * a - 2.0 * jerk * v)
            return (-a * a * a / 3.0 + turning * turning * (a + 2.0 * turning / 3.0)) / (2.0 * jerk * jerk)
    elif v < 0.0:
        if w <= 0.0:
            return 0.0
        a = math.sqrt(
            2.0 * jerk * w
        )  # what will be left of the acceleration where it turns towards the limit
    if w * jerk <= acceleration * acceleration:
        whole = w * math.sqrt(w / jerk)
    else:
        whole = 0.5 * w * (w / acceleration + acceleration / jerk)
    return whole + (w - a * a / (6.0 * jerk)) * a / jerk


def peak_speed(v: float, a: float, jerk: float) -> float:
    """Highest speed towards the limit during the stop, rad/s; 0 where there is none."""
    return max(v + a * a / (2.0 * jerk) if a > 0.0 else v, 0.0)


def braking_room(v: float, a: float, period: float, acceleration: float, jerk: float) -> float:
    """Room that a command with velocity v and acceleration a needs in front of it, rad.

    Commands are held until the next one comes, at most `period` s. The room is the stopping distance S plus
    that at peak speed, B(v, a) = S(v, a) + period · peak, and it is invariant: for every dt ≤ period the step
    of `brake` from (v, a) to (v', a') has B(v', a') + v dt ≤ B(v, a). So where B fits once, a stop fits ever
    after.
    """
    return stopping_distance(v, a, acceleration, jerk) + period * peak_speed(v, a, jerk)
