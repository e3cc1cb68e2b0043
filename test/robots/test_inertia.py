"""Folded inertias against a cloud of point masses, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from irl_ros.errors import InputError
from irl_ros.robots import load_robot
from irl_ros.robots.inertia import Inertia, arm_inertias
from irl_ros.robots.urdf import rotation_from_rpy


def cloud_inertia(masses: np.ndarray, points: np.ndarray) -> Inertia:
    """By definition: the sum of m (|d|² 1 - d dᵀ) about the centre of mass."""
    centre = masses @ points / masses.sum()
    d = points - centre
    tensor = sum(m * (r @ r * np.eye(3) - np.outer(r, r)) for m, r in zip(masses, d, strict=True))
    return Inertia(masses.sum(), centre, tensor)


def same(one: Inertia, other: Inertia) -> None:
    np.testing.assert_allclose(one.mass, other.mass)
    np.testing.assert_allclose(one.centre, other.centre, atol=1e-14)
    np.testing.assert_allclose(one.tensor, other.tensor, atol=1e-14)


def test_bodies_add_and_move_as_their_points_do() -> None:
    rng = np.random.default_rng(0)
    masses, points = rng.uniform(0.1, 2.0, 9), rng.normal(size=(9, 3))
    rotation, translation = rotation_from_rpy(0.3, -1.1, 2.0), np.array([0.4, -0.2, 0.7])
    first, second = cloud_inertia(masses[:4], points[:4]), cloud_inertia(masses[4:], points[4:])
    same(first + second, cloud_inertia(masses, points))
    same(first.moved(rotation, translation), cloud_inertia(masses[:4], points[:4] @ rotation.T + translation))
    same(first + Inertia.point(0.0, np.ones(3)), first)


def test_payload_hangs_at_the_tool_point() -> None:
    robot = load_robot("iiwa")
    bare, loaded = arm_inertias(robot)[-1], arm_inertias(robot, payload=2.0)[-1]
    assert loaded.mass == pytest.approx(bare.mass + 2.0)
    expected = (bare.mass * bare.centre + 2.0 * robot.tool_in_last_link) / loaded.mass
    np.testing.assert_allclose(loaded.centre, expected)


def test_fingers_belong_to_the_hand() -> None:
    robot = load_robot("panda")
    given = robot.settings.inertials
    hand = ["panda_link7", "panda_hand", "panda_leftfinger", "panda_rightfinger"]
    assert arm_inertias(robot)[-1].mass == pytest.approx(sum(given[link].mass for link in hand))


def test_an_arm_without_mass_is_refused(tmp_path: Path) -> None:
    (tmp_path / "light.urdf").write_text(
        '<robot name="light"><link name="base"/><link name="arm"/><joint name="j" type="revolute">'
        '<parent link="base"/><child link="arm"/>'
        '<limit lower="-1" upper="1" velocity="1" effort="1"/></joint></robot>'
    )
    (tmp_path / "light.yaml").write_text("urdf: light.urdf\njoints: [j]\nend_effector: arm\n")
    with pytest.raises(InputError, match="gives no mass to what joint 'j' moves"):
        arm_inertias(load_robot(tmp_path / "light.yaml"))
