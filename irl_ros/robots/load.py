"""Load a robot's YAML and hold it against its URDF: what would fail later or move wrongly is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from irl_ros.errors import InputError, unknown_name
from irl_ros.resources import config_file
from irl_ros.robots.files import find_file
from irl_ros.robots.inertia import arm_inertias
from irl_ros.robots.robot import Robot, RobotSettings
from irl_ros.robots.urdf import MOVING, Joint, read_chain, read_joints, read_links
from irl_ros.settings import as_dict, build, load_yaml


def load_robot(name: str | Path) -> Robot:
    """The robot of a shipped name ("panda", "iiwa", "xarm6") or of a YAML path.

    Raises:
        InputError: a key, a joint, a limit or an inertia is missing or impossible; the text names file, field
            and cure.
    """
    path = config_file("robots", name)
    settings = build(RobotSettings, load_yaml(path), path)
    _check_numbers(as_dict(settings), path)
    urdf = find_file(settings.urdf, path, f"{path}: urdf")
    chain = read_chain(urdf, settings.end_effector)
    joints = _Listed(path, settings, urdf, chain).joints()
    links = read_links(urdf)
    for link in settings.inertials:
        if link not in links:
            raise InputError(path, *unknown_name("link in inertials", link, links))
    n, margin = len(joints), settings.position_margin
    robot = Robot(
        name=path.stem,
        settings=settings,
        urdf=urdf,
        chain=tuple(chain),
        home=_per_joint(settings.home or 0.0, n, path, "home"),
        lower=np.array([j.lower for j in joints]) + margin,
        upper=np.array([j.upper for j in joints]) - margin,
        velocity=_limits(settings.velocity, joints, path, "velocity"),
        acceleration=_per_joint(settings.acceleration, n, path, "acceleration"),
        jerk=_per_joint(settings.jerk, n, path, "jerk"),
        effort=_limits(settings.effort, joints, path, "effort"),
    )
    _check_travel(robot, joints, path)
    arm_inertias(robot)
    return robot


class _Listed:
    """The joints that a YAML lists, held against those between base and end effector."""

    def __init__(self, path: Path, settings: RobotSettings, urdf: Path, chain: Sequence[Joint]) -> None:
        self._path, self._settings, self._urdf, self._chain = path, settings, urdf, chain
        self._all = {j.name: j for j in read_joints(urdf)}

    def joints(self) -> list[Joint]:
        """Them, in order from the base."""
        names = self._settings.joints
        for name in names:
            self._check(name)
        for name in names:
            if names.count(name) > 1:
                raise self._refused(f"lists '{name}' twice", "list every joint once")
        for joint in self._chain:
            self._check_passive(joint)
        moving = [j for j in self._chain if j.kind in MOVING]
        if not moving:
            link = self._settings.end_effector
            problem = f"end_effector: no joint moves link '{link}'"
            raise InputError(self._path, problem, "give the link that carries the ball")
        for joint in moving:
            if joint.name not in names:
                problem = f"leaves out moving joint '{joint.name}' between base and end effector"
                raise self._refused(problem, 'list it, or make it type="fixed" in the URDF')
        if list(names) != (order := [j.name for j in moving]):
            raise self._refused("not in order from base to end effector", f"use {order}")
        return moving

    def _check(self, name: str) -> None:
        """Refuse a listed joint that is not one of the arm's."""
        if name not in self._all:
            raise InputError(self._path, *unknown_name("joint", name, self._all))
        joint = self._all[name]
        if joint.kind == "fixed":
            raise self._refused(
                f"'{name}' is fixed in the URDF", "leave it out: only moving joints are listed"
            )
        if name not in [j.name for j in self._chain]:
            link = self._settings.end_effector
            problem = f"'{name}' does not move end_effector '{link}'"
            raise self._refused(problem, f"leave it out, or take a link beyond it, such as '{joint.child}'")

    def _check_passive(self, joint: Joint) -> None:
        """Refuse a joint on the way that nobody can command."""
        if joint.kind in ("floating", "planar"):
            problem = f"joint '{joint.name}' between base and end effector is {joint.kind}"
            raise InputError(self._urdf, problem, 'an arm stands on a base: make it type="fixed"')
        if joint.mimics is not None:
            problem = f"joint '{joint.name}' between base and end effector mimics '{joint.mimics}'"
            raise InputError(
                self._urdf, problem, "an arm's joints move on their own: take an earlier end_effector"
            )

    def _refused(self, problem: str, cure: str) -> InputError:
        return InputError(self._path, f"joints: {problem}", cure)


def _check_travel(robot: Robot, joints: Sequence[Joint], path: Path) -> None:
    """Refuse limits that leave a joint no room, and a home outside them."""
    for joint, low, high, home in zip(joints, robot.lower, robot.upper, robot.home, strict=True):
        unit = "m" if joint.kind == "prismatic" else "rad"
        if joint.lower >= joint.upper:
            room = f"lower {joint.lower:g}, upper {joint.upper:g} {unit}"
            cure = 'correct its <limit lower="…" upper="…"/>'
            if joint.kind == "revolute":
                cure += ', or make it type="continuous"'
            raise InputError(robot.urdf, f"joint '{joint.name}' has no room to move: {room}", cure)
        if low >= high:
            problem = f"position_margin: leaves joint '{joint.name}' no room between {joint.lower:g} and"
            raise InputError(path, f"{problem} {joint.upper:g} {unit}", "give a smaller one")
        if not low <= home <= high:
            problem = f"joint '{joint.name}' at {home:g} is outside its limits [{low:.4f}, {high:.4f}] {unit}"
            raise InputError(path, f"home: {problem}", "give a place for every joint in `home:`")


def _check_numbers(value: Any, path: Path, key: str = "") -> None:
    """Refuse NaN and infinities, which YAML can write."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_numbers(inner, path, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            _check_numbers(inner, path, f"{key}[{i}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise InputError(path, f"{key}: must be a finite number, found {value}")
    elif key == "position_margin" and value < 0:
        raise InputError(path, f"{key}: must not be negative, found {value}")


def _per_joint(value: tuple[float, ...] | float, n: int, where: Path, key: str) -> np.ndarray:
    array = np.asarray(value, dtype=float)
    if array.ndim and array.shape != (n,):
        raise InputError(where, f"{key}: has {array.size} values", f"give one for each of the {n} joints")
    if key != "home" and not (array > 0).all():
        raise InputError(where, f"{key}: must be positive")
    return np.broadcast_to(array, (n,)).copy()


def _limits(value: tuple[float, ...] | None, joints: Sequence[Joint], where: Path, key: str) -> np.ndarray:
    if value is not None:
        return _per_joint(value, len(joints), where, key)
    for joint in joints:
        if (limit := getattr(joint, key)) <= 0:
            problem = f"the URDF gives joint '{joint.name}' no {key} limit"
            if limit < 0:
                problem = f"the URDF gives joint '{joint.name}' the {key} limit {limit:g}"
            raise InputError(where, problem, f"add `{key}:` to the YAML")
    return np.array([getattr(joint, key) for joint in joints])
