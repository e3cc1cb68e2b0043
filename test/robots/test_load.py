"""A robot YAML with a fault gives one line that names the file, the field and the cause."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from irl_ros.errors import InputError
from irl_ros.resources import config_file
from irl_ros.robots import load_robot

PANDA = yaml.safe_load(config_file("robots", "panda").read_text())
JOINTS = PANDA["joints"]


def written(folder: Path, **changes: object) -> Path:
    """A copy of the Panda's YAML with some keys replaced (None: left out)."""
    keys = {k: v for k, v in {**PANDA, **changes}.items() if v is not None}
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(keys))
    return path


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"urdf": "pybullet_data:franka_panda/nowhere.urdf"}, "no such URDF file"),
        ({"urdf": None}, "urdf"),
        ({"end_effector": "panda_hant"}, "unknown link 'panda_hant'; did you mean 'panda_hand'?"),
        (
            {"joints": ["panda_joint1x", *JOINTS[1:]]},
            "unknown joint 'panda_joint1x'; did you mean 'panda_joint1'?",
        ),
        (
            {"joints": JOINTS[:3] + JOINTS[4:]},
            "joints: leaves out moving joint 'panda_joint4' between base and end effector; list it, or",
        ),
        ({"joints": [JOINTS[1], JOINTS[0], *JOINTS[2:]]}, "joints: not in order from base to end effector"),
        (
            {"joints": [*JOINTS, "panda_finger_joint1"]},
            "joints: 'panda_finger_joint1' does not move end_effector 'panda_hand'; leave it out, or take a"
            " link beyond it, such as 'panda_leftfinger'",
        ),
        ({"end_effector": "panda_link3"}, "joints: 'panda_joint4' does not move end_effector 'panda_link3'"),
        ({"end_effector": "panda_link0", "joints": []}, "end_effector: no joint moves link 'panda_link0'"),
        ({"joints": [*JOINTS, "panda_joint8"]}, "joints: 'panda_joint8' is fixed in the URDF; leave it out"),
        ({"joints": [*JOINTS, "panda_joint1"]}, "joints: lists 'panda_joint1' twice"),
        ({"joints": "panda_joint1"}, "joints: expected a list, found 'panda_joint1'"),
        ({"velocity": [1.0, 2.0]}, "velocity: has 2 values; give one for each of the 7 joints"),
        ({"velocity": [1.0] * 6 + [0.0]}, "velocity: must be positive"),
        ({"acceleration": -1.0}, "acceleration: must be positive"),
        ({"acceleration": "fast"}, "acceleration: expected"),
        (
            {"home": [0.0] * 3 + [1.0] + [0.0] * 3},
            "home: joint 'panda_joint4' at 1 is outside its limits [-3.1416, 0.0000] rad; give a place for",
        ),
        ({"home": None, "position_margin": 0.1}, "home: joint 'panda_joint4' at 0 is outside its limits"),
        ({"home": [0.0] * 5}, "home: has 5 values"),
        ({"home": [0.0] * 6 + [math.nan]}, "home[6]: must be a finite number, found nan"),
        ({"tool_offset": [0.0, 0.0, math.inf]}, "tool_offset[2]: must be a finite number, found inf"),
        ({"velocity": [math.nan] * 7}, "velocity[0]: must be a finite number, found nan"),
        ({"effort": [math.inf] * 7}, "effort[0]: must be a finite number, found inf"),
        (
            {"position_margin": 2.0},
            "position_margin: leaves joint 'panda_joint2' no room between -1.8326 and 1.8326 rad; give",
        ),
        ({"position_margin": -0.1}, "position_margin: must not be negative, found -0.1"),
        ({"tool_offset": [0.0, 0.1]}, "tool_offset: expected 3 values, found 2"),
        ({"jerks": 3.0}, "unknown key 'jerks'; did you mean 'jerk'?"),
        ({"inertials": {"panda_link9": {"mass": 1.0}}}, "inertials.panda_link9"),
        (
            {"inertials": {"panda_link9": {"mass": 1.0, "centre": [0, 0, 0], "inertia": [0] * 6}}},
            "unknown link in inertials 'panda_link9'",
        ),
    ],
)
def test_faults_in_the_yaml_are_named(changes: dict[str, object], says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_robot(written(tmp_path, **changes))
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert str(tmp_path) in message or "urdf" in message


def test_unknown_robot_names_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown robot 'pandas'; did you mean 'panda'"):
        load_robot("pandas")


@pytest.mark.parametrize(("name", "n"), [("panda", 7), ("iiwa", 7), ("xarm6", 6)])
def test_shipped_robots_start_inside_their_limits(name: str, n: int) -> None:
    robot = load_robot(name)
    assert robot.n == n == len(robot.joints)
    assert ((robot.lower < robot.home) & (robot.home < robot.upper)).all()
    for limit in (robot.velocity, robot.acceleration, robot.jerk, robot.effort):
        assert limit.shape == (n,)
        assert (limit > 0).all()


def test_limits_come_from_the_urdf_unless_the_yaml_says_otherwise(tmp_path: Path) -> None:
    robot = load_robot(written(tmp_path, velocity=None, effort=[1.0] * 7, position_margin=0.1))
    np.testing.assert_allclose(robot.velocity, [2.175] * 4 + [2.61] * 3)
    np.testing.assert_allclose(robot.effort, 1.0)
    np.testing.assert_allclose(robot.lower[0], -2.9671 + 0.1)


def test_hash_tells_robots_apart_that_move_differently(tmp_path: Path) -> None:
    same = load_robot(written(tmp_path)).sha256
    assert same == load_robot("panda").sha256
    assert same != load_robot(written(tmp_path, acceleration=5.0)).sha256
    shutil.copy(load_robot("panda").urdf, tmp_path / "mine.urdf")
    with (tmp_path / "mine.urdf").open("a") as urdf:
        urdf.write("<!-- heavier -->")
    assert same != load_robot(written(tmp_path, urdf="mine.urdf")).sha256
