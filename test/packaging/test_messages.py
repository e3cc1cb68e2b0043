"""The installation that runs these tests: its messages travel, its index entry is found."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def test_messages_travel_between_two_processes(ros_domain: int, exchange_messages: Callable) -> None:
    exchange_messages([sys.executable], os.environ)


def test_ament_index_knows_the_package_without_anything_sourced(clean_environment: dict[str, str]) -> None:
    code = (
        "import irl_ros; from ament_index_python import get_package_share_directory as f; print(f('irl_ros'))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], env=clean_environment, capture_output=True, text=True, check=True
    )
    assert Path(result.stdout.strip()) == Path(sys.prefix) / "share" / "irl_ros"


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, irl_ros; print([m for m in ('torch', 'numpy', 'rclpy', 'pybullet') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
