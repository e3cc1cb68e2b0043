"""SplitBag: one rosbag2 bag of many files, one an episode, that is whole after every file."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Any

import yaml

from irl_ros.demos.writer import sync_folder
from irl_ros.errors import InputError

_TOP = "rosbag2_bagfile_information"


class SplitBag:
    """What `ros2 bag record --max-bag-duration` leaves: name_0.mcap, name_1.mcap, … and one metadata.yaml.

    A file comes before its line in metadata.yaml, which is replaced in one piece; so a crash in between
    leaves a good bag and one file more, which `mend` enters.

    Args:
        path: the bag's folder; made with the first file.
        storage: "mcap" or "sqlite3".
    """

    def __init__(self, path: Path, storage: str = "mcap") -> None:
        self.path, self._suffix = path, ".mcap" if storage == "mcap" else ".db3"

    def numbers(self) -> list[int]:
        """Numbers of the files."""
        names = [p.name for p in self.path.iterdir()] if self.path.is_dir() else []
        pattern = re.compile(re.escape(self.path.name) + r"_(\d+)\.(mcap|db3)")
        return sorted(int(m[1]) for m in map(pattern.fullmatch, names) if m)

    def add(self, number: int, bag: Path) -> Path:
        """Move the single file of a whole bag in here; returns where it is now.

        Raises:
            InputError: a file of that number is there, or the disk refuses.
        """
        target = self._file(number)
        if target.exists():
            raise InputError(target, "exists already", "bags are never overwritten")
        if any(not self._note(n).is_file() for n in self.numbers()):
            raise InputError(self.path, "is a bag of another recorder", "record to another folder")
        part = _information(bag / "metadata.yaml")
        try:
            self.path.mkdir(exist_ok=True)
            # beside the file, until metadata.yaml knows it: what a kill leaves can be entered later
            self._write(self._note(number), _renamed(part, target.name))
            os.rename(bag / part["relative_file_paths"][0], target)
            self.mend()
        except OSError as error:
            raise InputError(target, f"cannot be written ({error.strerror})", "free some space") from None
        return target

    def remove(self, number: int, to: Path) -> Path:
        """Move a file to the folder `to`; the bag goes on without it."""
        target = to / f"{self.path.name}_{number}-{len(list(to.iterdir()))}{self._suffix}"
        os.rename(self._file(number), target)
        self._note(number).unlink(missing_ok=True)
        self.mend()
        return target

    def mend(self) -> None:
        """Write metadata.yaml from the notes of the files that are there."""
        if not self.path.is_dir():
            return
        parts = [_information(self._note(n)) for n in self.numbers() if self._note(n).is_file()]
        if parts:
            self._write(self.path / "metadata.yaml", _merged(parts))
        elif not self.numbers():
            (self.path / "metadata.yaml").unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # something else lies there
                self.path.rmdir()

    def _file(self, number: int) -> Path:
        return self.path / f"{self.path.name}_{number}{self._suffix}"

    def _note(self, number: int) -> Path:
        return self.path / f".{self.path.name}_{number}.yaml"

    def _write(self, path: Path, information: dict[str, Any]) -> None:
        part = path.with_name(path.name + ".part")
        with part.open("w") as file:
            file.write(yaml.safe_dump({_TOP: information}, sort_keys=False))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        sync_folder(path.parent)


def _information(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())[_TOP]


def _renamed(information: dict[str, Any], name: str) -> dict[str, Any]:
    files = [{**information["files"][0], "path": name}]
    return {**information, "relative_file_paths": [name], "files": files}


def _merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The metadata of a bag that has all these files."""
    starts = [p["starting_time"]["nanoseconds_since_epoch"] for p in parts]
    ends = [s + p["duration"]["nanoseconds"] for s, p in zip(starts, parts)]
    topics: dict[str, dict[str, Any]] = {}
    for part in parts:
        for topic in part["topics_with_message_count"]:
            known = topics.setdefault(topic["topic_metadata"]["name"], {**topic, "message_count": 0})
            known["message_count"] += topic["message_count"]
    return {
        **parts[0],
        "relative_file_paths": [p["relative_file_paths"][0] for p in parts],
        "files": [p["files"][0] for p in parts],
        "starting_time": {"nanoseconds_since_epoch": min(starts)},
        "duration": {"nanoseconds": max(ends) - min(starts)},
        "message_count": sum(p["message_count"] for p in parts),
        "topics_with_message_count": list(topics.values()),
        "custom_data": parts[-1].get("custom_data"),
    }
