"""Where the files that ship with the package are: the source tree's, or the installed share/irl_ros."""

from __future__ import annotations

import sys
from pathlib import Path

from irl_ros.errors import InputError, unknown_name

SOURCE_ROOT = Path(__file__).resolve().parent.parent


def share_directory() -> Path:
    """Folder that holds config/, launch/ and msg/."""
    if (SOURCE_ROOT / "config" / "worlds").is_dir():
        return SOURCE_ROOT
    # <prefix>/share, beside <prefix>/lib/pythonX. Own parents first: a workspace may lie on top of a
    # virtual environment that has irl_ros as well.
    candidates = [*Path(__file__).resolve().parents, Path(sys.prefix)]
    for prefix in candidates:
        if (prefix / "share" / "irl_ros" / "config").is_dir():
            return prefix / "share" / "irl_ros"
    raise InputError("irl_ros", "its share/irl_ros folder is not installed", "install the package again")


def config_file(kind: str, name: str | Path) -> Path:
    """Path of `config/<kind>/<name>.yaml`, or `name` itself where that is a file.

    Args:
        kind: "worlds", "robots" or "teleop".
        name: a shipped name, or the path of a YAML file.

    Raises:
        InputError: there is neither a file nor a shipped configuration of that name.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise InputError(
            path, "no such file", f"give a path that exists or a name: {', '.join(shipped(kind))}"
        )
    if str(name) in shipped(kind):
        return share_directory() / "config" / kind / f"{name}.yaml"
    raise InputError(*_unknown(kind, name))


def shipped(kind: str) -> list[str]:
    """Names of the configurations of a kind that ship with the package."""
    return sorted(p.stem for p in (share_directory() / "config" / kind).glob("*.yaml"))


def _unknown(kind: str, name: object) -> tuple[str, str, str]:
    singular = kind.removesuffix("s")
    problem, cure = unknown_name(singular, name, shipped(kind))
    known = f"known: {', '.join(shipped(kind))}"
    return (singular, problem, cure if cure == known else f"{cure} {known}")
