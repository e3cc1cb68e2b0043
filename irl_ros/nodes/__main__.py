"""`python -m irl_ros.nodes NODE [--ros-args …]` starts a node, on machines without `ros2 run` too."""

from __future__ import annotations

import importlib
import signal
import sys

from irl_ros.errors import InputError
from irl_ros.nodes.generated import check_generated

NODES = ("sim_arm", "teleop", "operator", "recorder", "learner", "policy", "markers")


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in NODES:
        print(f"usage: python -m irl_ros.nodes {{{','.join(NODES)}}} [--ros-args …]", file=sys.stderr)
        return 2
    # until the node has its own handlers, Ctrl-C ends it without a traceback out of some import
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        check_generated()
    except InputError as error:
        print(f"irl_ros: {error}", file=sys.stderr)
        return 2
    node = importlib.import_module(f"irl_ros.nodes.{sys.argv.pop(1)}")
    return node.main()


if __name__ == "__main__":
    sys.exit(main())
