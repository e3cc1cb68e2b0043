"""The installation that runs these tests: its messages travel, its index entry is found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from irl_ros.errors import InputError
from irl_ros.nodes.generated import check_generated
from irl_ros.resources import SOURCE_ROOT


def test_what_was_generated_is_of_these_definitions_and_older_is_refused(tmp_path: Path) -> None:
    check_generated()
    installed = tmp_path / "share" / "irl_ros"
    for kind in ("msg", "action"):
        shutil.copytree(SOURCE_ROOT / kind, installed / kind)
    throw = installed / "action" / "Throw.action"
    throw.write_text("# other words, the same fields\n" + throw.read_text())
    check_generated(prefixes=[tmp_path / "lib", tmp_path])
    throw.write_text(throw.read_text().replace("float32 error", "float64 error"))
    with pytest.raises(InputError, match=r"Throw\.action: is newer .* make \.venv/ready"):
        check_generated(prefixes=[tmp_path])
    throw.unlink()
    with pytest.raises(InputError, match=r"Throw\.action"):
        check_generated(prefixes=[tmp_path])


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
