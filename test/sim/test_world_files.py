"""World files: the shipped default says what the code does, and a robot is found beside its world."""

from __future__ import annotations

from pathlib import Path

import pytest

from irl_ros.resources import config_file
from irl_ros.settings import build, load_yaml
from irl_ros.sim import load_world
from irl_ros.sim.world import WorldSettings


def test_default_yaml_says_what_an_empty_world_is() -> None:
    path = config_file("worlds", "default")
    assert build(WorldSettings, load_yaml(path), path) == WorldSettings()


def test_a_robot_is_looked_for_beside_its_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = config_file("robots", "iiwa").read_text()
    (tmp_path / "arm.yaml").write_text(shipped)
    (tmp_path / "world.yaml").write_text("robot: ./arm.yaml\nhorizon: 50\n")
    monkeypatch.chdir("/")
    world = load_world(tmp_path / "world.yaml")
    assert world.robot.name == "arm" and world.horizon == 50
    # what a bundle stores loads from anywhere
    assert load_world({"robot": world.settings.robot}).robot.sha256 == world.robot.sha256
