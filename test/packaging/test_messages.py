"""The installation that runs these tests: its messages travel, its index entry is found."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def test_messages_travel_between_two_processes(ros_domain: int, exchange_messages: Callable) -> None:
    exchange_messages([sys.executable], os.environ)


def printed(code: str, **options: object) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout.strip()


def test_ament_index_knows_the_package_unsourced(clean_environment: dict[str, str], tmp_path: Path) -> None:
    code = "import irl_ros, ament_index_python as a; print(a.get_package_share_directory('irl_ros'))"
    share = printed(code, env=clean_environment, cwd=tmp_path)
    assert Path(share) == Path(sys.prefix) / "share" / "irl_ros"


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {"torch", "numpy", "rclpy", "pybullet"}
    assert printed(f"import sys, irl_ros; print({heavy} & set(sys.modules))") == "set()"
