"""What compiled throws read and write: the arguments of the kernel's functions, and rows of numbers."""

from __future__ import annotations

FUNCTION, PLAN = "throws", "plan"
"""The functions of the kernel; the second, on CPUs only, foresees a control step of the arm."""
UNITS = 8
"""Of a network's layer, computed together: sizes of layers are rounded up to a multiple of it."""
TOGETHER = 16
"""Throws whose noise stands together, so that a block of them reads it from one place."""
MOST_UNITS = 256
"""Of a layer."""
IN_AIR, RIM, SEES_AIR = 1, 2, 4
"""Flags: the ball is slowed by air; the target is a bin; a policy foresees flights through air."""
LIMITS = ("velocity", "acceleration", "lower", "upper", "period")
LOAD = ("effort", "locked", "least", "most", "payload", "gravity", "h", "rate")
JOINT_CONSTANTS = ("full", "velocity", "acceleration", "lower", "upper", "effort", "locked", "least", "most")
CONSTANTS = ("payload", "gravity", "h", "rate", "period", "drag", "radius", "rim", "physics")
POINTERS = (
    "const T *constants",
    "const T *given",
    "T *left",
    "const T *actions",
    "T *trajectory",
    "const T *pilot",
    "const int *layers",
    "const T *noise",
    "T *seen",
    "T *acted",
    "T *chosen",
)
"""[K, N or 1]; state rows [S, N] before and after; actions; states of every step [T + 1, N, R]; a policy's
constants and weights, its numbers of layers and units; its noise [N / 16, T, n + 1, 16]; observations
[T + 1, N, D], actions [T, N, n + 1], and logit of the release and Σz² of the noise [T, N, 2]. The last seven
may be null: without `pilot` the actions are given."""
NUMBERS = (
    "lane",  # of constants, from one throw to the next: 0 or 1
    "row",  # of constants, from one to the next
    "action_time",  # of actions, from one to the next control step; joint; throw
    "action_row",
    "action_lane",
    "steps",  # physics steps in a control step
    "periods",  # control steps to be done
    "time",  # control steps done before
    "horizon",
    "flags",
    "count",
)


def state_rows(n: int) -> dict[str, int]:
    """Rows of a state, in order; the first up to `held` are those of a trajectory, with `landed`."""
    return {
        "q": n,
        "qd": n,
        "ball": 3,
        "speed": 3,
        "held": 1,
        "landed": 1,
        "target": 3,
        "violated": 1,
        "clipped": 1,
    }


TRAJECTORY = ("q", "qd", "ball", "speed", "held", "landed")
"""The rows of a state that a trajectory has."""


def constant_rows(n: int) -> dict[str, int]:
    """Rows of the constants, in order."""
    return dict.fromkeys(JOINT_CONSTANTS, n) | dict.fromkeys(CONSTANTS, 1)


def plan_rows(n: int) -> dict[str, int]:
    """Rows of the constants of a plan, in order."""
    names = ("payload", "gravity", "h", "rate", "period")
    return {k: size for k, size in constant_rows(n).items() if k in (*LIMITS, "full", *names)}


def pilot_rows(n: int) -> dict[str, int]:
    """A policy's constants, in order, before its weights."""
    seen = 2 * n + 14
    return {
        "mean": seen,
        "sharpness": seen,
        "share": n,
        "deviation": n,
        "gain": 1,
        "seen_gravity": 1,
        "seen_drag": 1,
    }
