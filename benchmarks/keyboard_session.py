"""A recording session by keyboard in a pseudo-terminal, and its transcript.

    python benchmarks/keyboard_session.py OUT [--seed 10] [--tries 8]

Runs `irl-ros record --operator human --episodes 1` as a person meets it, on a terminal, and knows no more
than what that shows: it swings, watches "let go now: 30 cm short", and presses space when that should be
nothing. A throw that was let go at the wrong moment is discarded and made again; the first good one is kept.
Printed: the keys pressed and the lines shown, but of the status line only what was read when it mattered.
"""

from __future__ import annotations

import argparse
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

NEAR = 10  # cm; a throw that seemed farther off when the ball left is discarded
LATE = 0.1  # s from the decision to the ball's leaving
LIMIT = 300.0  # s
MISS = re.compile(r"let go now: (\d+) cm (too far|short)")


class Person:
    """Reads a terminal and presses its keys."""

    def __init__(self, command: list[str]) -> None:
        self.terminal, theirs = pty.openpty()
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.shown, self._told = "", 0

    def press(self, key: str, name: str = "") -> None:
        self._print_lines()
        print(f"    [{name or key}]", flush=True)
        os.write(self.terminal, key.encode())

    def read(self, seconds: float) -> str:
        """What is shown within this time."""
        before = len(self.shown)
        if select.select([self.terminal], [], [], seconds)[0]:
            try:
                self.shown += os.read(self.terminal, 65536).decode(errors="replace")
            except OSError:  # the other end is closed
                time.sleep(seconds)
        self._print_lines()
        return self.shown[before:]

    def until(self, pattern: str) -> str:
        begun, end = len(self.shown), time.monotonic() + LIMIT
        while not (found := re.search(pattern, self.shown[begun:])):
            self.read(0.1)
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError(f"waited for {pattern!r} in vain:\n{self.shown[begun:]}")
        return found[0]

    def _print_lines(self) -> None:
        whole = self.shown.rfind("\n") + 1
        for line in self.shown[self._told : whole].split("\n"):
            text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line.rpartition("\r\x1b[K")[2]).strip()
            if text.strip():
                print(text, flush=True)
        self._told = max(self._told, whole)


def swing(person: Person) -> float:
    """Swing forward and let go when it seems right; how far off it seemed then, cm."""
    seen: list[tuple[float, float]] = []
    person.press("w")
    begun = time.monotonic()
    while time.monotonic() < begun + 6.0:
        for number, side in MISS.findall(person.read(0.01)):
            seen.append((time.monotonic(), float(number) * (1 if side == "too far" else -1)))
            print(f"      reads: let go now: {number} cm {side}", flush=True)
        if time.monotonic() > begun + 0.4 and len(seen) < 2:
            os.write(person.terminal, b"w")
            begun = time.monotonic() if not seen else begun
        if len(seen) < 2:
            continue
        (t0, x0), (t1, x1) = seen[-2:]
        rate = (x1 - x0) / max(t1 - t0, 1e-3)
        now = x1 + rate * (time.monotonic() + LATE - t1)
        if x1 > NEAR or now >= 0.0:
            break
    person.press(" ", "space")
    return now if len(seen) > 1 else float("inf")


def session(out: Path, seed: int, tries: int) -> int:
    command = [sys.executable, "-m", "irl_ros", "record", "--operator", "human", "--out", str(out)]
    command += ["--episodes", "1", "--countdown", "1", "--name", "Ada", "--seed", str(seed)]
    print("$ irl-ros", *command[3:], flush=True)
    person = Person(command)
    try:
        person.until("enter: start")
        person.until("at rest")
        for _ in range(tries):
            person.press("\r", "enter")
            while "recording" not in person.until("recording episode|missing|waits|no joint|stale|lacks"):
                person.press("\r", "enter")
            off = swing(person)
            end = time.monotonic() + 2.5  # the ball flies
            while time.monotonic() < end:
                person.read(0.1)
            if abs(off) <= NEAR:
                person.press("k")
                person.until(r"episode_\d+: \w+")
                break
            person.press("x")
            person.until("discarded")
            person.until("at rest")
        else:
            person.press("q")
        while person.process.poll() is None:
            person.read(0.1)
        return person.process.returncode
    finally:
        person.process.kill()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=10, help="of the targets; 10: one straight ahead")
    parser.add_argument("--tries", type=int, default=8)
    options = parser.parse_args()
    return session(options.out, options.seed, options.tries)


if __name__ == "__main__":
    raise SystemExit(main())
