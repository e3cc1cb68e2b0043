"""Terminal: single keys of the terminal a node was started in, and lines that go beside its status line."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from typing import Any


class Terminal:
    """Keys without Enter, while open. Ctrl-C stays what it is, and lines still end where they should.

    Attributes:
        here: standard input is a terminal, so that keys can come.
    """

    def __init__(self) -> None:
        self.here = sys.stdin is not None and sys.stdin.isatty()
        self._before: list[Any] | None = None

    def open(self) -> None:
        """Ask the terminal for single keys, not echoed."""
        if self.here:
            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin, termios.TCSANOW)

    def close(self) -> None:
        """Give the terminal back as it was."""
        self.show("")
        if self._before is not None:
            termios.tcsetattr(sys.stdin, termios.TCSANOW, self._before)
            self._before = None

    def pressed(self) -> str:
        """Keys pressed since the last call; nothing is waited for. Arrow and function keys are left out."""
        pressed = b""
        while self._before is not None and select.select([sys.stdin], [], [], 0)[0]:
            more = os.read(sys.stdin.fileno(), 256)
            if not more:  # the terminal is gone
                self._before = None
            pressed += more
        text = pressed.decode(errors="ignore")
        return text if text == "\x1b" or "\x1b[" not in text else text[: text.index("\x1b[")]

    def tell(self, line: str) -> None:
        """Print a line above the status line."""
        print(f"{clear_line()}{line}", flush=True)

    def show(self, status: str) -> None:
        """Replace the status line; only where somebody watches."""
        if sys.stdout.isatty():
            print(f"{clear_line()}{status}", end="", flush=True)


def clear_line() -> str:
    """What takes a status line away, from the terminal that has one."""
    return "\r\x1b[K" if sys.stdout.isatty() else ""
