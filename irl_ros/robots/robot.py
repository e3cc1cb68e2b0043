"""A robot arm, and the keys of the ten lines of YAML that describe it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from irl_ros.robots.kinematics import Kinematics
from irl_ros.robots.urdf import MOVING, Joint, rotation_about
from irl_ros.settings import as_dict


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
    """A path relative to the YAML, an absolute one, `package://<package>/<path>`, `pybullet_data:<path>`."""
    joints: tuple[str, ...]
    """The arm's moving joints, base first: revolute, continuous (rad) or prismatic (m)."""
    end_effector: str
    """Link that carries the ball: the last joint moves it, itself or over fixed joints."""
    tool_offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """The held ball's centre in the end-effector frame, m."""
    home: tuple[float, ...] = ()
    """Where a throw starts, rad (m for sliding joints). Default: zeros."""
    velocity: tuple[float, ...] | None = None
    """Overrides the URDF's velocity limits, rad/s (m/s for prismatic joints, and so on below)."""
    acceleration: tuple[float, ...] | float = 10.0
    """Acceleration limits, rad/s². URDF has none."""
    jerk: tuple[float, ...] | float = 1000.0
    """Jerk limits, rad/s³. URDF has none."""
    effort: tuple[float, ...] | None = None
    """Overrides the URDF's effort limits, N m."""
    inertials: dict[str, LinkInertial] = field(default_factory=dict)
    """Override the URDF's inertials, by link."""
    position_margin: float = 0.0
    """Kept free at each end of a joint's travel, rad or m."""
    controllers: dict[str, str] = field(default_factory=dict)
    """Topics of the real controllers: `commands`, `joint_trajectory`, `gripper`; their actions:
    `follow_joint_trajectory`, `gripper_command`."""


@dataclass(frozen=True)
class Robot:
    """An arm: names, limits and kinematics. Joints are matched by name.

    Attributes:
        name: the YAML's stem.
        settings: its YAML.
        urdf: resolved path of the URDF.
        chain: URDF joints from the base to the end effector.
        home, lower, upper: rad, [n]; continuous joints have infinite limits.
        velocity, acceleration, jerk, effort: rad/s, rad/s², rad/s³, N m; [n].

    A prismatic joint has m and N in place of rad and N m.
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
    def endless(self) -> np.ndarray:
        """Which joints are continuous, bool [n]; drivers may report them modulo a turn."""
        return ~np.isfinite(self.lower)

    @cached_property
    def tool_in_last_link(self) -> np.ndarray:
        """The held ball's centre in the frame of the last moving joint's link, m, [3]."""
        last = max(i for i, joint in enumerate(self.chain) if joint.kind in MOVING)
        point = np.array(self.settings.tool_offset)
        for joint in reversed(self.chain[last + 1 :]):
            point = joint.translation + joint.rotation @ point
        return point

    def link_frames(self, q: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Rotation [3, 3] and origin (m, [3]) of the link that each moving joint carries, at q [n]."""
        rotation, origin, frames = np.eye(3), np.zeros(3), []
        positions = iter(q)
        for joint in self.chain:
            origin, rotation = origin + rotation @ joint.translation, rotation @ joint.rotation
            if joint.kind == "prismatic":
                origin = origin + rotation @ joint.axis * next(positions)
            elif joint.kind in MOVING:
                rotation = rotation @ rotation_about(joint.axis, next(positions))
            if joint.kind in MOVING:
                frames.append((rotation, origin))
        return frames

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
