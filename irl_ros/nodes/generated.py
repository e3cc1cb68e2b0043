"""Whether the generated irl_ros.msg and irl_ros.action are those of this source folder's definitions."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from irl_ros.errors import InputError
from irl_ros.resources import SOURCE_ROOT

_KINDS = ("msg", "action")


def check_generated(source: Path = SOURCE_ROOT, prefixes: list[Path] | None = None) -> None:
    """Refuse what was generated before a definition came or changed: it fails later, and far from the cause.

    An installed package has no definitions beside it, and nothing to compare.

    Args:
        source: folder that holds msg/ and action/.
        prefixes: where share/irl_ros may be; default: those that the generated Python lies in.

    Raises:
        InputError: a definition is missing or another one.
    """
    if prefixes is None:
        found = importlib.util.find_spec("irl_ros.msg")
        prefixes = list(Path(found.origin).parents) if found and found.origin else []
    shares = [p / "share" / "irl_ros" for p in prefixes if (p / "share" / "irl_ros" / "msg").is_dir()]
    for file in (f for kind in _KINDS for f in sorted((source / kind).glob(f"*.{kind}"))):
        built = shares[0] / file.parent.name / file.name if shares else None
        if built is None or not built.is_file() or _meaning(built) != _meaning(file):
            raise InputError(
                file,
                "is newer than what was generated from it",
                "build again: make .venv/ready, or colcon build",
            )


def _meaning(definition: Path) -> list[str]:
    """Without comments."""
    lines = (line.partition("#")[0].split() for line in definition.read_text().splitlines())
    return [" ".join(words) for words in lines if words]
