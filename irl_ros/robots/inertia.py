"""What a serial arm weighs: a URDF's inertials, folded into one rigid body for each joint of the arm."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from irl_ros.errors import InputError
from irl_ros.robots.robot import Robot
from irl_ros.robots.urdf import MOVING, Joint, read_joints, rotation_from_rpy


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
        return Inertia(mass, centre, self._about(centre) + other._about(centre))

    def solid(self) -> Inertia:
        """The same with the largest principal moment cut to the sum of the others.

        No body's can be larger, but some published ones are. PyBullet drops such an inertia.
        """
        moments, axes = np.linalg.eigh(self.tensor)
        if moments[2] <= moments[0] + moments[1]:
            return self
        moments[2] = moments[0] + moments[1]
        return Inertia(self.mass, self.centre, axes @ np.diag(moments) @ axes.T)

    def _about(self, point: np.ndarray) -> np.ndarray:
        d = self.centre - point
        return self.tensor + self.mass * (d @ d * np.eye(3) - np.outer(d, d))


NOTHING = Inertia(0.0, np.zeros(3), np.zeros((3, 3)))


def arm_inertias(robot: Robot, payload: float = 0.0) -> list[Inertia]:
    """For each joint of the arm, all that moves rigidly with it, in its child link's frame.

    Joints that are not the arm's (fingers) are taken as fixed where they rest: at zero, or at the end of
    their travel that is nearest to it.

    Args:
        robot: the arm.
        payload: kg at the tool point, in the last one.

    Raises:
        InputError: the URDF gives no mass to what a joint moves.
    """
    inertias = _read(robot.urdf)
    for link, given in robot.settings.inertials.items():
        inertias[link] = Inertia(given.mass, np.array(given.centre), _symmetric(*given.inertia))
    children: dict[str, list[Joint]] = {}
    for joint in read_joints(robot.urdf):
        children.setdefault(joint.parent, []).append(joint)
    arm = {j.name for j in robot.chain if j.kind in MOVING}

    def folded(link: str) -> Inertia:
        total = inertias.get(link, NOTHING)
        for joint in children.get(link, []):
            if joint.name not in arm:
                total = total + folded(joint.child).moved(joint.rotation, joint.translation + _rest(joint))
        return total

    result = [folded(j.child).solid() for j in robot.chain if j.name in arm]
    result[-1] = result[-1] + Inertia.point(payload, robot.tool_in_last_link)
    beyond = 0.0
    for joint_name, body in zip(robot.joints[::-1], result[::-1], strict=True):
        beyond += body.mass
        if beyond <= 0.0:
            raise InputError(
                robot.urdf, f"gives no mass to what joint '{joint_name}' moves", "add <inertial> to its links"
            )
    return result


def _rest(joint: Joint) -> np.ndarray:
    """Where a joint that is not the arm's rests, in its parent's frame, m. Turning joints rest at zero."""
    if joint.kind != "prismatic":
        return np.zeros(3)
    return joint.rotation @ joint.axis * min(max(0.0, joint.lower), joint.upper)


def _read(urdf: Path) -> dict[str, Inertia]:
    """Inertials by link name; links without one weigh nothing."""
    result = {}
    for link in ElementTree.parse(urdf).getroot().findall("link"):
        inertial = link.find("inertial")
        if inertial is None:
            continue
        try:
            result[link.get("name", "")] = _inertia(inertial)
        except (AttributeError, KeyError, ValueError):
            raise InputError(urdf, f"the inertial of link '{link.get('name')}' cannot be read") from None
    return result


def _inertia(element: ElementTree.Element) -> Inertia:
    origin, tensor = element.find("origin"), element.find("inertia")
    pose = {} if origin is None else origin.attrib
    rotation = rotation_from_rpy(*(float(x) for x in pose.get("rpy", "0 0 0").split()))
    centre = np.array([float(x) for x in pose.get("xyz", "0 0 0").split()])
    about = _symmetric(*(float(tensor.get(key, 0.0)) for key in ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")))  # type: ignore[union-attr]
    mass = float(element.find("mass").attrib["value"])  # type: ignore[union-attr]
    return Inertia(mass, centre, rotation @ about @ rotation.T)


def _symmetric(xx: float, xy: float, xz: float, yy: float, yz: float, zz: float) -> np.ndarray:
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
