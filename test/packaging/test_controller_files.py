"""Parameter files for ros2_control: what a controller_manager would stumble over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from irl_ros.resources import SOURCE_ROOT

FILES = sorted((SOURCE_ROOT / "config" / "controllers").glob("*.yaml"))
KINDS = {
    "joint_state_broadcaster/JointStateBroadcaster",
    "joint_trajectory_controller/JointTrajectoryController",
    "forward_command_controller/ForwardCommandController",
}


def parameters(path: Path) -> dict[str, dict[str, Any]]:
    """Node name → ros__parameters; a file may say `/**: node: …` more than once, or `/**/node: …`."""
    found: dict[str, dict[str, Any]] = {}
    node = yaml.compose(path.read_text())
    for key, value in node.value:
        content = yaml.safe_load(yaml.serialize(value))
        named = {key.value.rpartition("/")[2]: content} if "ros__parameters" in content else content
        found |= {name: inner["ros__parameters"] for name, inner in named.items()}
    return found


def test_each_of_the_three_drivers_has_one():
    assert [p.stem for p in FILES] == ["franka", "lbr", "ur"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_controller_that_is_named_is_described_for_one_set_of_joints(path):
    nodes = parameters(path)
    manager = nodes.pop("controller_manager")
    controllers = {name: value for name, value in manager.items() if isinstance(value, dict)}
    assert {c["type"] for c in controllers.values()} <= KINDS
    assert set(nodes) == set(controllers) - {"joint_state_broadcaster"}
    joints = nodes["joint_trajectory_controller"]["joints"]
    assert len(joints) == len(set(joints))
    for name, settings in nodes.items():
        assert settings["joints"] == joints, name
        forward = "Forward" in controllers[name]["type"]
        assert not forward or settings["interface_name"] in ("velocity", "position")
        assert set(controllers[name].get("fallback_controllers", [])) <= set(nodes) - {name}
    throw = nodes["joint_trajectory_controller"]
    assert (
        throw["command_interfaces"] == ["position"] and not throw["allow_nonzero_velocity_at_trajectory_end"]
    )
    assert {k for k in throw["constraints"] if k not in ("goal_time", "stopped_velocity_tolerance")} == set(
        joints
    )
