"""What a serial arm weighs: a URDF's inertials, folded into one rigid body for each joint of the arm."""

from __future__ import annotations

import warnings
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from irl_ros.errors import InputError, InputWarning
from irl_ros.robots.robot import Robot
from irl_ros.robots.urdf import MOVING, Joint, numbers, read_joints, read_root, rotation_from_rpy

ROUNDED = 1.5
"""By up to this factor the largest moment of published inertias exceeds the sum of the two others: they are
rounded, or estimates. What exceeds it further is a mistake, and said."""
LEAST_MOMENT = 1e-9
"""A joint needs this much to turn, kg m² (or slide, kg): the equations of motion divide by it."""


@dataclass(frozen=True)
class Inertia:
    """A rigid body: mass (kg), centre of mass (m, [3]) and inertia about it (kg m², [3, 3]), in one frame."""

    mass: float
    centre: np.ndarray
    tensor: np.ndarray

    @classmethod
    def point(cls, mass: float, position: np.ndarray) -> Inertia:
        return cls(mass, np.asarray(position, dtype=float), np.zeros((3, 3)))

    def moved(self, rotation: np.ndarray, translation: np.ndarray) -> Inertia:
        """The same body seen from a frame in which this one is at `translation`, turned by `rotation`."""
        return Inertia(self.mass, translation + rotation @ self.centre, rotation @ self.tensor @ rotation.T)

    def __add__(self, other: Inertia) -> Inertia:
        mass = self.mass + other.mass
        if mass == 0.0:
            return Inertia(0.0, np.zeros(3), self.tensor + other.tensor)
        centre = (self.mass * self.centre + other.mass * other.centre) / mass
        return Inertia(mass, centre, self.about(centre) + other.about(centre))

    def solid(self) -> Inertia:
        """The same, with its largest principal moment cut to the sum of the two others where it exceeds that.

        No body's does, but published ones do; PyBullet would drop the whole tensor.
        """
        moments, axes = np.linalg.eigh(self.tensor)
        most = moments[0] + moments[1]
        if moments[2] <= most:
            return self
        tensor = self.tensor - (moments[2] - most) * np.outer(axes[:, 2], axes[:, 2])
        return Inertia(self.mass, self.centre, tensor)

    def about(self, point: np.ndarray) -> np.ndarray:
        d = self.centre - point
        return self.tensor + self.mass * (d @ d * np.eye(3) - np.outer(d, d))


NOTHING = Inertia(0.0, np.zeros(3), np.zeros((3, 3)))


def arm_inertias(robot: Robot, payload: float = 0.0) -> list[Inertia]:
    """For each joint of the arm, all that moves rigidly with it, in its child link's frame.

    Joints that are not the arm's (fingers) are taken as fixed where they rest: at zero, or at the end of
    their travel that is nearest to it. Tensors are those of solid bodies (`Inertia.solid`).

    Args:
        robot: the arm.
        payload: kg at the tool point, in the last one.

    Raises:
        InputError: an inertial is impossible, or the URDF gives no mass to what a joint moves.
    """
    inertias = read_inertias(robot.urdf)
    for link, given in robot.settings.inertials.items():
        inertias[link] = Inertia(given.mass, np.array(given.centre), _symmetric(*given.inertia))
    children: dict[str, list[Joint]] = {}
    for joint in read_joints(robot.urdf):
        children.setdefault(joint.parent, []).append(joint)
    arm = {j.name for j in robot.chain if j.kind in MOVING}

    def folded(link: str) -> Inertia:
        body = inertias.get(link, NOTHING)
        _check(body, link, robot)
        total = body
        for joint in children.get(link, []):
            if joint.name not in arm:
                total = total + folded(joint.child).moved(joint.rotation, joint.translation + _rest(joint))
        return total

    result = [folded(j.child).solid() for j in robot.chain if j.name in arm]
    result[-1] = result[-1] + Inertia.point(payload, robot.tool_in_last_link)
    _check_axes(robot, result)
    return result


def _check(body: Inertia, link: str, robot: Robot) -> None:
    """Refuse what no arm is made of; say what is merely wrong."""
    where: object = robot.urdf
    if link in robot.settings.inertials:
        where = f"{robot.name}: inertials"
    if body.mass < 0.0:
        raise InputError(where, f"link '{link}' has a mass of {body.mass:g} kg", "give a positive one")
    moments = np.linalg.eigvalsh(body.tensor)
    if moments[0] < -1e-6 * max(moments[2], 1e-6):
        problem = f"link '{link}' has an inertia with the negative principal moment {moments[0]:g} kg m²"
        raise InputError(where, problem, "correct its <inertia>")
    most = moments[0] + moments[1]
    if moments[2] > ROUNDED * most and body.mass > 0.0:
        problem = f"link '{link}' has an inertia that no body has: {moments[2]:g} kg m² about one axis"
        cure = f"taken as {most:g}, the sum of the two others"
        warnings.warn(InputWarning(where, problem, cure), stacklevel=2)


def _check_axes(robot: Robot, bodies: list[Inertia]) -> None:
    """Refuse an arm with a joint that, at home, moves nothing that resists."""
    frames = robot.link_frames(robot.home)
    placed = [body.moved(*frame) for body, frame in zip(bodies, frames, strict=True)]
    moving = [joint for joint in robot.chain if joint.kind in MOVING]
    beyond = NOTHING
    for joint, frame, body in reversed(list(zip(moving, frames, placed, strict=True))):
        beyond = beyond + body
        axis, kind = frame[0] @ joint.axis, "mass"
        resists = beyond.mass
        if resists > 0.0 and joint.kind != "prismatic":
            kind, resists = "inertia about its axis", axis @ beyond.about(frame[1]) @ axis
        if resists < LEAST_MOMENT:
            problem = f"gives no {kind} to what joint '{joint.name}' moves"
            raise InputError(robot.urdf, problem, "add <inertial> to its links")


def _rest(joint: Joint) -> np.ndarray:
    """Where a joint that is not the arm's rests, in its parent's frame, m. Turning joints rest at zero."""
    if joint.kind != "prismatic":
        return np.zeros(3)
    return joint.rotation @ joint.axis * min(max(0.0, joint.lower), joint.upper)


def read_inertias(urdf: Path) -> dict[str, Inertia]:
    """Inertials of a URDF's links, each in its link's frame; a link that is left out weighs nothing.

    Raises:
        InputError: one cannot be read.
    """
    result = {}
    for link in read_root(urdf).findall("link"):
        inertial, name = link.find("inertial"), link.get("name", "")
        if inertial is None:
            continue
        try:
            result[name] = _inertia(inertial)
        except ValueError as error:
            raise InputError(
                urdf, f"the inertial of link '{name}' cannot be read: {error}", "correct it"
            ) from None
    return result


def _inertia(element: ElementTree.Element) -> Inertia:
    origin, tensor, weight = (element.find(tag) for tag in ("origin", "inertia", "mass"))
    if weight is None:
        raise ValueError("it has no <mass>")
    rotation = rotation_from_rpy(*numbers(origin, "rpy", "0 0 0", 3))
    centre = numbers(origin, "xyz", "0 0 0", 3)
    entries = [float(numbers(tensor, key, "0", 1)[0]) for key in ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")]
    mass = float(numbers(weight, "value", "", 1)[0])
    return Inertia(mass, centre, rotation @ _symmetric(*entries) @ rotation.T)


def _symmetric(xx: float, xy: float, xz: float, yy: float, yz: float, zz: float) -> np.ndarray:
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
