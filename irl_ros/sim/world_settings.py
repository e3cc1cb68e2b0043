"""The keys of a world YAML, what each means, and which values make sense (manual: docs/simulation.md)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from irl_ros.errors import InputError, unknown_name
from irl_ros.robots import Robot

Range = float | tuple[float, float]
"""A number; or [from, to]: drawn uniformly for every throw."""
Steps = int | tuple[int, int]
"""Control steps; or [from, to]: a whole number between them, drawn for every throw."""
Scales = float | tuple[float | tuple[float, float], ...]
"""A share of a limit: a Range for the whole arm, or a Range for each joint. Two values are one for each joint
of a robot that has two, else a Range."""


@dataclass(frozen=True)
class Ball:
    mass: Range = 0.05
    """kg"""
    radius: Range = 0.03
    """m"""
    drag: Range = 0.0
    """Drag coefficient of the sphere in air (0: none; a smooth sphere: 0.47)."""


@dataclass(frozen=True)
class Target:
    """Targets are drawn uniformly in radius and azimuth around the robot's base, at one height."""

    radius: tuple[float, float] = (0.7, 1.1)
    """m"""
    azimuth: tuple[float, float] = (-0.5, 0.5)
    """rad, from +x towards +y"""
    height: float = 0.0
    """m"""
    rim: float = 0.0
    """Radius of a bin's opening, m: the ball must come down through it. 0: an open plane."""


@dataclass(frozen=True)
class Arm:
    velocity_scale: Scales = 1.0
    """Share of each joint's velocity limit that is left."""
    acceleration_scale: Scales = 1.0
    """Share of each joint's acceleration limit that is left."""
    effort_scale: Scales = 1.0
    """Share of each joint's effort limit that is left."""
    locked: tuple[str, ...] = ()
    """Joints that do not move."""
    payload: Range = 0.0
    """kg at the tool point, besides the ball."""
    latency: Steps = 0
    """Control steps from a velocity command to when the joints follow it."""
    noise: Range = 0.0
    """Standard deviation of every velocity command, as a share of it: an arm at rest stays at rest."""


@dataclass(frozen=True)
class Gripper:
    latency: Steps = 0
    """Control steps from the command to let go until the ball is free."""


@dataclass(frozen=True)
class Sensors:
    """Standard deviations of what is added to every reading. Outcomes are judged by the truth."""

    q: Range = 0.0
    """rad (m for sliding joints)"""
    qd: Range = 0.0
    """rad/s"""
    ball_position: Range = 0.0
    """m, along each axis"""
    ball_velocity: Range = 0.0
    """m/s, along each axis"""


@dataclass(frozen=True)
class WorldSettings:
    """The keys of a world YAML (config/worlds/default.yaml has the units)."""

    robot: str = "panda"
    control_hz: float = 50.0
    physics_steps: int = 5
    horizon: int = 60
    start: str = "home"
    home: tuple[float, ...] | None = None
    ball: Ball = field(default_factory=Ball)
    gravity: Range = 9.81
    target: Target = field(default_factory=Target)
    arm: Arm = field(default_factory=Arm)
    gripper: Gripper = field(default_factory=Gripper)
    sensors: Sensors = field(default_factory=Sensors)


RANGES = {
    "gravity": (0.0, 100.0),
    "ball.mass": (0.0, 100.0),
    "ball.radius": (0.0, 1.0),
    "ball.drag": (0.0, 100.0),
    "arm.payload": (0.0, 1000.0),
    "arm.noise": (0.0, 1.0),
    "sensors.q": (0.0, 1.0),
    "sensors.qd": (0.0, 10.0),
    "sensors.ball_position": (0.0, 1.0),
    "sensors.ball_velocity": (0.0, 10.0),
}
"""Keys that take a Range, with the least and the largest value that is no mistake."""
POSITIVE = ("gravity", "ball.mass", "ball.radius")
"""Of those, the keys whose least value is not allowed itself."""
STEPS = ("arm.latency", "gripper.latency")
"""Keys that take Steps."""
SCALES = ("arm.velocity_scale", "arm.acceleration_scale", "arm.effort_scale")
"""Keys that take Scales."""


def value_of(settings: WorldSettings, key: str) -> Any:
    """The value of a dotted key."""
    value: Any = settings
    for name in key.split("."):
        value = getattr(value, name)
    return value


def ends(value: Range) -> tuple[float, float]:
    """Lower and upper end of a Range (or Steps)."""
    return value if isinstance(value, tuple) else (value, value)


def middle(value: Range) -> float:
    """Middle of a Range (or Steps)."""
    low, high = ends(value)
    return low if low == high else (low + high) / 2


def joint_ends(scales: Scales, n: int) -> np.ndarray:
    """Lower and upper ends of Scales, [2, n]. One for the whole arm is the same in every joint."""
    if not isinstance(scales, tuple) or shared(scales, n):
        return np.repeat(np.array(ends(scales))[:, None], n, 1)  # type: ignore[arg-type]
    return np.array([ends(s) for s in scales]).T


def shared(scales: Scales, n: int) -> bool:
    """Whether Scales is one Range for the whole arm of n joints."""
    numbers = isinstance(scales, tuple) and all(not isinstance(s, tuple) for s in scales)
    return not isinstance(scales, tuple) or (numbers and len(scales) == 2 and n != 2)


def check(s: WorldSettings, robot: Robot, where: str) -> None:
    """Refuse values that cannot be.

    Raises:
        InputError: naming file, field and cure.
    """

    def refuse(key: str, problem: str, cure: str = "") -> None:
        raise InputError(where, f"{key}: {problem}", cure)

    for key, value in _numbers(s):
        if not math.isfinite(value):
            refuse(key, f"is not a finite number, found {value}")
    for key in ("control_hz", "horizon", "physics_steps"):
        if value_of(s, key) <= 0:
            refuse(key, f"must be positive, found {value_of(s, key)}")
    if s.start not in ("home", "demos"):
        refuse("start", f"expected home or demos, found '{s.start}'")
    _check_ranges(s, refuse)
    _check_target(s, refuse)
    _check_arm(s, robot, where, refuse)


Refuse = Callable[..., None]


def _numbers(s: WorldSettings) -> Iterator[tuple[str, float]]:
    """Every number with its key."""

    def walk(value: Any, key: str) -> Iterator[tuple[str, float]]:
        if hasattr(value, "__dataclass_fields__"):
            for name in value.__dataclass_fields__:
                yield from walk(getattr(value, name), f"{key}.{name}" if key else name)
        elif isinstance(value, tuple):
            for item in value:
                yield from walk(item, key)
        elif isinstance(value, (int, float)):
            yield key, value

    yield from walk(s, "")


def _check_ranges(s: WorldSettings, refuse: Refuse) -> None:
    for key in (*RANGES, *STEPS):
        low, high = ends(value_of(s, key))
        if low > high:
            refuse(key, f"lower end {low} is above upper end {high}", f"write [{high}, {low}]")
        least, largest = RANGES.get(key, (0, s.horizon - 1))
        if low < least or (key in POSITIVE and low == least):
            refuse(key, f"must {'be positive' if key in POSITIVE else 'not be negative'}, found {low:g}")
        if high > largest:
            unit = f"a throw has {s.horizon} control steps" if key in STEPS else "is the unit right?"
            refuse(key, f"must be at most {largest:g}, found {high:g}", unit)


def _check_target(s: WorldSettings, refuse: Refuse) -> None:
    t = s.target
    for key, (low, high) in (("target.radius", t.radius), ("target.azimuth", t.azimuth)):
        if low > high:
            refuse(key, f"lower end {low} is above upper end {high}", f"write [{high}, {low}]")
    if t.azimuth[1] - t.azimuth[0] > 2 * math.pi + 1e-9:
        refuse("target.azimuth", "spans more than a full turn", "give radians, such as [-0.5, 0.5]")
    if t.rim < 0:
        refuse("target.rim", f"must not be negative, found {t.rim:g}", "0 is an open plane")
    if 0 < t.rim <= ends(s.ball.radius)[1]:
        refuse(
            "target.rim",
            f"{t.rim:g} m lets no ball of radius {ends(s.ball.radius)[1]:g} m through",
            "make the opening wider than the ball",
        )


def _check_arm(s: WorldSettings, robot: Robot, where: str, refuse: Refuse) -> None:
    for key in SCALES:
        scales = value_of(s, key)
        if not shared(scales, robot.n) and len(scales) != robot.n:
            refuse(key, f"has {len(scales)} values", f"give one number or one for each of {robot.n} joints")
        low, high = joint_ends(scales, robot.n)
        if (low > high).any():
            i = int((low > high).argmax())
            refuse(key, f"lower end {low[i]:g} is above upper end {high[i]:g}")
        if (low <= 0).any() or (high > 1).any():
            refuse(key, "must be above 0 and at most 1", "use arm.locked for a joint that does not move")
    for joint in s.arm.locked:
        if joint not in robot.joints:
            raise InputError(where, *unknown_name("joint in arm.locked", joint, robot.joints))
    if len(set(s.arm.locked)) == robot.n:
        refuse("arm.locked", "names every joint", "leave one that moves")
    if s.home is not None:
        if len(s.home) != robot.n:
            refuse("home", f"has {len(s.home)} values", f"robot {robot.name} has {robot.n} joints")
        for joint, value, low, high in zip(robot.joints, s.home, robot.lower, robot.upper, strict=True):
            if not low <= value <= high:
                refuse("home", f"joint '{joint}' at {value} is outside its limits [{low:.4f}, {high:.4f}]")
