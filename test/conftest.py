"""What every test may rely on: no ROS traffic leaves the machine, and no two tests hear each other."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from domain_coordinator import domain_id
from hypothesis import settings

os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

# The same examples every time: a test that fails today fails tomorrow, on any machine, however busy.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

OWN_ARM = """<robot name="own">
  <link name="floor"/><link name="sled"/><link name="column"/><link name="upper"/><link name="fore"/>
  <link name="hand"/><link name="cup"/>
  <joint name="rail" type="prismatic"><parent link="floor"/><child link="sled"/>
    <axis xyz="1 0 0"/><limit lower="-0.2" upper="0.2" velocity="0.8" effort="200"/></joint>
  <joint name="turn" type="continuous"><parent link="sled"/><child link="column"/>
    <origin xyz="0 0 0.4"/><axis xyz="0 0 1"/><limit velocity="3" effort="60"/></joint>
  <joint name="swing" type="continuous"><parent link="column"/><child link="upper"/>
    <axis xyz="0 1 0"/><limit velocity="3" effort="90"/></joint>
  <joint name="bend" type="revolute"><parent link="upper"/><child link="fore"/>
    <origin xyz="0 0 0.35"/><axis xyz="0 1 0"/>
    <limit lower="-2.5" upper="2.5" velocity="4" effort="40"/></joint>
  <joint name="flick" type="continuous"><parent link="fore"/><child link="hand"/>
    <origin xyz="0 0 0.3"/><axis xyz="0 1 0"/><limit velocity="5" effort="15"/></joint>
  <joint name="weld" type="fixed"><parent link="hand"/><child link="cup"/><origin xyz="0 0 0.1"/></joint>
</robot>"""
"""What a user may bring: a rail, joints without limits, no meshes, no gripper."""


def with_masses(urdf: str) -> str:
    """Every empty link gets 1 kg, as a ball of 9 cm."""
    mass = '<inertial><mass value="1"/><inertia ixx="0.003" iyy="0.003" izz="0.003"/></inertial>'
    return re.sub(r'<link name="(\w+)"/>', rf'<link name="\1">{mass}</link>', urdf)


@pytest.fixture
def own_arm(tmp_path: Path) -> Path:
    """YAML of a user's own arm, in a folder of its own beside its URDF."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own.urdf").write_text(with_masses(OWN_ARM))
    (folder / "own.yaml").write_text(
        "urdf: own.urdf\njoints: [rail, turn, swing, bend, flick]\nend_effector: cup\n"
        "home: [-0.1, 0.0, -0.6, -1.0, -0.5]\nacceleration: [3.0, 10.0, 15.0, 20.0, 30.0]\n"
    )
    return folder / "own.yaml"


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """What a test draws does not hang on which tests ran before it."""
    torch.manual_seed(0)


# The coordinator reserves a number on this machine; going round keeps a straggler out of the next test, and
# each of pytest-xdist's processes goes round numbers of its own.
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
next_domain = partial(next, itertools.cycle(range(1 + _worker, 101, _workers)))


@pytest.fixture
def ros_domain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[int]:
    """A ROS_DOMAIN_ID of this test's own, set for this process and those it starts. Logs go to tmp_path."""
    with domain_id(next_domain) as number:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
        monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "ros_log"))
        yield number
