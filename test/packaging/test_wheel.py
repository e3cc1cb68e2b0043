"""A wheel in a virtual environment of its own: the way of a user who does not develop irl_ros."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(600)

PROBE = """
import json, sys
from importlib.metadata import files
from irl_ros.resources import share_directory
recorded = [str(file.locate().resolve()) for file in files("irl_ros")]
print(json.dumps({"share": str(share_directory()), "prefix": sys.prefix, "recorded": recorded}))
"""


@pytest.fixture(scope="module")
def environment_with_wheel(source_copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the wheel; it borrows all else from the one that runs the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    source = source_copy / "src" / "irl_ros"
    options = ["--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "wheel", *options, "--wheel-dir", str(folder), str(source)], check=True)
    (wheel,) = folder.glob("irl_ros-*.whl")

    environment = folder / "venv"
    venv.create(environment, symlinks=True, with_pip=False)
    python = environment / "bin" / "python"
    purelib = Path(sysconfig.get_path("purelib", "venv", {"base": str(environment)}))
    # A plain path line: packages are found, while our own editable install's .pth file stays out.
    (purelib / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", str(wheel)], check=True)
    return environment


def test_messages_travel_without_our_folder_in_ld_library_path(
    environment_with_wheel: Path, ros_domain: int, exchange_messages: Callable
) -> None:
    # As with ROS sourced and irl_ros in a virtual environment: LD_LIBRARY_PATH names only the former.
    assert str(environment_with_wheel) not in os.environ["LD_LIBRARY_PATH"]
    report = exchange_messages([str(environment_with_wheel / "bin" / "python")], os.environ)
    used = [report["package"], report["generated"], *report["libraries"]]
    assert len(report["libraries"]) > 3
    assert [path for path in used if not Path(path).is_relative_to(environment_with_wheel)] == []


def test_the_wheel_holds_configuration_and_index(environment_with_wheel: Path, tmp_path: Path) -> None:
    python = environment_with_wheel / "bin" / "python"
    result = subprocess.run([python, "-c", PROBE], cwd=tmp_path, capture_output=True, text=True, check=True)
    found = json.loads(result.stdout)
    prefix = Path(found["prefix"])
    assert prefix == environment_with_wheel
    assert Path(found["share"]) == prefix / "share" / "irl_ros"
    assert (prefix / "share" / "irl_ros" / "config" / "worlds" / "default.yaml").is_file()
    assert (prefix / "share" / "ament_index" / "resource_index" / "packages" / "irl_ros").is_file()
    helped = subprocess.run(
        [prefix / "bin" / "irl-ros", "--help"], cwd=tmp_path, capture_output=True, text=True
    )
    assert helped.returncode == 0 and "learn" in helped.stdout
    libraries = {str(path.resolve()) for path in (prefix / "lib").glob("libirl_ros__*.so")}
    assert libraries and libraries <= set(found["recorded"])  # so that uninstalling takes them away
