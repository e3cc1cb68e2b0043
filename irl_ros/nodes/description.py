"""What running nodes offer and take: the lower part of docs/ros-interface.md, and what SROS2 must allow them.

python -m irl_ros.nodes.description                    prints the former, for all nodes
python -m irl_ros.nodes.description sros2 POLICY_XML   rewrites the latter
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import rclpy
from rclpy.action import get_action_client_names_and_types_by_node, get_action_server_names_and_types_by_node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo

from irl_ros.nodes.__main__ import NODES
from irl_ros.nodes.base import IrlNode
from irl_ros.nodes.managed import ManagedNode
from irl_ros.rl.policy import Policy
from irl_ros.sim import load_world

_EVERY_NODES = {"parameter_events", "rosout", "diagnostics", "~/transition_event"}

_ABOUT_POLICY = """
SROS2 policy: an enclave for each node, with all that it needs and nothing else, on default topic names.
Written by `python -m irl_ros.nodes.description sros2 FILE`, and compared with the nodes by a test. Tools,
drivers and people need enclaves too. How to use it: docs/ros-interface.md
"""
_PARAMETER_TYPES = ("rcl_interfaces/", "type_description_interfaces/", "lifecycle_msgs/")


def nodes() -> Iterator[IrlNode]:
    """Each node, one after the other, come up in this process. rclpy must be initialised with `arguments`."""
    for name in NODES:
        module = importlib.import_module(f"irl_ros.nodes.{name}")
        kinds = [k for k in vars(module).values() if isinstance(k, type) and k.__module__ == module.__name__]
        (kind,) = (k for k in kinds if issubclass(k, IrlNode))
        node = kind()
        node.come_up()
        yield node
        node.close()
        node.destroy_node()


def arguments(run: Path) -> list[str]:
    """Of the command line, that let every node come up; an untrained policy is put into `run`."""
    Policy(load_world()).save(run)
    return ["--ros-args", "-p", f"policy:run:={run}", "-p", "sim_arm:publish_clock:=true"]


def describe(node: IrlNode) -> str:
    """One node's part: publications, subscriptions, services, actions, parameters."""
    where = (node.get_name(), node.get_namespace())
    managed = "managed" if isinstance(node, ManagedNode) else "not managed"
    lines = [f"## {node.get_name()}", "", f"{(type(node).__doc__ or '').splitlines()[0]} ({managed})", ""]
    actions = [
        ("action server", get_action_server_names_and_types_by_node(node, *where)),
        ("action client", get_action_client_names_and_types_by_node(node, *where)),
    ]
    rows = [
        *_topics("publishes", node, node.get_publisher_names_and_types_by_node(*where)),
        *_topics("subscribes", node, node.get_subscriber_names_and_types_by_node(*where)),
        *_services("service", node, node.get_service_names_and_types_by_node(*where)),
        *_services("client", node, node.get_client_names_and_types_by_node(*where)),
        *(
            f"| {kind} | `{_short(n, node)}` | {t[0]} | |"
            for kind, found in actions
            for n, t in sorted(found)
        ),
    ]
    lines += ["| | name | type | QoS |", "|---|---|---|---|", *rows, ""]
    lines += ["| parameter | default | allowed | |", "|---|---|---|---|", *_parameters(node), ""]
    return "\n".join(lines)


def permissions(node: IrlNode) -> ElementTree.Element:
    """One node's enclave in an SROS2 policy: all it publishes, hears, offers and calls, and nothing else."""
    where = (node.get_name(), node.get_namespace())
    enclave = ElementTree.Element("enclave", path=f"/irl_ros/{node.get_name()}")
    profile = ElementTree.SubElement(
        ElementTree.SubElement(enclave, "profiles"), "profile", ns="/", node=node.get_name()
    )
    for group, item, how, found in (
        ("topics", "topic", "publish", node.get_publisher_names_and_types_by_node(*where)),
        ("topics", "topic", "subscribe", node.get_subscriber_names_and_types_by_node(*where)),
        ("services", "service", "reply", node.get_service_names_and_types_by_node(*where)),
        ("services", "service", "request", node.get_client_names_and_types_by_node(*where)),
        ("actions", "action", "execute", get_action_server_names_and_types_by_node(node, *where)),
        ("actions", "action", "call", get_action_client_names_and_types_by_node(node, *where)),
    ):
        allowed = sorted({_short(name, node) for name, _ in found if "/_action/" not in name})
        if how == "subscribe":
            allowed = sorted({*allowed, "clock"})  # with use_sim_time
        if allowed:
            element = ElementTree.SubElement(profile, group, {how: "ALLOW"})
            for name in allowed:
                ElementTree.SubElement(element, item).text = name
    return enclave


def _write_permissions(path: Path) -> None:
    policy = ElementTree.Element("policy", version="0.2.0")
    enclaves = ElementTree.SubElement(policy, "enclaves")
    enclaves.extend(permissions(node) for node in nodes())
    ElementTree.indent(policy)
    comment = ElementTree.tostring(ElementTree.Comment(_ABOUT_POLICY), encoding="unicode")
    text = ElementTree.tostring(policy, encoding="unicode")
    path.write_text(f'<?xml version="1.0" encoding="UTF-8"?>\n{comment}\n{text}\n')


def _topics(kind: str, node: IrlNode, found: Sequence[tuple[str, list[str]]]) -> list[str]:
    rows = []
    for topic, types in sorted(found):
        name = _short(topic, node)
        if name in _EVERY_NODES or "/_action/" in name or (name == "clock" and kind == "subscribes"):
            continue
        ends = (
            node.get_publishers_info_by_topic if kind == "publishes" else node.get_subscriptions_info_by_topic
        )
        qos = "; ".join(sorted({_qos(end) for end in ends(topic) if end.node_name == node.get_name()}))
        rows.append(f"| {kind} | `{name}` | {types[0]} | {qos} |")
    return rows


def _qos(end: TopicEndpointInfo) -> str:
    reliable = end.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    latched = end.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
    return ("reliable" if reliable else "best effort") + (", transient local" if latched else "")


def _services(kind: str, node: IrlNode, found: Sequence[tuple[str, list[str]]]) -> list[str]:
    return [
        f"| {kind} | `{_short(name, node)}` | {types[0]} | |"
        for name, types in sorted(found)
        if not types[0].startswith(_PARAMETER_TYPES) and "/_action/" not in name
    ]


def _parameters(node: IrlNode) -> list[str]:
    rows = []
    for name in sorted(node.parameters.rules):
        descriptor = node.describe_parameter(name)
        live = " (live)" if node.parameters.rules[name].live else ""
        default = node.parameters.defaults[name]
        shown = "" if isinstance(default, Parameter.Type) or default == "" else f"`{default}`"
        rows.append(f"| `{name}` | {shown} | {_allowed(descriptor)} | {descriptor.description}{live} |")
    return rows


def _allowed(descriptor: Any) -> str:
    for limits in descriptor.integer_range:
        return f"{limits.from_value} … {limits.to_value}"
    for limits in descriptor.floating_point_range:
        return f"{limits.from_value:g} … {limits.to_value:g}"
    return descriptor.additional_constraints.removeprefix("one of: ")


def _short(name: str, node: IrlNode) -> str:
    own = f"/{node.get_name()}/"
    return f"~/{name.removeprefix(own)}" if name.startswith(own) else name.lstrip("/")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rclpy.init(args=arguments(Path(folder)))
        if sys.argv[1:2] == ["sros2"]:
            _write_permissions(Path(sys.argv[2]))
        else:
            print("\n".join(describe(node) for node in nodes()), end="")
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
