"""LearningProcess: `irl-ros learn` in a process of its own, followed by the file it writes. No ROS here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from irl_ros.nodes.lifeline import mark

PATIENCE = 30.0  # s that learning gets to end politely


class LearningProcess:
    """Training never shares a process with control: it would make the control wait.

    Args:
        run: the RUN folder it writes.
        arguments: what else `irl-ros learn` is told.
        log: where its output goes; default: this process's own.
    """

    def __init__(self, run: Path, arguments: Sequence[str], log: TextIO | None = None) -> None:
        self.run = Path(run)
        self._line = self._last_line()  # resumed: what is there was reported before
        self._last_error = ""
        command = [sys.executable, "-m", "irl_ros", "learn", *arguments, "--out", str(run)]
        self._process = subprocess.Popen(
            command,
            env=mark(dict(os.environ)),
            stdout=log,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C in a terminal reaches us first, and we tell it
        )
        assert self._process.stderr is not None
        os.set_blocking(self._process.stderr.fileno(), False)

    @property
    def exit_code(self) -> int | None:
        """None while it runs; 0 done, 1 failed, 2 bad input, 130 stopped."""
        return self._process.poll()

    def news(self) -> dict[str, Any] | None:
        """The newest line of metrics.jsonl where it is another than at the last call."""
        line = self._last_line()
        if line is None or line == self._line:
            return None
        self._line = line
        return json.loads(line)

    def _last_line(self) -> bytes | None:
        """The last whole line. By content, not by offset: resuming shortens the file."""
        try:
            lines = (self.run / "metrics.jsonl").read_bytes().split(b"\n")
        except FileNotFoundError:
            return None
        return lines[-2] if len(lines) > 1 else None  # what follows the last newline is half written

    def complaint(self) -> str:
        """The last line it wrote to stderr; "" where there is none."""
        assert self._process.stderr is not None
        text = self._process.stderr.read() or ""
        lines = [line for line in text.splitlines() if line.strip()]
        self._last_error = lines[-1].strip() if lines else self._last_error
        return self._last_error

    def interrupt(self) -> None:
        """Ctrl-C: it saves where it is and ends. What it has done can be resumed."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Force. What it has saved before can be resumed."""
        self._process.kill()

    def wait(self) -> int:
        """Until it has ended, by force where patience ends; returns the exit code."""
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
        return self._process.wait()
