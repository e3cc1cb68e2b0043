"""A World: everything about a throw that is not the policy. A YAML whose keys all have defaults."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from irl_ros.resources import config_file
from irl_ros.robots import Robot, load_robot
from irl_ros.settings import as_dict, build, load_yaml, override
from irl_ros.sim.conditions import Conditions, draw_conditions
from irl_ros.sim.world_settings import (
    RANGES,
    SCALES,
    STEPS,
    Gripper,
    Sensors,
    WorldSettings,
    check,
    ends,
    joint_ends,
    middle,
    value_of,
)


@dataclass(frozen=True)
class World:
    """A checked world with its robot.

    Where limits are ranges, the attributes hold their upper ends: an action is a share of these, and an arm
    that has drawn less does what it can.

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

    @property
    def effort(self) -> np.ndarray:
        """Effort limits in this world, N m (N for sliding joints), [n]."""
        return self.robot.effort * joint_ends(self.settings.arm.effort_scale, self.robot.n)[1]

    @cached_property
    def locked(self) -> np.ndarray:
        """Which joints do not move, bool [n]."""
        return np.array([j in self.settings.arm.locked for j in self.robot.joints])

    @cached_property
    def drawn(self) -> dict[str, tuple[float, float]]:
        """Keys that are drawn anew for every throw, each with its lower and upper end.

        A key of Scales with a value a joint shows the least and the largest of them.
        """
        found = {}
        for key in (*RANGES, *STEPS):
            found[key] = ends(value_of(self.settings, key))
        for key in SCALES:
            low, high = joint_ends(value_of(self.settings, key), self.robot.n)
            found[key] = (float(low.min()), float(high.max())) if (low < high).any() else (1.0, 1.0)
        return {key: (low, high) for key, (low, high) in found.items() if low < high}

    @cached_property
    def varies(self) -> bool:
        """Whether throws differ in more than their targets: something is drawn, delayed or noisy."""
        return bool(self.drawn) or self.fixed() is not self

    @cached_property
    def disturbed(self) -> bool:
        """Whether commands may act late or inexactly, or readings not be the truth."""
        s = self.settings
        sensors = (getattr(s.sensors, f.name) for f in dataclasses.fields(s.sensors))
        return any(ends(x)[1] > 0 for x in (s.arm.latency, s.gripper.latency, s.arm.noise, *sensors))

    def fixed(self, delays: bool = False) -> World:
        """This world with every range at its middle and without noise: what a throw in it is planned for.

        Args:
            delays: keep the latencies.
        """
        s, n = self.settings, self.robot.n
        arm: dict[str, Any] = {}
        for key in SCALES:
            low, high = joint_ends(value_of(s, key), n)
            if (low < high).any():
                arm[key.split(".")[1]] = tuple(float(x) for x in (low + high) / 2)
        latency = {key: round(middle(value_of(s, key))) if delays else 0 for key in STEPS}
        arm |= {"payload": middle(s.arm.payload), "latency": latency["arm.latency"], "noise": 0.0}
        ball = {f.name: middle(getattr(s.ball, f.name)) for f in dataclasses.fields(s.ball)}
        settings = dataclasses.replace(
            s,
            ball=dataclasses.replace(s.ball, **ball),
            gravity=middle(s.gravity),
            arm=dataclasses.replace(s.arm, **arm),
            gripper=Gripper(latency["gripper.latency"]),
            sensors=Sensors(),
        )
        return self if settings == s else self.changed(settings)

    def changed(self, settings: WorldSettings) -> World:
        """A world of other settings with the same robot."""
        return _world(self.name, settings, self.robot)

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

    def sample_conditions(self, count: int, generator: torch.Generator | None = None) -> Conditions | None:
        """What else differs from throw to throw, [count], on the CPU; None where nothing does."""
        return draw_conditions(self, count, generator) if self.varies else None


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
        if _is_file(data.get("robot")):  # beside its world
            data["robot"] = str(path.parent / Path(data["robot"]).expanduser())
    settings = build(WorldSettings, override(data, assignments or []), where)
    if _is_file(settings.robot):  # kept whole, since a policy's bundle is loaded from anywhere
        settings = dataclasses.replace(settings, robot=str(Path(settings.robot).expanduser().resolve()))
    robot = load_robot(settings.robot)
    check(settings, robot, where)
    return _world(stem, settings, robot)


def _is_file(robot: object) -> bool:
    return str(robot).endswith((".yaml", ".yml"))


def _world(name: str, settings: WorldSettings, robot: Robot) -> World:
    velocity = joint_ends(settings.arm.velocity_scale, robot.n)[1]
    acceleration = joint_ends(settings.arm.acceleration_scale, robot.n)[1]
    locked = np.array([j in settings.arm.locked for j in robot.joints])
    return World(
        name=name,
        settings=settings,
        robot=robot,
        home=robot.home if settings.home is None else np.array(settings.home),
        velocity=robot.velocity * velocity * ~locked,
        acceleration=robot.acceleration * acceleration,
    )
