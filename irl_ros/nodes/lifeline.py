"""A child process that does not outlive the session that started it, however that ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PARENT = "IRL_ROS_PARENT"
"""Environment variable: process id of the session that started this process."""

_SET_PARENT_DEATH_SIGNAL = 1  # linux/prctl.h


def mark(environment: dict[str, str]) -> dict[str, str]:
    """The environment for a child of this process that calls `follow_parent`."""
    return {**environment, PARENT: str(os.getpid())}


def follow_parent() -> None:
    """Ask Linux for a SIGTERM when the process that started us dies; does nothing when started by hand."""
    parent = os.environ.pop(PARENT, None)
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != int(parent):  # it died before we asked
        sys.exit(1)
