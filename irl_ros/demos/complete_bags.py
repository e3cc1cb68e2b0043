"""Which recordings of a folder can be read now, while somebody goes on recording into it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

STORAGE = (".mcap", ".db3")


def complete_bags(paths: Sequence[str | Path]) -> tuple[list[str], list[str]]:
    """Take what is complete from folders that grow.

    A rosbag2 folder is complete when it has its metadata.yaml, which every recorder writes last.

    Args:
        paths: bag folders or folders of them.

    Returns:
        The bags to read, and those left out because they are being written, or were never finished. A path
        in which nothing is complete is returned as it is: whoever reads it says what is wrong with it.
    """
    ready: list[str] = []
    left: list[str] = []
    for path in map(Path, paths):
        bags = list(_bags_below(path)) if path.is_dir() else []
        complete = [bag for bag in bags if (bag / "metadata.yaml").is_file()]
        ready += map(str, complete or [path])
        left += [str(bag) for bag in bags if bag not in complete] if complete else []
    return ready, left


def _bags_below(folder: Path) -> Iterator[Path]:
    entries = sorted(folder.iterdir())
    if any(e.name == "metadata.yaml" or e.suffix in STORAGE for e in entries):
        yield folder
        return
    for entry in entries:
        if entry.is_dir() and not entry.name.startswith("."):
            yield from _bags_below(entry)
