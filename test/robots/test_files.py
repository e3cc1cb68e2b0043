"""A robot's files are found from any directory, and in ROS packages; what is missing is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from irl_ros.errors import InputError
from irl_ros.robots import load_robot
from irl_ros.robots.files import find_file


def test_names_of_every_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    yaml = tmp_path / "config" / "mine.yaml"
    monkeypatch.setenv("HOME", "/home/someone")
    assert find_file("arm.urdf", yaml) == tmp_path / "config" / "arm.urdf"
    assert find_file("../urdf/arm.urdf", yaml) == tmp_path / "urdf" / "arm.urdf"
    assert find_file("/opt/arm.urdf", yaml) == Path("/opt/arm.urdf")
    assert find_file("file:///opt/arm.urdf", yaml) == Path("/opt/arm.urdf")
    assert find_file("~/arm.urdf", yaml) == Path("/home/someone/arm.urdf")
    assert find_file("pybullet_data:franka_panda/panda.urdf", yaml).is_file()


def test_packages_are_those_of_the_sourced_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "install" / "share" / "arm_description"
    package.mkdir(parents=True)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path / 'install'}")
    yaml = tmp_path / "mine.yaml"
    assert find_file("package://arm_description/urdf/arm.urdf", yaml) == package / "urdf" / "arm.urdf"


def test_a_copied_description_is_found_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    package = tmp_path / "arm_description"
    (package / "config").mkdir(parents=True)
    for beside in (tmp_path / "mine.yaml", package / "config" / "mine.yaml"):
        assert find_file("package://arm_description/arm.urdf", beside) == package / "arm.urdf"


def test_an_unknown_package_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "urdf: package://no_such_description/arm.urdf\njoints: [a]\nend_effector: b\n"
    )
    with pytest.raises(InputError) as caught:
        load_robot(tmp_path / "mine.yaml")
    says = "mine.yaml: urdf: there is no ROS package 'no_such_description'; source the workspace that has it"
    assert says in str(caught.value)
