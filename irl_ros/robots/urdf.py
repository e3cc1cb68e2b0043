"""The part of a URDF a serial arm needs: the joints from the base to the end effector, with their limits."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from irl_ros.errors import InputError, unknown_name

MOVING = ("revolute", "continuous", "prismatic")


@dataclass(frozen=True)
class Joint:
    """A URDF joint.

    Attributes:
        name: the joint's name.
        kind: "revolute", "continuous", "prismatic" or "fixed".
        parent, child: link names.
        rotation, translation: pose of the joint frame in the parent link's frame, [3, 3] and m [3].
        axis: unit vector in the joint frame, [3].
        lower, upper: rad or m; infinite for continuous joints.
        velocity: rad/s or m/s; 0 where the URDF gives none.
        effort: N m or N; 0 where the URDF gives none.
    """

    name: str
    kind: str
    parent: str
    child: str
    rotation: np.ndarray
    translation: np.ndarray
    axis: np.ndarray
    lower: float
    upper: float
    velocity: float
    effort: float


def read_chain(path: Path, end_effector: str) -> list[Joint]:
    """Joints from the URDF's root link to `end_effector`, fixed ones included.

    Raises:
        InputError: the file is missing, is not a URDF, or has no such link.
    """
    if end_effector not in (links := read_links(path)):
        raise InputError(path, *unknown_name("link", end_effector, links))
    by_child = {joint.child: joint for joint in read_joints(path)}
    chain: list[Joint] = []
    link = end_effector
    while link in by_child:
        chain.append(by_child[link])
        link = by_child[link].parent
    return chain[::-1]


def read_links(path: Path) -> list[str]:
    """Names of all links of a URDF, in the order of the file.

    Raises:
        InputError: the file is missing or is not a URDF.
    """
    return [str(link.get("name")) for link in _root(path).findall("link")]


def read_joints(path: Path) -> list[Joint]:
    """All joints of a URDF, in the order of the file.

    Raises:
        InputError: the file is missing, is not a URDF, or a joint in it cannot be read.
    """
    joints = []
    for element in _root(path).findall("joint"):
        try:
            joints.append(_joint(element))
        except (AttributeError, TypeError, ValueError):
            problem = f"joint '{element.get('name')}' cannot be read"
            raise InputError(path, problem, "check its parent, child and numbers") from None
    return joints


def _root(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(path).getroot()
    except OSError:
        raise InputError(path, "no such URDF file") from None
    except ElementTree.ParseError as error:
        raise InputError(path, f"is not valid XML ({error})") from None


def _joint(element: ElementTree.Element) -> Joint:
    def vector(tag: str, attribute: str, default: str) -> np.ndarray:
        node = element.find(tag)
        return np.array(
            [float(x) for x in (default if node is None else node.get(attribute, default)).split()]
        )

    def limit(attribute: str, default: float) -> float:
        node = element.find("limit")
        return default if node is None else float(node.get(attribute, default))

    kind = element.get("type", "fixed")
    axis = vector("axis", "xyz", "1 0 0")
    continuous = kind == "continuous"
    return Joint(
        name=element.get("name", ""),
        kind=kind,
        parent=element.find("parent").get("link"),  # type: ignore[union-attr, arg-type]
        child=element.find("child").get("link"),  # type: ignore[union-attr, arg-type]
        rotation=rotation_from_rpy(*vector("origin", "rpy", "0 0 0")),
        translation=vector("origin", "xyz", "0 0 0"),
        axis=axis / (np.linalg.norm(axis) or 1.0),
        lower=-np.inf if continuous else limit("lower", 0.0),
        upper=np.inf if continuous else limit("upper", 0.0),
        velocity=limit("velocity", 0.0),
        effort=limit("effort", 0.0),
    )


def rotation_from_rpy(roll: float, pitch: float, yaw: float) -> np.ndarray:
    """Rotation matrix [3, 3] of URDF's roll, pitch, yaw (fixed axes x, y, z)."""
    cr, sr, cp, sp, cy, sy = (f(a) for a in (roll, pitch, yaw) for f in (np.cos, np.sin))
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )
