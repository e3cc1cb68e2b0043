"""Real-time priority for a node that closes a control loop: other programs wait for it, not it for them."""

from __future__ import annotations

import os
from pathlib import Path

from irl_ros.errors import InputError


def take_priority(priority: int) -> None:
    """Put all threads of this process, those of DDS too, under SCHED_FIFO. Later ones inherit it.

    Args:
        priority: 1 to 99; ros2_control's controller manager has 50.

    Raises:
        InputError: this user may not.
    """
    try:
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        raise InputError(
            "parameter priority",
            f"{priority} is more than this user may have (`ulimit -r`)",
            "raise rtprio in /etc/security/limits.d as for ros2_control and log in again, or give 0",
        ) from None
