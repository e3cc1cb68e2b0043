"""`python -m irl_ros.nodes NODE [--ros-args …]` starts a node, on machines without `ros2 run` too."""

from __future__ import annotations

import importlib
import os
import signal
import sys

from irl_ros.errors import InputError
from irl_ros.nodes.generated import check_generated

NODES = ("sim_arm", "teleop", "operator", "recorder", "learner", "policy", "markers")


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in NODES:
        print(f"usage: python -m irl_ros.nodes {{{','.join(NODES)}}} [--ros-args …]", file=sys.stderr)
        return 2
    return start(sys.argv.pop(1))


def start(node: str) -> int:
    """Import a node and run it with the arguments of this process; returns the exit code.

    Also what lib/irl_ros/<node> calls, for `ros2 run` and launch files.
    """
    # imports take seconds; until the node has its own handlers there is nothing to bring in order
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    try:
        check_generated()
    except InputError as error:
        print(f"irl_ros: {error}", file=sys.stderr)
        return 2
    return importlib.import_module(f"irl_ros.nodes.{node}").main()


if __name__ == "__main__":
    sys.exit(main())
