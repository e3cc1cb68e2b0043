"""A URDF with a fault is refused when it is loaded, in one line that names file, joint or link, and cure."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from irl_ros.errors import InputError, InputWarning
from irl_ros.robots import load_robot

MASS = '<inertial><mass value="1"/><inertia ixx="0.01" iyy="0.01" izz="0.01"/></inertial>'
URDF = f"""<robot name="small">
  <link name="base"/>
  <link name="upper">{MASS}</link>
  <link name="lower">{MASS}</link>
  <link name="hand"/>
  <link name="finger">{MASS}</link>
  <joint name="turn" type="revolute"><parent link="base"/><child link="upper"/>
    <axis xyz="0 0 1"/><limit lower="-2" upper="2" velocity="3" effort="50"/></joint>
  <joint name="bend" type="revolute"><parent link="upper"/><child link="lower"/>
    <origin xyz="0 0 0.4" rpy="0 0 0"/><axis xyz="0 1 0"/>
    <limit lower="-1" upper="1.5" velocity="4" effort="30"/></joint>
  <joint name="weld" type="fixed"><parent link="lower"/><child link="hand"/><origin xyz="0 0 0.3"/></joint>
  <joint name="grip" type="prismatic"><parent link="hand"/><child link="finger"/>
    <axis xyz="0 1 0"/><limit lower="0" upper="0.04" velocity="0.1" effort="10"/><mimic joint="bend"/></joint>
</robot>"""
SPIN = ('izz="0.01"', 'izz="0.05"')
YAML = "urdf: small.urdf\njoints: [turn, bend]\nend_effector: hand\n"


def load(folder: Path, urdf: str = URDF, yaml: str = YAML, file: str = "small.urdf"):
    (folder / file).write_text(urdf)
    (folder / "small.yaml").write_text(yaml.replace("small.urdf", file))
    return load_robot(folder / "small.yaml")


def test_the_small_arm_is_right(tmp_path: Path) -> None:
    robot = load(tmp_path)
    assert robot.joints == ("turn", "bend")
    np.testing.assert_allclose((robot.lower, robot.upper), ([-2, -1], [2, 1.5]))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        # the file
        ("<robot", "<<robot", "is not valid XML"),
        ("robot", "sdf", "is not a URDF: it holds <sdf>, not <robot>; convert it, or give a URDF"),
        (
            '<robot name="small">',
            '<robot name="small" xmlns:xacro="http://www.ros.org/wiki/xacro"><xacro:arg name="x"/>',
            "is a xacro file, not a URDF; expand it: xacro",
        ),
        ('upper="1.5"', 'upper="${pi / 2}"', "is a xacro file, not a URDF"),
        # the tree
        ('name="upper"', 'name="lower"', "has 2 links named 'lower'; give each a name of its own"),
        ('name="bend"', 'name="turn"', "has 2 joints named 'turn'; give each a name of its own"),
        ('joint name="bend"', "joint", "has a joint without a name"),
        ('parent link="upper"', 'parent link="uper"', "joint 'bend' joins unknown link 'uper'; did you mean"),
        ('<parent link="base"/>', "", "joint 'turn' has no parent link; add <parent link="),
        (
            '<child link="hand"/>',
            '<child link="lower"/>',
            "link 'lower' hangs from two joints, 'bend' and 'weld'",
        ),
        ('<parent link="base"/>', '<parent link="hand"/>', "its joints go round in a circle through link"),
        (
            '<link name="base"/>',
            '<link name="base"/><link name="lost"/>',
            "has 2 root links, such as 'base' and",
        ),
        # the joints
        (
            '"turn" type="revolute"',
            '"turn" type="revolut"',
            "joint 'turn' has unknown type 'revolut'; did you",
        ),
        ('"turn" type="revolute"', '"turn"', "joint 'turn' has unknown type ''"),
        (
            '"turn" type="revolute"',
            '"turn" type="floating"',
            "joint 'turn' between base and end effector is floating; an arm stands on a base: make it",
        ),
        (
            '"turn" type="revolute"',
            '"turn" type="planar"',
            "joint 'turn' between base and end effector is planar",
        ),
        (
            '<axis xyz="0 1 0"/>\n    <limit lower="-1"',
            '<axis xyz="0 1 0"/><mimic joint="turn"/>\n    <limit lower="-1"',
            "joint 'bend' between base and end effector mimics 'turn'; an arm's joints move on their own",
        ),
        ('axis xyz="0 0 1"', 'axis xyz="0 0 0"', "joint 'turn' has an axis of length 0; give one, such as"),
        (
            'axis xyz="0 0 1"',
            'axis xyz="0 1"',
            """joint 'turn' cannot be read: <axis> xyz="0 1" is not 3 numbers""",
        ),
        (
            'xyz="0 0 0.4"',
            'xyz="0 0 nan"',
            """joint 'bend' cannot be read: <origin> xyz="0 0 nan" is not 3""",
        ),
        (
            'lower="-2"',
            'lower="left"',
            """joint 'turn' cannot be read: <limit> lower="left" is not a number""",
        ),
        ('upper="2"', 'upper="inf"', """joint 'turn' cannot be read: <limit> upper="inf" is not a number"""),
        # the limits
        (
            'lower="-2" upper="2"',
            'lower="2" upper="-2"',
            "joint 'turn' has no room to move: lower 2, upper -2 rad; correct its <limit",
        ),
        (
            'lower="-2" upper="2" ',
            "",
            "joint 'turn' has no room to move: lower 0, upper 0 rad; correct its <limit",
        ),
        ('velocity="3"', "", "the URDF gives joint 'turn' no velocity limit; add `velocity:` to the YAML"),
        ('velocity="3"', 'velocity="0"', "the URDF gives joint 'turn' no velocity limit; add `velocity:`"),
        (
            'velocity="3"',
            'velocity="-3"',
            "the URDF gives joint 'turn' the velocity limit -3; add `velocity:`",
        ),
        (
            'effort="30"',
            'effort="0"',
            "the URDF gives joint 'bend' no effort limit; add `effort:` to the YAML",
        ),
        # the masses
        ('<mass value="1"/>', "", "the inertial of link 'upper' cannot be read: it has no <mass>"),
        ('mass value="1"', 'mass value="-1"', "link 'upper' has a mass of -1 kg; give a positive one"),
        (
            'mass value="1"',
            'mass value="nan"',
            """link 'upper' cannot be read: <mass> value="nan" is not a number""",
        ),
        ('izz="0.01"', 'izz="-0.01"', "link 'upper' has an inertia with the negative principal moment -0.01"),
        (MASS, "", "gives no mass to what joint 'bend' moves; add <inertial> to its links"),
        (
            MASS,
            '<inertial><mass value="1"/></inertial>',
            "gives no inertia about its axis to what joint 'turn' moves; add <inertial> to its links",
        ),
    ],
)
def test_a_fault_is_named(old: str, new: str, says: str, tmp_path: Path) -> None:
    assert old in URDF
    everywhere = "robot" in old or MASS in old
    with pytest.raises(InputError) as caught:
        load(tmp_path, URDF.replace(old, new) if everywhere else URDF.replace(old, new, 1))
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert str(tmp_path / "small.") in message


def test_a_xacro_whose_prefix_is_not_declared_is_one_too(tmp_path: Path) -> None:
    text = URDF.replace("</robot>", "<xacro:include/></robot>")
    with pytest.raises(InputError, match=r"is a xacro file.*: xacro .*mine.urdf.xacro > mine.urdf$"):
        load(tmp_path, text, file="mine.urdf.xacro")


def test_a_urdf_that_once_was_xacro_is_taken(tmp_path: Path) -> None:
    """Expanded files keep the name space, and sometimes the name and comments of what they were made from."""
    text = URDF.replace(">", ' xmlns:xacro="http://www.ros.org/wiki/xacro"><!-- <xacro:include/> -->', 1)
    assert load(tmp_path, text, file="mine.urdf.xacro").n == 2


def test_faults_beyond_the_end_effector_do_not_matter(tmp_path: Path) -> None:
    """A gripper that mimics, or floats, is carried along; only its masses count."""
    assert "mimic" in URDF
    assert load(tmp_path, URDF.replace('"grip" type="prismatic"', '"grip" type="floating"')).n == 2


def test_an_inertia_that_no_body_has_is_said_and_cut(tmp_path: Path) -> None:
    with pytest.warns(
        InputWarning, match=r"link 'lower' has an inertia that no body has: 0.05 .*taken as 0.02"
    ):
        load(tmp_path, URDF.replace(f'"lower">{MASS}', f'"lower">{MASS.replace(*SPIN)}'))


def test_rounding_in_an_inertia_is_not_worth_a_word(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(tmp_path, URDF.replace('izz="0.01"', 'izz="0.025"'))


def test_endless_joints_have_no_limits(tmp_path: Path) -> None:
    text = URDF.replace('"turn" type="revolute"', '"turn" type="continuous"').replace(
        'lower="-2" upper="2" ', ""
    )
    robot = load(tmp_path, text, YAML + "home: [100.0, 0.0]\nposition_margin: 0.1\n")
    assert (robot.lower[0], robot.upper[0]) == (-np.inf, np.inf)


def test_what_a_sliding_joint_says_is_in_metres(tmp_path: Path) -> None:
    text = URDF.replace('"bend" type="revolute"', '"bend" type="prismatic"')
    with pytest.raises(InputError, match=r"joint 'bend' at 2 is outside its limits \[-1.0000, 1.5000\] m;"):
        load(tmp_path, text, YAML + "home: [0.0, 2.0]\n")
    with pytest.raises(InputError, match="gives no mass to what joint 'bend' moves"):
        load(tmp_path, text.replace(MASS, '<inertial><mass value="0"/></inertial>'))
