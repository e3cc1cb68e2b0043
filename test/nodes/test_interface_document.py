"""docs/ros-interface.md and the SROS2 policy against the nodes themselves."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import rclpy

from irl_ros.nodes.__main__ import NODES
from irl_ros.nodes.description import arguments, describe, nodes, permissions

DOCUMENT = Path(__file__).parents[2] / "docs" / "ros-interface.md"
POLICY = Path(__file__).parents[2] / "config" / "sros2" / "policy.xml"
AGAIN_SROS2 = "write it again: python -m irl_ros.nodes.description sros2 config/sros2/policy.xml"
AGAIN = "print it again: python -m irl_ros.nodes.description"


def test_the_document_says_what_the_nodes_do(ros_domain: int, tmp_path: Path) -> None:
    _, _, written = DOCUMENT.read_text().partition("\n# The nodes\n")
    parts = {part.split("\n", 1)[0]: f"## {part}" for part in re.split(r"^## ", written, flags=re.M)[1:]}
    assert list(parts) == list(NODES), AGAIN
    enclaves = {e.get("path"): e for e in ElementTree.parse(POLICY).iter("enclave")}
    assert len(enclaves) == len(NODES), AGAIN_SROS2
    rclpy.init(args=arguments(tmp_path))
    try:
        for node in nodes():
            name = node.get_name()
            assert parts[name].rstrip() == describe(node).rstrip(), AGAIN
            assert allowed(enclaves[f"/irl_ros/{name}"]) == allowed(permissions(node)), AGAIN_SROS2
    finally:
        rclpy.try_shutdown()


def allowed(enclave: ElementTree.Element) -> set[tuple[str, str, str]]:
    """(node, right, name) for all that an enclave allows."""
    return {
        (profile.get("node"), right, item.text)
        for profile in enclave.iter("profile")
        for group in profile
        for right, value in group.attrib.items()
        for item in group
        if value == "ALLOW"
    }
