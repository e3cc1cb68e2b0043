"""The part of a URDF a serial arm needs: the joints from the base to the end effector, with their limits."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from irl_ros.errors import InputError, unknown_name

MOVING = ("revolute", "continuous", "prismatic")
KINDS = (*MOVING, "fixed", "floating", "planar")
XACRO = "http://www.ros.org/wiki/xacro"


@dataclass(frozen=True)
class Joint:
    """A URDF joint.

    Attributes:
        name: the joint's name.
        kind: one of KINDS.
        parent, child: link names.
        rotation, translation: pose of the joint frame in the parent link's frame, [3, 3] and m [3].
        axis: unit vector in the joint frame, [3].
        lower, upper: rad or m; infinite for continuous joints, 0 where the URDF gives none.
        velocity: rad/s or m/s; 0 where the URDF gives none.
        effort: N m or N; 0 where the URDF gives none.
        mimics: the joint whose motion it copies, if any.
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
    mimics: str | None = None


def read_chain(path: Path, end_effector: str) -> list[Joint]:
    """Joints from the URDF's root link to `end_effector`, fixed ones included.

    Raises:
        InputError: the file is missing, is not a URDF, is no tree of links, or has no such link.
    """
    links = read_links(path)
    if end_effector not in links:
        raise InputError(path, *unknown_name("link", end_effector, links))
    by_child = _tree(path, links, read_joints(path))
    chain: list[Joint] = []
    link = end_effector
    while link in by_child:
        chain.append(by_child[link])
        link = by_child[link].parent
        if len(chain) > len(by_child):
            raise InputError(path, f"its joints go round in a circle through link '{link}'", "make it a tree")
    return chain[::-1]


def read_links(path: Path) -> list[str]:
    """Names of all links of a URDF, in the order of the file.

    Raises:
        InputError: the file is missing or is not a URDF, or two links share a name.
    """
    return _distinct(path, "link", [link.get("name", "") for link in read_root(path).findall("link")])


def read_joints(path: Path) -> list[Joint]:
    """All joints of a URDF, in the order of the file.

    Raises:
        InputError: the file is missing, is not a URDF, two joints share a name, or one cannot be read.
    """
    elements = read_root(path).findall("joint")
    _distinct(path, "joint", [element.get("name", "") for element in elements])
    return [_JointReader(path, element).joint() for element in elements]


def read_root(path: Path) -> ElementTree.Element:
    """The `<robot>` element of a URDF.

    Raises:
        InputError: no such file, or it is something else.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except OSError:
        raise InputError(path, "no such URDF file") from None
    except ElementTree.ParseError as error:
        if "unbound prefix" in str(error) and path.suffix == ".xacro":
            raise _unexpanded(path) from None
        raise InputError(path, f"is not valid XML ({error})") from None
    if root.tag != "robot":
        raise InputError(
            path, f"is not a URDF: it holds <{root.tag}>, not <robot>", "convert it, or give a URDF"
        )
    if any(XACRO in element.tag for element in root.iter() if isinstance(element.tag, str)):
        raise _unexpanded(path)
    return root


def numbers(element: ElementTree.Element | None, attribute: str, default: str, count: int) -> np.ndarray:
    """`count` finite numbers in an attribute, [count]; the default where element or attribute is missing.

    Raises:
        ValueError: it holds something else; the text quotes it.
    """
    text = default if element is None else element.get(attribute, default)
    try:
        values = np.array([float(x) for x in text.split()])
    except ValueError:
        values = np.array([])
    if values.shape != (count,) or not np.isfinite(values).all():
        tag = "" if element is None else f"<{element.tag}> "
        wanted = "a number" if count == 1 else f"{count} numbers"
        raise ValueError(f'{tag}{attribute}="{text}" is not {wanted}')
    return values


class _JointReader:
    """One `<joint>`; whatever is wrong with it is said with its name."""

    def __init__(self, path: Path, element: ElementTree.Element) -> None:
        self._path, self._element, self._name = path, element, element.get("name", "")

    def joint(self) -> Joint:
        kind = self._element.get("type", "")
        if kind not in KINDS:
            raise self._wrong(f"has unknown type '{kind}'", unknown_name("type", kind, KINDS)[1])
        mimic = self._element.find("mimic")
        endless = kind == "continuous"
        return Joint(
            name=self._name,
            kind=kind,
            parent=self._link("parent"),
            child=self._link("child"),
            rotation=rotation_from_rpy(*self._vector("origin", "rpy", "0 0 0")),
            translation=self._vector("origin", "xyz", "0 0 0"),
            axis=self._axis(kind),
            lower=-np.inf if endless else self._limit("lower"),
            upper=np.inf if endless else self._limit("upper"),
            velocity=self._limit("velocity"),
            effort=self._limit("effort"),
            mimics=None if mimic is None else mimic.get("joint", ""),
        )

    def _link(self, role: str) -> str:
        node = self._element.find(role)
        name = None if node is None else node.get("link")
        if not name:
            raise self._wrong(f"has no {role} link", f'add <{role} link="…"/>')
        return name

    def _axis(self, kind: str) -> np.ndarray:
        axis = self._vector("axis", "xyz", "1 0 0")
        length = float(np.linalg.norm(axis))
        if length == 0.0 and kind in MOVING:
            raise self._wrong("has an axis of length 0", 'give one, such as <axis xyz="0 0 1"/>')
        return axis / (length or 1.0)

    def _vector(self, tag: str, attribute: str, default: str) -> np.ndarray:
        return self._numbers(tag, attribute, default, 3)

    def _limit(self, attribute: str) -> float:
        return float(self._numbers("limit", attribute, "0", 1)[0])

    def _numbers(self, tag: str, attribute: str, default: str, count: int) -> np.ndarray:
        try:
            return numbers(self._element.find(tag), attribute, default, count)
        except ValueError as error:
            if "${" in str(error) or "$(" in str(error):
                raise _unexpanded(self._path) from None
            raise self._wrong(f"cannot be read: {error}", "correct it") from None

    def _wrong(self, problem: str, cure: str) -> InputError:
        return InputError(self._path, f"joint '{self._name}' {problem}", cure)


def _tree(path: Path, links: list[str], joints: Iterable[Joint]) -> dict[str, Joint]:
    """Joints by the link that hangs from them."""
    by_child: dict[str, Joint] = {}
    for joint in joints:
        for link in (joint.parent, joint.child):
            if link not in links:
                problem, cure = unknown_name("link", link, links)
                raise InputError(path, f"joint '{joint.name}' joins {problem}", cure)
        if joint.child in by_child:
            names = f"'{by_child[joint.child].name}' and '{joint.name}'"
            raise InputError(path, f"link '{joint.child}' hangs from two joints, {names}", "cut one of them")
        by_child[joint.child] = joint
    roots = [link for link in links if link not in by_child]
    if len(roots) > 1:
        names = " and ".join(f"'{link}'" for link in roots[:2])
        raise InputError(path, f"has {len(roots)} root links, such as {names}", "join them, or remove one")
    return by_child


def _distinct(path: Path, kind: str, names: list[str]) -> list[str]:
    if "" in names:
        raise InputError(path, f"has a {kind} without a name", 'add name="…"')
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(path, f"has {count} {kind}s named '{name}'", "give each a name of its own")
    return names


def _unexpanded(path: Path) -> InputError:
    expanded = path.name.removesuffix(".xacro").removesuffix(".urdf") + ".urdf"
    return InputError(path, "is a xacro file, not a URDF", f"expand it: xacro {path} > {expanded}")


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


def rotation_about(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rotation matrix [3, 3] by an angle, rad, about a unit vector [3] (Rodrigues)."""
    x, y, z = axis
    k = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * k + (1.0 - np.cos(angle)) * k @ k


def rpy_from_rotation(rotation: np.ndarray) -> tuple[float, float, float]:
    """URDF's roll, pitch, yaw of a rotation matrix [3, 3]."""
    across = np.hypot(rotation[0, 0], rotation[1, 0])
    pitch = np.arctan2(-rotation[2, 0], across)
    if across < 1e-9:  # looking straight up or down: roll and yaw turn about the same axis
        return np.arctan2(-rotation[1, 2], rotation[1, 1]), pitch, 0.0
    return np.arctan2(rotation[2, 1], rotation[2, 2]), pitch, np.arctan2(rotation[1, 0], rotation[0, 0])
