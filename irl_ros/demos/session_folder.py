"""SessionFolder: where the episodes of a recording session lie, and which number comes next."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from irl_ros.demos.episode_tape import EpisodeTape, SimulatedTime
from irl_ros.demos.split_bag import SplitBag
from irl_ros.demos.writer import sync_folder
from irl_ros.errors import InputError

WITHDRAWN = ".withdrawn"
"""Hidden folder for episodes that were taken back; nothing that reads bags looks there."""
LAYOUTS = ("bags", "split")
_UNFINISHED = re.compile(r"\.(episode_\d+|split_\d+)-\w+")


class SessionFolder:
    """Keeps whole episodes in a folder, numbered on from what is there already.

    Nothing but whole episodes is ever visible: a crash in the middle of `keep` loses the episode being kept.
    The folder is locked against a second recorder until `close` or the end of the process.

    Args:
        path: the folder; made when the first episode is kept, or now where it exists.
        layout: "bags": a bag for each episode, `episode_0007`; "split": one bag `session` that rosbag2 calls
            split, with a file for each episode, `session/session_7.mcap`.
        storage: "mcap" or "sqlite3".

    Raises:
        InputError: another recorder writes there, or the folder cannot be.
    """

    def __init__(self, path: str | Path, layout: str = "bags", storage: str = "mcap") -> None:
        self.path, self._storage = Path(path), storage
        self._split = SplitBag(self.path / "session", storage) if layout == "split" else None
        self._lock: int | None = None
        if self.path.is_dir():
            self._claim()

    @property
    def next_number(self) -> int:
        """One more than the highest episode there."""
        return max((number + 1 for number in self._numbers()), default=0)

    def keep(
        self,
        number: int,
        tape: EpisodeTape,
        types: Mapping[str, str],
        clock: SimulatedTime | None,
        custom: Mapping[str, str],
    ) -> Path:
        """Write an episode; the bag (or its file) that now holds it. See `EpisodeTape.save`.

        Raises:
            InputError: the disk refuses; then nothing of the episode is left on it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(self.path, f"cannot be made ({error.strerror})") from None
        self._claim()
        if self._split is None:
            return tape.save(self.path / f"episode_{number:04d}", types, clock, custom, self._storage)
        part = self.path / f".split_{number}-part"
        shutil.rmtree(part, ignore_errors=True)
        try:
            return self._split.add(number, tape.save(part, types, clock, custom, self._storage))
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def withdraw(self, number: int) -> Path:
        """Take a kept episode back. It moves to a hidden folder: a person may have pressed the wrong key.

        Raises:
            InputError: there is no such episode, or the disk refuses.
        """
        away = self.path / WITHDRAWN
        try:
            away.mkdir(exist_ok=True)
            if self._split is not None:
                return self._split.remove(number, away)
            source = self.path / f"episode_{number:04d}"
            target = _free(away / source.name)
            source.rename(target)
            sync_folder(self.path)
            return target
        except OSError as error:
            raise InputError(self.path, f"episode {number} cannot be taken back ({error.strerror})") from None

    def close(self) -> None:
        """Let another recorder write here."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _numbers(self) -> list[int]:
        if self._split is not None:
            return self._split.numbers()
        names = [p.name for p in self.path.iterdir()] if self.path.is_dir() else []
        return [int(m[1]) for m in (re.fullmatch(r"episode_(\d+)", name) for name in names) if m]

    def _claim(self) -> None:
        """Lock the folder, and clear away what a recorder left that was killed while it wrote."""
        if self._lock is not None:
            return
        try:
            handle = os.open(self.path, os.O_RDONLY)  # the folder itself is the lock
        except OSError as error:
            raise InputError(self.path, f"cannot be read ({error.strerror})") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise InputError(
                self.path, "another recorder writes there", "end it, or give another folder"
            ) from None
        self._lock = handle
        for leftover in self.path.iterdir():
            if leftover.is_dir() and _UNFINISHED.fullmatch(leftover.name):
                shutil.rmtree(leftover, ignore_errors=True)
        if self._split is not None:
            with contextlib.suppress(InputError):  # what is there may be somebody's; `add` says so
                self._split.mend()


def _free(path: Path) -> Path:
    """`path`, or the first of path-1, path-2, … that is not there yet."""
    candidate, count = path, 0
    while candidate.exists():
        count += 1
        candidate = path.with_name(f"{path.name}-{count}")
    return candidate
