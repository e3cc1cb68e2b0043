"""package.xml, the installed metadata and the code say the same."""

from __future__ import annotations

import re
from importlib.metadata import entry_points, requires, version
from importlib.util import find_spec
from pathlib import Path

import pytest
from catkin_pkg.package import parse_package

import irl_ros
from irl_ros.nodes.__main__ import NODES

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = parse_package(ROOT / "package.xml")

# pip's name → rosdep's, where the rule (ros-x-y → x_y, else python3-x or python3-x-pip) does not lead there.
OTHER_KEYS = {"torch": "python3-pytorch-pip", "pyyaml": "python3-yaml"}
WITHOUT_KEY = {
    "safetensors": "rosdep has none",
    "backports.zstd": "python3-rosbags-pip brings it",
    "ros-rmw-fastrtps-cpp": "a sourced ROS chooses its middleware",
}


def runtime_requirements() -> list[str]:
    declared = [line for line in requires("irl_ros") or [] if "extra ==" not in line]
    return [re.match(r"[\w.-]+", line)[0].lower() for line in declared]


@pytest.mark.parametrize("requirement", runtime_requirements())
def test_requirement_has_its_counterpart(requirement: str) -> None:
    if requirement in WITHOUT_KEY:
        return
    if requirement.startswith("ros-"):
        keys = {requirement.removeprefix("ros-").replace("-", "_")}
    else:
        keys = {OTHER_KEYS.get(requirement, f"python3-{requirement}"), f"python3-{requirement}-pip"}
    assert keys & {dependency.name for dependency in MANIFEST.exec_depends}


def test_one_version() -> None:
    assert MANIFEST.version == irl_ros.__version__ == version("irl_ros")


def test_manifest_is_that_of_a_python_package_with_interfaces() -> None:
    MANIFEST.validate()
    assert MANIFEST.package_format == 3
    assert MANIFEST.get_build_type() == "ament_python"
    assert [group.name for group in MANIFEST.member_of_groups] == ["rosidl_interface_packages"]


def test_every_command_leads_to_a_function() -> None:
    (command,) = (point for point in entry_points(group="console_scripts") if point.name == "irl-ros")
    assert callable(command.load())


@pytest.mark.parametrize("node", NODES)
def test_every_node_executable_has_its_module(node: str) -> None:
    spec = find_spec(f"irl_ros.nodes.{node}")
    assert spec is not None and "def main(" in Path(spec.origin).read_text()
