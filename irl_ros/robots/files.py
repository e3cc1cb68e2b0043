"""Where the files of a robot are: beside its YAML, in pybullet_data, or in a ROS package."""

from __future__ import annotations

import os
from pathlib import Path

from irl_ros.errors import InputError

PYBULLET_DATA, PACKAGE, FILE = "pybullet_data:", "package://", "file://"


def find_file(name: str, beside: Path, where: object = None) -> Path:
    """Path of a file of a robot, which need not exist.

    Args:
        name: `pybullet_data:<path>`, `package://<package>/<path>` (a package of the sourced ROS workspace, or
            a folder of that name above `beside`), `file://<path>`, an absolute path, or one relative to the
            folder of `beside`. `~` and `$VARIABLES` are not expanded, except for a leading `~`.
        beside: the file that names it.
        where: what errors name; default: `beside`.

    Raises:
        InputError: there is no such ROS package.
    """
    if name.startswith(PYBULLET_DATA):
        import pybullet_data

        return Path(pybullet_data.getDataPath()) / name.removeprefix(PYBULLET_DATA)
    if name.startswith(PACKAGE):
        package, _, path = name.removeprefix(PACKAGE).partition("/")
        return _package(package, beside, where) / path
    path_itself = Path(name.removeprefix(FILE)).expanduser()
    return path_itself if path_itself.is_absolute() else (beside.parent / path_itself).resolve()


def _package(name: str, beside: Path, where: object) -> Path:
    """Folder of a ROS package's shared files."""
    prefixes = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    for folder in [prefix / "share" / name for prefix in prefixes]:
        if folder.is_dir():
            return folder
    # as PyBullet looks for it: a description that was copied as a whole, without ROS
    for above in beside.resolve().parents:
        if above.name == name or (above / name).is_dir():
            return above if above.name == name else above / name
    cure = "source the workspace that has it, or give the path of the file"
    raise InputError(beside if where is None else where, f"there is no ROS package '{name}'", cure)
