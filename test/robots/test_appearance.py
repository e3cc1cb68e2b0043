"""What is drawn of an arm: its meshes where they are, rods where they are not, and never nothing."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from irl_ros.robots import Robot, load_robot
from irl_ros.robots.appearance import drawable_urdf
from irl_ros.robots.urdf import rotation_from_rpy


@pytest.fixture
def xarm() -> Robot:
    return load_robot("xarm6")


def visuals(robot: Robot) -> dict[str, ElementTree.Element]:
    """Geometry by link."""
    root = ElementTree.fromstring(drawable_urdf(robot))
    return {link.get("name", ""): link.find("visual") for link in root.iter("link") if link.find("visual")}


def test_meshes_are_found_by_absolute_path(xarm: Robot) -> None:
    meshes = [visual.find("geometry/mesh") for visual in visuals(xarm).values()]
    assert len(meshes) == 7
    assert all(Path(mesh.get("filename")).is_file() for mesh in meshes)


def test_a_link_without_its_mesh_is_a_rod_to_the_next_joint(xarm: Robot, tmp_path: Path) -> None:
    text = xarm.urdf.read_text().replace("visual/link2.stl", "visual/link2.glb")
    (tmp_path / "away.urdf").write_text(text)
    drawn = visuals(replace(xarm, urdf=tmp_path / "away.urdf"))
    # xarm_description is not above this folder: every mesh is missing
    assert drawn["link2"].find("geometry/mesh") is None
    rod, origin = drawn["link2"].find("geometry/cylinder"), drawn["link2"].find("origin")
    after = next(joint for joint in xarm.chain if joint.parent == "link2")
    length = float(rod.get("length"))
    middle, rpy = (np.array([float(x) for x in origin.get(key).split()]) for key in ("xyz", "rpy"))
    along = rotation_from_rpy(*rpy)[:, 2]
    np.testing.assert_allclose(middle + along * length / 2, after.translation, atol=1e-9)
    np.testing.assert_allclose(middle - along * length / 2, np.zeros(3), atol=1e-9)
    assert set(drawn) == {"link_base", "link2", "link3", "link5", "link6"}  # the others have no length


def test_nothing_but_what_is_seen_is_left(xarm: Robot) -> None:
    root = ElementTree.fromstring(drawable_urdf(xarm))
    assert {element.tag for element in root} == {"link", "joint", "material"}
    assert root.find("link/collision") is None


def test_an_arm_without_visuals_is_drawn_of_rods(own_arm: Path) -> None:
    drawn = visuals(load_robot(own_arm))
    assert set(drawn) == {"sled", "upper", "fore", "hand"}  # the column's frame is the upper arm's
