"""The messages of a recording, and what happens to clocks and joints before they are one."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rosbags.rosbag2 import Reader

from irl_ros.demos.message_types import FLOAT_ARRAY, JOINT_STATE, typestore

_SECOND = 1_000_000_000


@dataclass(frozen=True)
class Row:
    """One recorded message; `received` in ns."""

    topic: str
    type: str
    received: int
    cdr: bytes

    @property
    def stamp(self) -> int | None:
        """Its header's time, ns; None where it has none."""
        if self.type == FLOAT_ARRAY:
            return None
        seconds, nanoseconds = struct.unpack_from("<iI", self.cdr, 4)
        return seconds * _SECOND + nanoseconds

    def at(self, received: int, stamp: int) -> Row:
        """The same at other times."""
        if self.stamp is None:
            return replace(self, received=received)
        head = struct.pack("<iI", *divmod(max(stamp, 0), _SECOND))
        return replace(self, received=received, cdr=self.cdr[:4] + head + self.cdr[12:])


def rows_of(bags: Iterable[Path]) -> list[Row]:
    """All messages of bags, one bag after the other."""
    rows = []
    for bag in bags:
        with Reader(bag) as reader:
            rows += [Row(c.topic, c.msgtype, t, bytes(d)) for c, t, d in reader.messages()]
    return rows


def later_half(rows: list[Row], received: int, stamped: int) -> list[Row]:
    """The clocks are set by so many s before the second episode."""
    starts = [i for i, row in enumerate(rows) if row.topic.endswith("target")]
    return [
        row
        if i < starts[1]
        else row.at(row.received + received * _SECOND, (row.stamp or 0) + stamped * _SECOND)
        for i, row in enumerate(rows)
    ]


def wall_clock_beside(rows: list[Row], rate: float) -> list[Row]:
    """Received by the wall clock while a simulation stamps, which runs at `rate`."""
    first = rows[0].received
    wall = 1_900_000_000 * _SECOND
    return [row.at(wall + round((row.received - first) / rate), row.stamp or 0) for row in rows]


def skewed(rows: list[Row], topic: str, seconds: float) -> list[Row]:
    """The computer that stamps a topic is so many s ahead."""
    shift = round(seconds * _SECOND)
    return [r.at(r.received, (r.stamp or 0) + shift) if r.topic.endswith(topic) else r for r in rows]


def joint_states(rows: list[Row], change: Callable[..., None]) -> list[Row]:
    """joint_states changed in place by `change`."""
    changed = []
    for row in rows:
        if row.type == JOINT_STATE:
            message = typestore().deserialize_cdr(row.cdr, JOINT_STATE)
            change(message)
            row = replace(row, cdr=bytes(typestore().serialize_cdr(message, JOINT_STATE)))
        changed.append(row)
    return changed


def no_velocity(message) -> None:
    message.velocity = np.zeros(0)


def among_others(message) -> None:
    message.name = ["elbow", *reversed(message.name), "wheel"]
    message.position = np.concatenate(([9.0], message.position[::-1], [9.0]))
    message.velocity = np.concatenate(([9.0], message.velocity[::-1], [9.0]))
    message.effort = np.zeros(0)


def another_robots(message) -> None:
    message.name, message.position = ["ur_elbow", "ur_wrist"], np.full(2, 5.0)
    message.velocity = message.effort = np.zeros(0)


def interleaved(rows: list[Row]) -> list[Row]:
    """Another robot's joint_states on the same topic, message by message."""
    others = iter(joint_states([row for row in rows if row.type == JOINT_STATE], another_robots))
    return [row for mine in rows for row in ((mine, next(others)) if mine.type == JOINT_STATE else (mine,))]


def dropped(rows: list[Row], share: float) -> list[Row]:
    """Some joint states and ball samples are lost."""
    random = np.random.default_rng(0)
    loses = ("joint_states", "odometry")
    return [row for row in rows if not row.topic.endswith(loses) or random.random() > share]


def unstamped(rows: list[Row]) -> list[Row]:
    return [row.at(row.received, 0) if row.type == JOINT_STATE else row for row in rows]


def namespaced(rows: list[Row]) -> list[Row]:
    return [replace(row, topic=f"/robot1{row.topic}") for row in rows]
