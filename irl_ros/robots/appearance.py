"""What an arm looks like: its URDF with meshes that can be found, and rods in place of those that cannot."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from irl_ros.errors import InputError
from irl_ros.robots.files import find_file
from irl_ros.robots.kinematics import z_to
from irl_ros.robots.robot import Robot
from irl_ros.robots.urdf import read_root, rpy_from_rotation

READABLE = (".obj", ".stl", ".dae")
"""Kinds of meshes that PyBullet draws."""
THICKNESS = 0.03
"""Radius of a rod, m."""


def drawable_urdf(robot: Robot) -> str:
    """A URDF to draw the arm from: visuals only, meshes by absolute path.

    A link whose mesh is missing (another ROS package, a format PyBullet cannot read) is drawn as a rod to the
    next joint, and so is every link of an arm without visuals.
    """
    root = read_root(robot.urdf)
    for element in list(root):
        if element.tag not in ("link", "joint", "material"):
            root.remove(element)
    bare = {link.get("name", "") for link in root.findall("link") if not _keep_visuals(link, robot.urdf)}
    if root.find("link/visual") is None:
        bare = {link.get("name", "") for link in root.findall("link")}
    ends = _ends(robot)
    for link in root.findall("link"):
        name = link.get("name", "")
        if name in bare and name in ends:
            _add_rod(link, ends[name])
        # PyBullet complains of links that weigh nothing
        inertial = ElementTree.SubElement(link, "inertial")
        ElementTree.SubElement(inertial, "mass", value="1")
        ElementTree.SubElement(inertial, "inertia", ixx="1", iyy="1", izz="1", ixy="0", ixz="0", iyz="0")
    return ElementTree.tostring(root, encoding="unicode")


def _keep_visuals(link: ElementTree.Element, urdf: Path) -> bool:
    """Drop all of a link that cannot be drawn; False if a visual was among it."""
    complete = True
    for element in list(link):
        if element.tag != "visual":
            link.remove(element)
            continue
        mesh = element.find("geometry/mesh")
        if mesh is None:
            continue
        path = _mesh(mesh.get("filename", ""), urdf)
        if path is None:
            link.remove(element)
            complete = False
        else:
            mesh.set("filename", str(path))
    return complete


def _mesh(name: str, urdf: Path) -> Path | None:
    try:
        path = find_file(name, urdf)
    except InputError:
        return None
    return path if path.suffix.lower() in READABLE and path.is_file() else None


def _ends(robot: Robot) -> dict[str, np.ndarray]:
    """Where the next joint of the chain (or the tool) is, by link, m, [3] in the link's frame."""
    ends = {joint.parent: joint.translation for joint in robot.chain}
    return {**ends, robot.chain[-1].child: np.array(robot.settings.tool_offset)}


def _add_rod(link: ElementTree.Element, end: np.ndarray) -> None:
    length = float(np.linalg.norm(end))
    if length < THICKNESS:
        return
    visual = ElementTree.SubElement(link, "visual")
    rpy = rpy_from_rotation(z_to(end / length))
    ElementTree.SubElement(visual, "origin", xyz=_text(end / 2), rpy=_text(rpy))
    shape = ElementTree.SubElement(visual, "geometry")
    ElementTree.SubElement(shape, "cylinder", radius=str(THICKNESS), length=str(length))


def _text(values: Sequence[float] | np.ndarray) -> str:
    return " ".join(repr(float(v)) for v in values)
