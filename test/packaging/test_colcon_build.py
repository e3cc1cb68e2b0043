"""`colcon build` against the ROS prefix that the wheels make, and what a shell finds that sources the result.

One workspace serves both layouts: the second build turns the first into symlinks, as a user may.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from irl_ros.nodes.__main__ import NODES

pytestmark = pytest.mark.timeout(600)

PROBE = """
import json, shutil, subprocess
from ament_index_python import get_package_prefix, get_package_share_directory, get_resource
from irl_ros.resources import share_directory
print(json.dumps({
    "prefix": get_package_prefix("irl_ros"),
    "share": get_package_share_directory("irl_ros"),
    "resources": str(share_directory()),
    "interfaces": get_resource("rosidl_interfaces", "irl_ros")[0].split(),
    "command": shutil.which("irl-ros"),
    "help": subprocess.run(["irl-ros", "--help"], capture_output=True, text=True).stdout,
}))
"""


@pytest.fixture(scope="module", params=["copied", "symlinked"])
def workspace(request: pytest.FixtureRequest, source_copy: Path) -> Path:
    """A workspace after `colcon build` (copied), then again with --symlink-install in the same folders."""
    command = [str(Path(sys.executable).with_name("colcon")), "build", "--packages-select", "irl_ros"]
    if request.param == "symlinked":
        command.append("--symlink-install")
    environment = {**os.environ, "AMENT_PREFIX_PATH": sys.prefix, "COLCON_LOG_PATH": str(source_copy / "log")}
    built = subprocess.run(command, cwd=source_copy, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return source_copy


@pytest.fixture
def sourced(workspace: Path) -> list[str]:
    """Command prefix: Python in a shell that sources the workspace."""
    setup = workspace / "install" / "setup.bash"
    return ["bash", "-c", f'source "{setup}" && exec "{sys.executable}" "$@"', "bash"]


def test_messages_travel_between_two_processes(
    workspace: Path, sourced: list[str], clean_environment: dict[str, str], exchange_messages: Callable
) -> None:
    report = exchange_messages(sourced, clean_environment)
    # The environment that runs this has irl_ros as well: what was used must be the workspace's.
    used = [report["package"], report["generated"], *report["libraries"]]
    assert len(report["libraries"]) > 3
    assert [path for path in used if not Path(path).is_relative_to(workspace)] == []


def test_a_sourced_shell_finds_everything(
    workspace: Path, sourced: list[str], clean_environment: dict[str, str], tmp_path: Path
) -> None:
    # Away from the repository, whose irl_ros/ Python would find before any other.
    result = subprocess.run(
        [*sourced, "-c", PROBE],
        env=clean_environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(result.stdout)
    prefix, share, source = Path(found["prefix"]), Path(found["share"]), workspace / "src" / "irl_ros"
    assert prefix == workspace / "install" / "irl_ros"
    assert share == prefix / "share" / "irl_ros"
    # Symlinked, the code is the source folder's, and so is its configuration.
    assert Path(found["resources"]) in (share, source)
    assert Path(found["command"]) == prefix / "bin" / "irl-ros"
    assert "learn" in found["help"]

    shipped = {"launch": "*.launch.py", "config": "**/*.yaml", "msg": "*.msg", "action": "*.action"}
    for folder, pattern in shipped.items():
        expected = {path.relative_to(source) for path in (source / folder).glob(pattern)}
        assert expected
        assert {path.relative_to(share) for path in (share / folder).glob(pattern)} == expected
    definitions = {
        f"{kind}/{path.name}" for kind in ("msg", "action") for path in (source / kind).glob(f"*.{kind}")
    }
    assert definitions <= set(found["interfaces"])

    executables = {path.name for path in (prefix / "lib" / "irl_ros").iterdir() if os.access(path, os.X_OK)}
    assert executables == set(NODES)


def test_the_source_folder_stays_as_it_was(workspace: Path) -> None:
    source = workspace / "src" / "irl_ros"
    assert [path for path in source.rglob("*") if path.suffix in (".so", ".egg-info")] == []
    assert not (source / "irl_ros" / "msg").exists()
    assert not (source / "build").exists()
