"""Finds rosbag2 recordings and reads the few topics that matter out of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader

from irl_ros.demos.message_types import (
    EPISODE_EVENT,
    FLOAT_ARRAY,
    JOINT_STATE,
    ODOMETRY,
    POINT_STAMPED,
    typestore_for,
)
from irl_ros.errors import InputError
from irl_ros.robots import Robot

STORAGE = (".mcap", ".db3")


@dataclass(frozen=True)
class Bag:
    """One recording: a rosbag2 directory, or storage files that lost their metadata.yaml.

    Attributes:
        path: what a person calls it.
        parts: what is opened, in order: storage files, or the directory itself where rosbag2 compressed it.
    """

    path: Path
    parts: tuple[Path, ...]


@dataclass(frozen=True)
class Topic:
    """A topic's name and type in one bag, and how many messages it has."""

    name: str
    type: str
    count: int


@dataclass(frozen=True)
class RawMessages:
    """What a bag holds of the roles that were asked for.

    Attributes:
        bag: where it comes from.
        topics: role → its topic, for the roles the bag has.
        messages: role → (receive time ns, decoded message), in order of receive time.
        other: topics of the bag that were not read.
    """

    bag: Bag
    topics: dict[str, Topic]
    messages: dict[str, list[tuple[int, Any]]]
    other: tuple[Topic, ...]


def roles_of(robot: Robot) -> dict[str, tuple[str, str]]:
    """Role → (relative topic name, message type). Controller topics come from the robot's YAML."""
    controllers = robot.settings.controllers
    return {
        "joint_states": ("joint_states", JOINT_STATE),
        "commands": (controllers.get("commands", "arm_controller/commands"), FLOAT_ARRAY),
        "gripper": (controllers.get("gripper", "gripper_controller/commands"), FLOAT_ARRAY),
        "ball": ("ball/odometry", ODOMETRY),
        "target": ("target", POINT_STAMPED),
        "episodes": ("irl/episode", EPISODE_EVENT),
    }


def find_bags(paths: str | Path | Sequence[str | Path]) -> list[Bag]:
    """Recordings in `paths`: bag directories, folders of them at any depth, or single .mcap and .db3 files.

    Hidden folders are passed over: our recorder keeps unfinished bags there.

    Raises:
        InputError: a path does not exist or holds no bag.
    """
    bags: list[Bag] = []
    for path in [paths] if isinstance(paths, (str, Path)) else paths:
        path = Path(path)
        if path.is_file() and path.suffix in STORAGE:
            bags.append(Bag(path, (path,)))
        elif path.is_file():
            raise InputError(path, "is not a recording", "give a rosbag2 folder, or a .mcap or .db3 file")
        elif not path.is_dir():
            raise InputError(path, "no such folder", "give a rosbag2 folder, or a folder of them")
        else:
            found = list(_bags_below(path))
            if not found:
                raise InputError(
                    path, "holds no rosbag2 recording", "a recording has a metadata.yaml and .mcap or .db3"
                )
            bags += found
    unique = {bag.parts[0].resolve(): bag for bag in bags}
    return list(unique.values())


def read_bag(bag: Bag, roles: Mapping[str, tuple[str, str]]) -> RawMessages:
    """The messages of `roles` in a bag; nothing else is decoded.

    Topics match by their last parts, so /robot1/joint_states is joint_states.

    Raises:
        InputError: the bag is damaged or empty, a topic has another type than expected, or two topics match
        one role.
    """
    topics: dict[str, Topic] = {}
    messages: dict[str, list[tuple[int, Any]]] = {}
    everything: dict[str, Topic] = {}
    for part in bag.parts:
        with _opened(part) as reader:
            connections = reader.connections
            for c in connections:
                count = everything[c.topic].count if c.topic in everything else 0
                everything[c.topic] = Topic(c.topic, c.msgtype, count + c.msgcount)
            wanted = _connections_of(connections, roles, bag)
            for connection, stamp, message in _decoded(reader, wanted, part):
                messages.setdefault(wanted[connection.topic], []).append((stamp, message))
            topics.update({role: everything[topic] for topic, role in wanted.items()})
    if not any(topic.count for topic in everything.values()):
        raise InputError(bag.path, "is an empty bag: it holds no messages", "record again, or leave it out")
    for name, rows in messages.items():
        rows.sort(key=lambda row: row[0])
        _one_topic(name, [t for t in everything if _matches(t, roles[name][0]) and everything[t].count], bag)
    read = {topic.name for topic in topics.values()}
    return RawMessages(bag, topics, messages, tuple(t for t in everything.values() if t.name not in read))


def _bags_below(folder: Path) -> Iterator[Bag]:
    if (folder / "metadata.yaml").is_file():
        yield _bag_with_metadata(folder)
        return
    pieces: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir(), key=_natural):
        if file.is_file() and file.suffix in STORAGE:
            pieces.setdefault(re.sub(r"_\d+$", "", file.stem), []).append(file)
    for files in pieces.values():  # files named x_0, x_1, … are one recording that rosbag2 split
        yield Bag(folder if len(pieces) == 1 else files[0], tuple(files))
    for child in sorted(folder.iterdir(), key=_natural):
        if child.is_dir() and not child.name.startswith("."):
            yield from _bags_below(child)


def _bag_with_metadata(folder: Path) -> Bag:
    path = folder / "metadata.yaml"
    try:
        information = yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        information = information["rosbag2_bagfile_information"]
        files = [folder / Path(name).name for name in information["relative_file_paths"]]
        compressed = str(information.get("compression_mode") or "none").lower() != "none"
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        cure = "delete the file: the recording can be read without it"
        raise InputError(path, "is not the metadata of a rosbag2 recording", cure) from None
    for file in files:
        if not file.is_file():
            raise InputError(path, f"names the file '{file.name}', which is missing")
    if not files:
        raise InputError(path, "relative_file_paths: names no file")
    # Files are opened one by one: after `ros2 bag reindex` metadata.yaml may disagree with them
    return Bag(folder, (folder,) if compressed else tuple(files))


def _natural(path: Path) -> list[Any]:
    return [(0, int(x), "") if x.isdigit() else (1, 0, x) for x in re.split(r"(\d+)", path.name)]


@contextmanager
def _opened(part: Path) -> Iterator[Reader]:
    """A rosbags reader; if it cannot be opened, one InputError that names the file."""
    try:
        reader = Reader(part)
        reader.open()
    except Exception as error:  # whatever a parser meets in a damaged file
        raise _damaged(part, error) from None
    try:
        yield reader
    finally:
        reader.close()


def _damaged(part: Path, error: Exception) -> InputError:
    cure = "repair it (`mcap recover`, `ros2 bag reindex`) or leave it out"
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(part, f"is truncated or damaged ({reason.rstrip('.')})", cure)


def _connections_of(
    connections: Sequence[Connection], roles: Mapping[str, tuple[str, str]], bag: Bag
) -> dict[str, str]:
    """Topic name → role, after checking types and ambiguity."""
    wanted = {}
    for role, (name, message_type) in roles.items():
        matching = [c for c in connections if _matches(c.topic, name)]
        named = sorted({c.topic for c in matching if c.msgcount and c.msgtype == message_type})
        if not named and (wrong := [c for c in matching if c.msgcount]):
            problem = f"topic '{wrong[0].topic}' has type '{wrong[0].msgtype}'"
            raise InputError(bag.path, problem, f"'{message_type}' is needed for {role}")
        _one_topic(role, named, bag)
        wanted.update(dict.fromkeys(named, role))
    return wanted


def _one_topic(role: str, named: Sequence[str], bag: Bag) -> None:
    if len(named) > 1:
        cure = "record one robot a bag, or keep one of them with `ros2 bag convert`"
        raise InputError(bag.path, f"has {len(named)} topics that could be {role}: {', '.join(named)}", cure)


def _matches(topic: str, name: str) -> bool:
    return topic.strip("/") == name.strip("/") or topic.endswith("/" + name.strip("/"))


def _decoded(reader: Reader, wanted: Mapping[str, str], part: Path) -> Iterator[tuple[Connection, int, Any]]:
    connections = [c for c in reader.connections if c.topic in wanted and c.msgcount]
    if not connections:
        return
    try:
        stores = {c.msgtype: typestore_for(c.msgtype, c.msgdef) for c in connections}
        for connection, stamp, data in reader.messages(connections=connections):
            yield connection, stamp, stores[connection.msgtype].deserialize_cdr(data, connection.msgtype)
    except InputError:
        raise
    except Exception as error:  # whatever a parser meets in a damaged file
        raise _damaged(part, error) from None
