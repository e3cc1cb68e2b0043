"""A recording session by keyboard or joystick, and its transcript.

    python benchmarks/recording_session.py OUT [--hands keyboard|joystick] [--seed 10] [--tries 8]

Runs `irl-ros record --operator human --episodes 1` as a person meets it, on a (pseudo-)terminal, and knows no
more than what that shows: it swings, watches "let go now: 30 cm short", and lets go when that should be
nothing. The hands are the keys of that terminal, or a gamepad: a program that publishes sensor_msgs/Joy on
`joy` as joy_node does, with the buttons of config/teleop/joystick.yaml. The first throw is a warm-up and is
discarded, as is any that was let go at the wrong moment; the first good one is kept, and `irl-ros demos`
reads it. Printed: what the hands do (in brackets) and the lines shown, but of the status line only what was
read when it mattered. An order that nobody has heard is given again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import yaml
from sensor_msgs.msg import Joy

from irl_ros.nodes import interface as names
from irl_ros.nodes.session import Session
from irl_ros.resources import config_file

NEAR = 8  # cm; a throw that seemed farther off when the ball left is discarded
LATE = 0.07  # s from the decision to the ball's leaving
SWING = 2.0  # s; the arm is at its limits long before
LIMIT, PATIENCE = 300.0, 4.0  # s for an answer, and until an order is given again
FLIGHT = 2.5  # s until the ball is down for certain
JOY_PERIOD = 0.02  # s; joy_node's autorepeat_rate: 50
MISS = re.compile(r"let go now: (\d+) cm (too far|short)")


class Terminal:
    """Shows what a program prints there, and takes keys to it."""

    def __init__(self, command: list[str]) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.shown, self._told = "", 0

    def type(self, key: str) -> None:
        os.write(self._ours, key.encode())

    def read(self, seconds: float) -> str:
        """What is shown within this time."""
        before = len(self.shown)
        if select.select([self._ours], [], [], seconds)[0]:
            try:
                self.shown += os.read(self._ours, 65536).decode(errors="replace")
            except OSError:  # the other end is closed
                time.sleep(seconds)
        self.print_lines()
        return self.shown[before:]

    def until(self, pattern: str, again: Callable[[], None] | None = None) -> None:
        """Wait until it is shown; a person does what did not help `again`, every few seconds."""
        begun, now = len(self.shown), time.monotonic()
        end, patience = now + LIMIT, now + PATIENCE
        while not re.search(pattern, self.shown[begun:]):
            self.read(0.1)
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError(f"waited for {pattern!r} in vain:\n{self.shown[begun:]}")
            if again is not None and time.monotonic() > patience:
                patience = time.monotonic() + PATIENCE
                again()

    def watch(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read(0.1)

    def print_lines(self) -> None:
        whole = self.shown.rfind("\n") + 1
        for line in self.shown[self._told : whole].split("\n"):
            text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line.rpartition("\r\x1b[K")[2]).strip()
            if text.strip():
                print(text, flush=True)
        self._told = max(self._told, whole)


class Hands(Protocol):
    """What a person does; told in brackets."""

    def order(self, order: str) -> None:
        """One of start, keep, discard."""

    def swing(self) -> None:
        """Begin, or go on, to swing forward."""

    def let_go(self) -> None:
        """Of the ball, and swing no longer."""


class Keyboard:
    """Keys of config/teleop/keyboard.yaml; a held key repeats itself."""

    REPEAT = 0.3  # s

    def __init__(self, terminal: Terminal) -> None:
        self._terminal, self._pressed = terminal, 0.0
        self._orders = yaml.safe_load(config_file("teleop", "keyboard").read_text())["keyboard"]["orders"]

    def order(self, order: str) -> None:
        name = self._orders[order]
        self._press("\r" if name == "enter" else name, name)

    def swing(self) -> None:
        if not self._pressed:
            self._press("w", "w, held")
        elif time.monotonic() > self._pressed + self.REPEAT:
            self._terminal.type("w")
        else:
            return
        self._pressed = time.monotonic()

    def let_go(self) -> None:
        self._press(" ", "space")
        self._pressed = 0.0

    def _press(self, key: str, name: str) -> None:
        tell(self._terminal, name)
        self._terminal.type(key)


class Gamepad:
    """Publishes its sticks and buttons as joy_node does, from a thread; no message is a command by itself."""

    PRESS = 0.1  # s that a thumb stays on a button
    FOLLOW = 0.2  # s that the swing goes on after the ball has left

    def __init__(self, session: Session, terminal: Terminal) -> None:
        mapping = yaml.safe_load(config_file("teleop", "joystick").read_text())["joystick"]
        self._terminal, self._orders = terminal, mapping["orders"]
        self._deadman, self._release = mapping["deadman"], mapping["release"]
        self._swing = next(axis["axis"] for axis in mapping["axes"] if "joints" in axis)
        self._held: set[int] = set()
        self._pressed = (-1, 0.0)  # a button, and until when
        self._stick = 0.0
        self._joy = session.node.create_publisher(Joy, names.JOY, names.COMMAND)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._say, daemon=True)
        self._thread.start()

    def order(self, order: str) -> None:
        button = self._orders[order]
        tell(self._terminal, f"button {button}: {order}")
        self._pressed = (button, time.monotonic() + self.PRESS)

    def swing(self) -> None:
        if not self._stick:
            tell(self._terminal, f"deadman {self._deadman} held, axis {self._swing} full")
        self._held.add(self._deadman)
        self._stick = 1.0

    def let_go(self) -> None:
        tell(self._terminal, f"button {self._release}: let go")
        self._held.add(self._release)
        self._terminal.watch(self.FOLLOW)
        tell(self._terminal, f"axis {self._swing} centred, deadman {self._deadman} let go")
        self._stick = 0.0
        self._held.clear()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _say(self) -> None:
        while not self._over.wait(JOY_PERIOD):
            button, end = self._pressed
            axes, held = [0.0] * 8, self._held | ({button} if time.monotonic() < end else set())
            axes[self._swing] = self._stick
            self._joy.publish(Joy(axes=axes, buttons=[int(i in held) for i in range(11)]))


def tell(terminal: Terminal, what: str) -> None:
    terminal.print_lines()
    print(f"    [{what}]", flush=True)


@contextlib.contextmanager
def person(command: list[str], which: str) -> Iterator[tuple[Terminal, Hands]]:
    """The program on a terminal, and the hands that work it; both end with the context."""
    with contextlib.ExitStack() as stack:
        # a pad talks to the program over topics, in a domain of theirs that the program inherits
        session = stack.enter_context(Session("pad")) if which == "joystick" else None
        terminal = Terminal(command)
        stack.callback(terminal.process.wait)
        stack.callback(terminal.process.kill)
        if session is None:
            yield terminal, Keyboard(terminal)
            return
        pad = Gamepad(session, terminal)
        stack.callback(pad.close)
        yield terminal, pad


class Rhythm:
    """When to let go, learned from swing to swing.

    The status line is renewed five times a second and a swing takes half a second, so a single one tells too
    little. But every swing is the same: what was read in all of them, over the time since each began, is one
    curve.
    """

    def __init__(self) -> None:
        self._before: list[tuple[float, float]] = []
        self._now: list[tuple[float, float]] = []

    def begin(self) -> None:
        """Another swing."""
        self._before, self._now = [*self._before, *self._now], []

    def read(self, time: float, off: float) -> None:
        """What was read, cm, at a time since the swing began, s."""
        self._now.append((time, off))

    def off(self, time: float) -> float:
        """What would be read then, cm; endlessly short while too little is known."""
        known = self._before if len(self._before) > 1 else self._now
        if len(known) < 2 or not self._now:
            return float("-inf")
        curve = np.polynomial.Polynomial.fit(*zip(*known, strict=True), deg=min(len(known) - 1, 2))
        today = np.mean([off - curve(t) for t, off in self._now])
        return float(curve(time) + today)


def throw(terminal: Terminal, hands: Hands, rhythm: Rhythm) -> float:
    """Swing forward and let go when it seems right; how far off it seemed then, cm."""
    rhythm.begin()
    begun, off = time.monotonic(), float("-inf")
    while (now := time.monotonic() - begun) < SWING:
        hands.swing()
        for number, side in MISS.findall(terminal.read(0.01)):
            rhythm.read(time.monotonic() - begun, float(number) * (1 if side == "too far" else -1))
            print(f"      reads: let go now: {number} cm {side}", flush=True)
        off = rhythm.off(now + LATE)
        if off >= 0.0:
            break
    hands.let_go()
    return off


def record(out: Path, which: str, seed: int, tries: int) -> int:
    """The session; the exit code of `irl-ros record`."""
    command = [sys.executable, "-m", "irl_ros", "record", "--operator", "human", "--input", which]
    command += [
        "--out",
        str(out),
        "--episodes",
        "1",
        "--countdown",
        "1",
        "--name",
        "Ada",
        "--seed",
        str(seed),
    ]
    print("$ irl-ros", *command[3:], flush=True)
    with person(command, which) as (terminal, hands):
        terminal.until("enter: start")
        terminal.until("at rest")
        rhythm = Rhythm()
        for attempt in range(tries):
            hands.order("start")
            terminal.until("recording episode", again=lambda: hands.order("start"))
            off = throw(terminal, hands, rhythm)
            terminal.watch(FLIGHT)
            if attempt and abs(off) <= NEAR:
                hands.order("keep")
                terminal.until(r"episode_\d+: \w+")
                break
            hands.order("discard")
            terminal.until("discarded")
            terminal.until("at rest")
        else:
            terminal.type("q")
        while terminal.process.poll() is None:
            terminal.read(0.1)
        return terminal.process.returncode


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--hands", choices=("keyboard", "joystick"), default="keyboard")
    parser.add_argument("--seed", type=int, default=10, help="of the targets; 10: one straight ahead")
    parser.add_argument("--tries", type=int, default=8)
    options = parser.parse_args()
    code = record(options.out, options.hands, options.seed, options.tries)
    if code:
        return code
    print("$ irl-ros demos", options.out, flush=True)
    return subprocess.run([sys.executable, "-m", "irl_ros", "demos", str(options.out)]).returncode


if __name__ == "__main__":
    raise SystemExit(main())
