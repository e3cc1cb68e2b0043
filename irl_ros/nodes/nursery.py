"""Nodes as processes that are forked, all imported, from one that waits: up in a second, not in five.

A trial that kills nodes a hundred times, and tests that start as many, would else spend their time importing.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from irl_ros.nodes.__main__ import NODES, main
from irl_ros.nodes.lifeline import PARENT

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([f"irl_ros.nodes.{node}" for node in NODES] + ["irl_ros.sim.bullet_world"])


class ForkedNode:
    """A node's process; what `subprocess.Popen` offers of it, as far as a Session needs that.

    Args:
        arguments: of `python -m irl_ros.nodes`.
        environment: all of it.
        log: file its output is added to.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        # not a daemon, which could have no children; a Session ends it, or it follows its parent
        self._process = _FORKS.Process(target=_live, args=(list(arguments), dict(environment), str(log)))
        self._process.start()

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """As of Popen, but always fresh."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The exit code, -N after signal N; None while it lives."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not, within `timeout` s.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("node", timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Nothing happens where it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _live(arguments: list[str], environment: dict[str, str], log: str) -> None:
    os.setsid()  # Ctrl-C reaches the session only, which takes its nodes down in order
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.environ.clear()
    os.environ.update({**environment, PARENT: str(os.getppid())})
    sys.argv = ["irl_ros.nodes", *arguments]
    sys.exit(main())
