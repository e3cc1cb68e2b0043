"""Finds rosbag2 recordings and reads the few topics that matter out of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from irl_ros.demos.message_types import (
    EPISODE_EVENT,
    FLOAT_ARRAY,
    JOINT_STATE,
    ODOMETRY,
    POINT_STAMPED,
    typestore_for,
)
from irl_ros.demos.storage import Channel, StorageFile, kind_of, open_storage
from irl_ros.errors import InputError
from irl_ros.robots import Robot

_LEADER = "leader/joint_states"
"""A teleoperator's leader arm, which is no robot that throws."""
_SET_BACK = 500_000_000
"""ns; a topic's receive times that go back this far while recording: the clock was set back."""
_PAUSE = 1_000_000_000
"""ns put where a clock was set back: nobody knows how long it took, and no throw may bridge it."""


@dataclass(frozen=True)
class Bag:
    """One recording: a rosbag2 directory, or storage files that lost their metadata.yaml.

    Attributes:
        path: what a person calls it.
        parts: its storage files, in the order they were written.
        custom_data: what the recorder noted in metadata.yaml (since Iron; our recorder: where it comes from).
    """

    path: Path
    parts: tuple[Path, ...]
    custom_data: Mapping[str, str] = field(default_factory=dict)


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
        remarks: what is wrong with the bag without making it unreadable.
    """

    bag: Bag
    topics: dict[str, Topic]
    messages: dict[str, list[tuple[int, Any]]]
    other: tuple[Topic, ...]
    remarks: tuple[str, ...] = ()


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
        if path.is_file() and kind_of(path):
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
    arrivals = _Arrivals()
    remarks: list[str] = []
    for part in bag.parts:
        for channel, wanted, stamp, message in _decoded(part, roles, bag, everything, remarks):
            received = arrivals.unwrapped(channel.topic, stamp)
            messages.setdefault(wanted[channel.topic], []).append((received, message))
            topics[wanted[channel.topic]] = everything[channel.topic]
    if not any(topic.count for topic in everything.values()):
        raise InputError(bag.path, "is an empty bag: it holds no messages", "record again, or leave it out")
    for name, rows in messages.items():
        rows.sort(key=lambda row: row[0])
        _one_topic(name, [t for t in everything if _matches(t, roles[name][0]) and everything[t].count], bag)
        topics[name] = everything[topics[name].name]  # with the count of all files
    if arrivals.set_backs:
        remarks.append(f"the recorder's clock was set back {arrivals.set_backs} x while recording")
    read = {topic.name for topic in topics.values()}
    others = tuple(t for t in everything.values() if t.name not in read)
    topics = {role: topics[role] for role in roles if role in topics}
    return RawMessages(bag, topics, messages, others, tuple(remarks))


class _Arrivals:
    """Receive times that only go forward, from receive times in writing order.

    A clock is set back where a simulation starts again (`ros2 bag record --use-sim-time`) or a
    computer corrects its own. Each topic is judged by itself, as some files are written topic by topic.
    """

    def __init__(self) -> None:
        self._latest: dict[str, int] = {}
        self._end, self._shift = 0, 0
        self.set_backs = 0

    def unwrapped(self, topic: str, stamp: int) -> int:
        time = stamp + self._shift
        if time < self._latest.get(topic, time) - _SET_BACK:
            self._shift += self._end + _PAUSE - time
            self.set_backs += 1
            time = stamp + self._shift
        self._latest[topic] = max(time, self._latest.get(topic, time))
        self._end = max(self._end, time)
        return time


def _bags_below(folder: Path) -> Iterator[Bag]:
    if (folder / "metadata.yaml").is_file():
        yield _bag_with_metadata(folder)
        return
    pieces: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir(), key=_natural):
        if file.is_file() and (kind := kind_of(file)):
            pieces.setdefault(re.sub(r"_\d+$", "", file.name[: file.name.rindex(kind)]), []).append(file)
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
        custom = {str(k): str(v) for k, v in (information.get("custom_data") or {}).items()}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        cure = "delete the file: the recording can be read without it"
        raise InputError(path, "is not the metadata of a rosbag2 recording", cure) from None
    for file in files:
        if not file.is_file():
            raise InputError(path, f"names the file '{file.name}', which is missing")
    if not files:
        raise InputError(path, "relative_file_paths: names no file")
    # Files are opened one by one: after `ros2 bag reindex` metadata.yaml may disagree with them
    return Bag(folder, tuple(sorted(files, key=_natural)), custom)


def _natural(path: Path) -> list[Any]:
    return [(0, int(x), "") if x.isdigit() else (1, 0, x) for x in re.split(r"(\d+)", path.name)]


def _damaged(part: Path, error: Exception) -> InputError:
    cure = "repair it (`mcap recover`, `ros2 bag reindex`) or leave it out"
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(part, f"is truncated or damaged ({reason.rstrip('.')})", cure)


def _roles_in(channels: Sequence[Channel], roles: Mapping[str, tuple[str, str]], bag: Bag) -> dict[str, str]:
    """Topic name → role, after checking types and ambiguity."""
    wanted = {}
    for role, (name, message_type) in roles.items():
        matching = [c for c in channels if _matches(c.topic, name) and c.count]
        named = sorted({c.topic for c in matching if c.type == message_type})
        if matching and not named:
            problem = f"topic '{matching[0].topic}' has type '{matching[0].type}'"
            raise InputError(bag.path, problem, f"'{message_type}' is needed for {role}")
        _one_topic(role, named, bag)
        wanted.update(dict.fromkeys(named, role))
    return wanted


def _one_topic(role: str, named: Sequence[str], bag: Bag) -> None:
    if len(named) > 1:
        cure = "record one robot a bag, or keep one of them with `ros2 bag convert`"
        raise InputError(bag.path, f"has {len(named)} topics that could be {role}: {', '.join(named)}", cure)


def _matches(topic: str, name: str) -> bool:
    if topic.strip("/").endswith(_LEADER) and not name.strip("/").endswith(_LEADER):
        return False
    return topic.strip("/") == name.strip("/") or topic.endswith("/" + name.strip("/"))


def _decoded(
    part: Path,
    roles: Mapping[str, tuple[str, str]],
    bag: Bag,
    everything: dict[str, Topic],
    remarks: list[str],
) -> Iterator[tuple[Channel, dict[str, str], int, Any]]:
    """Messages of the roles in one file, with its topic name → role; enters its topics into `everything`."""
    try:
        with open_storage(part) as storage:
            for c in storage.channels:
                count = everything[c.topic].count if c.topic in everything else 0
                everything[c.topic] = Topic(c.topic, c.type, count + c.count)
            if storage.ends_early:
                remarks.append(f"{part.name} breaks off; it is read up to there")
            wanted = _roles_in(storage.channels, roles, bag)
            for channel, stamp, message in _messages(storage, wanted, part):
                yield channel, wanted, stamp, message
    except InputError:
        raise
    except Exception as error:  # whatever a parser meets in a damaged file
        raise _damaged(part, error) from None


def _messages(
    storage: StorageFile, wanted: Mapping[str, str], part: Path
) -> Iterator[tuple[Channel, int, Any]]:
    channels = [c for c in storage.channels if c.topic in wanted and c.count]
    if odd := [c for c in channels if c.encoding != "cdr"]:
        problem = f"topic '{odd[0].topic}' is serialized as '{odd[0].encoding}', not cdr"
        raise InputError(part, problem, "convert it with `ros2 bag convert`")
    stores = {c: typestore_for(c.type, c.definition) for c in channels}
    for channel, stamp, data in storage.messages(set(wanted)):
        known = next(c for c in channels if c.topic == channel.topic and c.definition == channel.definition)
        yield channel, stamp, stores[known].deserialize_cdr(data, known.type)
