"""A robot arm from a URDF and a YAML of about ten lines."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from irl_ros.errors import InputError, unknown_name
from irl_ros.resources import config_file
from irl_ros.robots.kinematics import Kinematics
from irl_ros.robots.urdf import MOVING, Joint, read_chain, read_links
from irl_ros.settings import as_dict, build, load_yaml


@dataclass(frozen=True)
class LinkInertial:
    """A link's inertial in its own frame, as a robot YAML gives it."""

    mass: float
    """kg"""
    centre: tuple[float, float, float]
    """Centre of mass, m."""
    inertia: tuple[float, float, float, float, float, float]
    """About the centre: xx, xy, xz, yy, yz, zz, kg m²."""


@dataclass(frozen=True)
class RobotSettings:
    """The keys of a robot YAML. Joint lists are in the order of `joints`, the order used everywhere."""

    urdf: str
    """`pybullet_data:<path>`, an absolute path, or a path relative to the YAML."""
    joints: tuple[str, ...]
    """The arm's moving joints, base first."""
    end_effector: str
    """Link that carries the ball."""
    tool_offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """The held ball's centre in the end-effector frame, m."""
    home: tuple[float, ...] = ()
    """Where a throw starts, rad (m for sliding joints). Default: zeros."""
    velocity: tuple[float, ...] | None = None
    """Overrides the URDF's velocity limits, rad/s."""
    acceleration: tuple[float, ...] | float = 10.0
    """Acceleration limits, rad/s². URDF has none."""
    jerk: tuple[float, ...] | float = 1000.0
    """Jerk limits, rad/s³. URDF has none."""
    effort: tuple[float, ...] | None = None
    """Overrides the URDF's effort limits, N m."""
    inertials: dict[str, LinkInertial] = field(default_factory=dict)
    """Override the URDF's inertials, by link."""
    position_margin: float = 0.0
    """Kept free at each end of a joint's travel, rad."""
    controllers: dict[str, str] = field(default_factory=dict)
    """Topics of the real controllers: `commands`, `joint_trajectory`, `gripper`."""


@dataclass(frozen=True)
class Robot:
    """An arm: names, limits and kinematics. Joints are matched by name.

    Attributes:
        name: the YAML's stem.
        settings: its YAML.
        urdf: resolved path of the URDF.
        chain: URDF joints from the base to the end effector.
        home, lower, upper: rad, [n].
        velocity, acceleration, jerk, effort: rad/s, rad/s², rad/s³, N m; [n].
    """

    name: str
    settings: RobotSettings
    urdf: Path
    chain: tuple[Joint, ...]
    home: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    jerk: np.ndarray
    effort: np.ndarray

    @property
    def joints(self) -> tuple[str, ...]:
        return self.settings.joints

    @property
    def n(self) -> int:
        """Number of moving joints."""
        return len(self.settings.joints)

    @cached_property
    def tool_in_last_link(self) -> np.ndarray:
        """The held ball's centre in the frame of the last moving joint's link, m, [3]."""
        last = max(i for i, joint in enumerate(self.chain) if joint.kind in MOVING)
        point = np.array(self.settings.tool_offset)
        for joint in reversed(self.chain[last + 1 :]):
            point = joint.translation + joint.rotation @ point
        return point

    @cached_property
    def sha256(self) -> str:
        """Hash of the URDF and the YAML's values: two robots with the same hash move alike."""
        digest = hashlib.sha256(self.urdf.read_bytes())
        digest.update(json.dumps(as_dict(self.settings), sort_keys=True).encode())
        return digest.hexdigest()

    def kinematics(
        self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> Kinematics:
        """Batched kinematics with the tool point at the held ball's centre."""
        return Kinematics(self.chain, self.settings.tool_offset, device, dtype)


def load_robot(name: str | Path) -> Robot:
    """The robot of a shipped name ("panda", "iiwa") or of a YAML path.

    Raises:
        InputError: a key, a joint or a limit is missing or impossible; the text names file and field.
    """
    path = config_file("robots", name)
    settings = build(RobotSettings, load_yaml(path), path)
    urdf = _resolve(settings.urdf, path)
    chain = read_chain(urdf, settings.end_effector)
    moving = {j.name: j for j in chain if j.kind in MOVING}
    for joint in settings.joints:
        if joint not in moving:
            raise InputError(path, *unknown_name("joint", joint, moving))
    if left_out := [j for j in moving if j not in settings.joints]:
        raise InputError(
            path, f"joints: leaves out moving joint '{left_out[0]}' between base and end effector"
        )
    for link in settings.inertials:
        if link not in (links := read_links(urdf)):
            raise InputError(path, *unknown_name("link in inertials", link, links))
    joints = [moving[j] for j in settings.joints]
    if settings.joints != tuple(moving):
        raise InputError(path, "joints: not in order from base to end effector", f"use {list(moving)}")
    n = len(joints)
    margin = settings.position_margin
    robot = Robot(
        name=path.stem,
        settings=settings,
        urdf=urdf,
        chain=tuple(chain),
        home=_per_joint(settings.home or 0.0, n, path, "home"),
        lower=np.array([j.lower for j in joints]) + margin,
        upper=np.array([j.upper for j in joints]) - margin,
        velocity=_limits(settings.velocity, [j.velocity for j in joints], path, "velocity", settings.joints),
        acceleration=_per_joint(settings.acceleration, n, path, "acceleration"),
        jerk=_per_joint(settings.jerk, n, path, "jerk"),
        effort=_limits(settings.effort, [j.effort for j in joints], path, "effort", settings.joints),
    )
    for i, joint in enumerate(settings.joints):
        if robot.lower[i] >= robot.upper[i]:
            raise InputError(
                path, f"joint '{joint}' has lower limit {robot.lower[i]} not below upper {robot.upper[i]}"
            )
        if not robot.lower[i] <= robot.home[i] <= robot.upper[i]:
            limits = f"[{robot.lower[i]:.4f}, {robot.upper[i]:.4f}]"
            raise InputError(path, f"home: joint '{joint}' at {robot.home[i]} is outside its limits {limits}")
    return robot


def _resolve(urdf: str, yaml_path: Path) -> Path:
    if urdf.startswith("pybullet_data:"):
        import pybullet_data

        return Path(pybullet_data.getDataPath()) / urdf.removeprefix("pybullet_data:")
    path = Path(urdf).expanduser()
    return path if path.is_absolute() else (yaml_path.parent / path).resolve()


def _per_joint(value: tuple[float, ...] | float, n: int, where: Path, key: str) -> np.ndarray:
    array = np.asarray(value, dtype=float)
    if array.ndim and array.shape != (n,):
        raise InputError(where, f"{key}: has {array.size} values", f"give one for each of the {n} joints")
    if key != "home" and not (array > 0).all():
        raise InputError(where, f"{key}: must be positive")
    return np.broadcast_to(array, (n,)).copy()


def _limits(
    value: tuple[float, ...] | None, from_urdf: list[float], where: Path, key: str, joints: tuple[str, ...]
) -> np.ndarray:
    if value is not None:
        return _per_joint(value, len(joints), where, key)
    for joint, limit in zip(joints, from_urdf, strict=True):
        if limit <= 0:
            raise InputError(
                where, f"the URDF gives joint '{joint}' no {key} limit", f"add `{key}:` to the YAML"
            )
    return np.array(from_urdf)
