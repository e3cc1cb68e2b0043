"""One side of a conversation in irl_ros messages; the tests start two, each a process of its own.

    message_exchange.py publish '{"PolicyStep": {"step": 3}}'     says it, and stays until its stdin closes
    message_exchange.py receive '{"PolicyStep": {"step": 0}}'     waits for these types, prints what arrived

Runs in whatever environment it is started in, and prints where that took irl_ros from.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import rclpy
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.task import Future

import irl_ros.msg

# Latched: a publisher that comes first keeps its message for the receiver, so nobody needs to sleep.
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
LIMIT_S = 60.0


def publish(node: Node, contents: dict[str, dict[str, Any]]) -> None:
    for name, fields in contents.items():
        kind = getattr(irl_ros.msg, name)
        node.create_publisher(kind, name, LATCHED).publish(kind(**fields))
    sys.stdin.read()


def receive(node: Node, contents: dict[str, dict[str, Any]]) -> None:
    arrived: dict[str, Any] = {}
    complete: Future = Future()

    def take(name: str, message: Any) -> None:
        arrived[name] = {field: plain(getattr(message, field)) for field in contents[name]}
        if len(arrived) == len(contents):
            complete.set_result(None)

    for name in contents:
        kind = getattr(irl_ros.msg, name)
        node.create_subscription(kind, name, lambda message, name=name: take(name, message), LATCHED)
    rclpy.spin_until_future_complete(node, complete, timeout_sec=LIMIT_S)
    libraries = re.findall(r"\S*/libirl_ros__\S*", Path("/proc/self/maps").read_text())
    report = {
        "messages": arrived,
        "rmw": rclpy.get_rmw_implementation_identifier(),
        "package": irl_ros.__file__,
        "generated": irl_ros.msg.__file__,
        "libraries": sorted(set(libraries)),
    }
    print(json.dumps(report))


def plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


if __name__ == "__main__":
    role, contents = sys.argv[1], json.loads(sys.argv[2])
    rclpy.init()
    {"publish": publish, "receive": receive}[role](rclpy.create_node(role), contents)
