"""`irl-ros record --operator human` in a pseudo-terminal: a person at the keys, as far as it can tell."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from irl_ros.demos.bag import find_bags, read_bag, roles_of
from irl_ros.demos.recording import DISCARD, STOP
from irl_ros.sim import load_world

LIMIT = 300.0


class Person:
    """Reads what the terminal shows and presses keys."""

    def __init__(self, *arguments: str) -> None:
        self._terminal, theirs = pty.openpty()
        command = [sys.executable, "-m", "irl_ros", "record", "--operator", "human", *arguments]
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.shown = ""

    def press(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def read(self, seconds: float) -> None:
        if select.select([self._terminal], [], [], seconds)[0]:
            try:
                self.shown += os.read(self._terminal, 65536).decode(errors="replace")
            except OSError:  # the other end is closed
                return

    def until(self, pattern: str, keys: str = "", every: float = 3.0) -> str:
        """Read on until a pattern is shown, pressing keys again and again meanwhile."""
        begun, end, pressed = len(self.shown), time.monotonic() + LIMIT, float("-inf")
        while not (found := re.search(pattern, self.shown[begun:])):
            if keys and time.monotonic() > pressed + every:
                pressed = time.monotonic()
                self.press(keys)
            self.read(0.1)
            assert time.monotonic() < end and self.process.poll() is None, self.shown
        return found[0]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._terminal)


@pytest.fixture(params=["forward_velocity", "forward_position"])
def person(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Person]:
    asked = {"out": tmp_path / "demos", "episodes": 1, "countdown": 1, "name": "Ada"}
    asked["controller"] = request.param
    person = Person(*(word for key, value in asked.items() for word in (f"--{key}", str(value))))
    yield person
    person.close()


def test_a_person_records_by_keyboard(person: Person, tmp_path: Path) -> None:
    person.until("enter: start")
    person.until("recording episode 0", keys="\r")
    assert "episode 0 in 1" in person.shown
    person.press("x")
    person.until("episode 0 discarded")
    person.until("recording episode 0", keys="\r")
    person.until("let go now", keys="w", every=0.6)
    person.press(" ")
    person.until(r"episode_0000: failure", keys="n")
    while person.process.poll() is None:
        person.read(0.1)
    assert person.process.returncode == 0, person.shown
    assert "7 joints of panda" in person.shown and "1 episodes more in" in person.shown
    (bag,) = find_bags(tmp_path / "demos")
    events = read_bag(bag, {"episodes": roles_of(load_world().robot)["episodes"]}).messages["episodes"]
    stop = events[-1][1]
    assert (stop.event, stop.outcome, stop.ended_by, stop.operator_name) == (
        STOP,
        "failure",
        "operator",
        "Ada",
    )
    assert DISCARD not in [m.event for _, m in events]


def test_without_a_terminal_there_is_one_line_and_exit_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "irl_ros", "record", "--operator", "human", "--out", str(tmp_path / "x")]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert ended.returncode == 2 and not (tmp_path / "x").exists()
    (line,) = ended.stderr.strip().splitlines()
    assert "standard input: is no terminal" in line
