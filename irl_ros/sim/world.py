"""A World: everything about a throw that is not the policy. A YAML whose keys all have defaults."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from irl_ros.errors import InputError, unknown_name
from irl_ros.resources import config_file
from irl_ros.robots import Robot, load_robot
from irl_ros.settings import as_dict, build, load_yaml, override


@dataclass(frozen=True)
class Ball:
    mass: float = 0.05
    """kg"""
    radius: float = 0.03
    """m"""
    drag: float = 0.0
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


@dataclass(frozen=True)
class Arm:
    velocity_scale: float | tuple[float, ...] = 1.0
    """Share of each joint's velocity limit that is left."""
    acceleration_scale: float | tuple[float, ...] = 1.0
    """Share of each joint's acceleration limit that is left."""
    locked: tuple[str, ...] = ()
    """Joints that do not move."""
    payload: float = 0.0
    """kg at the tool point."""


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
    gravity: float = 9.81
    target: Target = field(default_factory=Target)
    arm: Arm = field(default_factory=Arm)


@dataclass(frozen=True)
class World:
    """A checked world with its robot.

    Attributes:
        name: the YAML's stem.
        settings: its keys.
        robot: the arm.
        home: joint positions a throw starts from, rad, [n].
        velocity, acceleration: limits in this world, rad/s and rad/s², [n] (0 for locked joints' velocity).
    """

    name: str
    settings: WorldSettings
    robot: Robot
    home: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray

    @property
    def horizon(self) -> int:
        """Control steps of an episode."""
        return self.settings.horizon

    @property
    def dt(self) -> float:
        """Control period, s."""
        return 1.0 / self.settings.control_hz

    @property
    def physics_dt(self) -> float:
        """Physics step, s."""
        return self.dt / self.settings.physics_steps

    @property
    def action_dim(self) -> int:
        """n joint velocities and the release."""
        return self.robot.n + 1

    @cached_property
    def sha256(self) -> str:
        """Hash of the settings and the robot."""
        text = json.dumps(as_dict(self.settings), sort_keys=True) + self.robot.sha256
        return hashlib.sha256(text.encode()).hexdigest()

    def action(self, velocity: ArrayLike) -> np.ndarray:
        """Joint velocities in rad/s, [..., n], as the joint part of an action: shares of this world's limits.

        Not clipped: the worlds do that. Locked joints get 0.
        """
        wanted = np.asarray(velocity, dtype=float)
        return np.divide(wanted, self.velocity, out=np.zeros_like(wanted), where=self.velocity > 0)

    def sample_targets(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Targets drawn as the world says, m, [count, 3], float32 on the CPU."""
        unit = torch.rand(count, 2, generator=generator)
        (r0, r1), (a0, a1) = self.settings.target.radius, self.settings.target.azimuth
        radius, azimuth = r0 + (r1 - r0) * unit[:, 0], a0 + (a1 - a0) * unit[:, 1]
        height = torch.full_like(radius, self.settings.target.height)
        return torch.stack((radius * azimuth.cos(), radius * azimuth.sin(), height), -1)


def load_world(name: str | Path | dict[str, Any] = "default", assignments: list[str] | None = None) -> World:
    """The world of a shipped name, a YAML path or a mapping of keys.

    Args:
        name: which world.
        assignments: `key=value` overrides, as in `target.height=0.2`.

    Raises:
        InputError: an unknown key or an impossible value; the text names file and field.
    """
    if isinstance(name, dict):
        where, stem, data = "world", "custom", name
    else:
        path = config_file("worlds", name)
        where, stem, data = str(path), path.stem, load_yaml(path)
        if str(data.get("robot", "")).endswith((".yaml", ".yml")):
            # a robot beside its world; kept whole, since a policy's bundle is loaded from anywhere
            data["robot"] = str((path.parent / Path(data["robot"]).expanduser()).resolve())
    settings = build(WorldSettings, override(data, assignments or []), where)
    robot = load_robot(settings.robot)
    _check(settings, robot, where)
    n = robot.n
    locked = np.array([j in settings.arm.locked for j in robot.joints])
    return World(
        name=stem,
        settings=settings,
        robot=robot,
        home=robot.home if settings.home is None else np.array(settings.home),
        velocity=robot.velocity * np.broadcast_to(settings.arm.velocity_scale, n) * ~locked,
        acceleration=robot.acceleration * np.broadcast_to(settings.arm.acceleration_scale, n),
    )


def _check(s: WorldSettings, robot: Robot, where: str) -> None:
    def refuse(key: str, problem: str, cure: str = "") -> None:
        raise InputError(where, f"{key}: {problem}", cure)

    for key, value in (
        ("control_hz", s.control_hz),
        ("horizon", s.horizon),
        ("physics_steps", s.physics_steps),
    ):
        if value <= 0:
            refuse(key, f"must be positive, found {value}")
    for key, value in (("gravity", s.gravity), ("ball.mass", s.ball.mass), ("ball.radius", s.ball.radius)):
        if value <= 0:
            refuse(key, f"must be positive, found {value}")
    if s.ball.drag < 0 or s.arm.payload < 0:
        refuse("ball.drag" if s.ball.drag < 0 else "arm.payload", "must not be negative")
    if s.start not in ("home", "demos"):
        refuse("start", f"expected home or demos, found '{s.start}'")
    for key, (low, high) in (("target.radius", s.target.radius), ("target.azimuth", s.target.azimuth)):
        if low > high:
            refuse(key, f"lower end {low} is above upper end {high}")
    for key, scale in (("velocity", s.arm.velocity_scale), ("acceleration", s.arm.acceleration_scale)):
        array = np.asarray(scale, dtype=float)
        if array.ndim and array.shape != (robot.n,):
            refuse(
                f"arm.{key}_scale",
                f"has {array.size} values",
                f"give one number or one for each of {robot.n} joints",
            )
        if (array <= 0).any() or (array > 1).any():
            refuse(
                f"arm.{key}_scale",
                "must be above 0 and at most 1",
                "use arm.locked for a joint that does not move",
            )
    for joint in s.arm.locked:
        if joint not in robot.joints:
            raise InputError(where, *unknown_name("joint in arm.locked", joint, robot.joints))
    if s.home is not None:
        if len(s.home) != robot.n:
            refuse("home", f"has {len(s.home)} values", f"robot {robot.name} has {robot.n} joints")
        for joint, value, low, high in zip(robot.joints, s.home, robot.lower, robot.upper, strict=True):
            if not low <= value <= high:
                refuse("home", f"joint '{joint}' at {value} is outside its limits [{low:.4f}, {high:.4f}]")
