"""docs/ros-interface.md against the nodes themselves."""

from __future__ import annotations

import re
from pathlib import Path

import rclpy

from irl_ros.nodes.__main__ import NODES
from irl_ros.nodes.description import arguments, describe, nodes

DOCUMENT = Path(__file__).parents[2] / "docs" / "ros-interface.md"
AGAIN = "print it again: python -m irl_ros.nodes.description"


def test_the_document_says_what_the_nodes_do(ros_domain: int, tmp_path: Path) -> None:
    _, _, written = DOCUMENT.read_text().partition("\n# The nodes\n")
    parts = {part.split("\n", 1)[0]: f"## {part}" for part in re.split(r"^## ", written, flags=re.M)[1:]}
    assert list(parts) == list(NODES), AGAIN
    rclpy.init(args=arguments(tmp_path))
    try:
        for node in nodes():
            assert parts[node.get_name()].rstrip() == describe(node).rstrip(), AGAIN
    finally:
        rclpy.try_shutdown()
