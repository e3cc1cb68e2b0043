"""Every kind of bag that `ros2 bag record` (Humble to Lyrical) and real life leave, written and read again.

    python benchmarks/bag_variants.py [BAG …]

Takes the throws of a recording (default: the samples of the tests), writes them as real files of each kind
into a temporary folder, and prints what is read from each.
"""

from __future__ import annotations

import shutil
import sqlite3
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer

from irl_ros.demos.audit import describe
from irl_ros.demos.message_types import FLOAT_ARRAY, JOINT_STATE, typestore
from irl_ros.resources import SOURCE_ROOT
from irl_ros.sim import World, load_world

SAMPLES = SOURCE_ROOT / "test" / "data" / "sample_throws"
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


# --- writing ---


def write(
    path: Path,
    rows: Iterable[Row],
    storage: str = "mcap",
    version: int = 9,
    mode: CompressionMode = CompressionMode.NONE,
) -> Path:
    """A bag by the rosbags library, in the order of the rows."""
    bag = Writer(path, version=version, storage_plugin=StoragePlugin[storage.upper()])  # type: ignore[arg-type]
    bag.set_compression(mode, CompressionFormat.ZSTD)
    with bag:
        connections = {}
        for row in rows:
            if row.topic not in connections:
                connections[row.topic] = bag.add_connection(row.topic, row.type, typestore=typestore())
            bag.write(connections[row.topic], row.received, row.cdr)
    return path


def split(path: Path, rows: list[Row], storage: str) -> Path:
    """Three files, in the midst of episodes, and metadata.yaml."""
    path.mkdir()
    size, names, metadata = -(-len(rows) // 3), [], {}
    for i in range(3):
        part = write(path / "part", rows[i * size : (i + 1) * size], storage)
        metadata = yaml.safe_load((part / "metadata.yaml").read_text())
        (file,) = storage_files(part)
        names.append(f"{path.name}_{i}{file.suffix}")
        file.rename(path / names[-1])
        shutil.rmtree(part)
    metadata["rosbag2_bagfile_information"]["relative_file_paths"] = names
    (path / "metadata.yaml").write_text(yaml.safe_dump(metadata))
    return path


def storage_files(bag: Path) -> list[Path]:
    """The files with messages."""
    return [f for f in sorted(bag.iterdir()) if f.suffix in (".mcap", ".db3", ".zstd")]


def humble(bag: Path) -> Path:
    """Metadata as Humble writes it (version 5): QoS as text, no hashes, no distribution."""
    path = bag / "metadata.yaml"
    information = yaml.safe_load(path.read_text())["rosbag2_bagfile_information"]
    for key in ("ros_distro", "custom_data"):
        information.pop(key)
    for topic in information["topics_with_message_count"]:
        topic["topic_metadata"].pop("type_description_hash")
        topic["topic_metadata"]["offered_qos_profiles"] = "- history: 3\n  depth: 0\n  reliability: 1\n"
    path.write_text(yaml.safe_dump({"rosbag2_bagfile_information": {**information, "version": 5}}))
    return bag


def humble_sqlite(bag: Path) -> Path:
    """Humble's sqlite3 storage: schema 3, no message definitions."""
    with sqlite3.connect(storage_files(bag)[0]) as database:
        database.execute("DROP TABLE message_definitions")
        database.execute("UPDATE schema SET schema_version = 3")
    return humble(bag)


def killed_sqlite(bag: Path, rows: list[Row]) -> Path:
    """kill -9: no metadata.yaml, and the last third of the messages only in the write-ahead log."""
    (file,) = storage_files(bag)
    aside = bag.with_name("aside.db3")
    shutil.move(file, aside)
    database = sqlite3.connect(aside)
    database.execute("PRAGMA journal_mode=WAL")
    last = database.execute("SELECT * FROM messages WHERE id > ?", (len(rows) * 2 // 3,)).fetchall()
    database.execute("DELETE FROM messages WHERE id > ?", (len(rows) * 2 // 3,))
    database.commit()
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.executemany("INSERT INTO messages VALUES (?, ?, ?, ?)", last)
    database.commit()
    for suffix in ("", "-wal"):
        shutil.copy(f"{aside}{suffix}", f"{file}{suffix}")
    database.close()
    aside.unlink()
    return without_metadata(bag)


def without_metadata(bag: Path) -> Path:
    (bag / "metadata.yaml").unlink()
    return bag


def raw_mcap(path: Path, rows: list[Row], chunk: int, broken_off: int = 0) -> Path:
    """An MCAP without summary or index, in chunks of so many messages (0: none), or with an end missing."""
    path.mkdir()
    kinds = sorted({(row.topic, row.type) for row in rows})
    head = [_record(1, _text("ros2") + _text("bag_variants"))]
    for i, (topic, kind) in enumerate(kinds):
        definition, _ = typestore().generate_msgdef(kind, ros_version=2)
        head.append(_record(3, struct.pack("<H", i + 1) + _text(kind) + _text("ros2msg") + _text(definition)))
        head.append(
            _record(4, struct.pack("<HH", i, i + 1) + _text(topic) + _text("cdr") + struct.pack("<I", 0))
        )
    number = {topic: i for i, (topic, _) in enumerate(kinds)}
    messages = [
        _record(5, struct.pack("<HIQQ", number[r.topic], 0, r.received, r.received) + r.cdr) for r in rows
    ]
    if chunk:
        definitions, head = b"".join(head[1:]), head[:1]
        pieces = [messages[i : i + chunk] for i in range(0, len(messages), chunk)]
        body = b"".join(
            _chunk((definitions if i == 0 else b"") + b"".join(piece)) for i, piece in enumerate(pieces)
        )
    else:
        body = b"".join(messages)
    magic = b"\x89MCAP0\r\n"
    end = _record(15, bytes(4)) + _record(2, bytes(20)) + magic
    data = magic + b"".join(head) + body
    data = data[:-broken_off] if broken_off else data + end
    (path / f"{path.name}_0.mcap").write_bytes(data)
    return path


def _record(code: int, content: bytes) -> bytes:
    return struct.pack("<BQ", code, len(content)) + content


def _text(text: str) -> bytes:
    return struct.pack("<I", len(text.encode())) + text.encode()


def _chunk(records: bytes) -> bytes:
    sizes = struct.pack("<QQQI", 0, 0, len(records), 0) + _text("") + struct.pack("<Q", len(records))
    return _record(6, sizes + records)


# --- what happens to clocks and joints ---


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


EXACT = "exact"
"""Nothing is lost: the demonstrations are those of the plain bag to the last bit."""

VARIANTS: dict[str, tuple[Callable[[Path, list[Row]], Path], str]] = {
    "MCAP, Jazzy to Lyrical (metadata 9)": (lambda p, r: write(p, r), EXACT),
    "MCAP, Iron (metadata 8)": (lambda p, r: write(p, r, version=8), EXACT),
    "MCAP, Humble (metadata 5)": (lambda p, r: humble(write(p, r)), EXACT),
    "sqlite3, Jazzy to Lyrical": (lambda p, r: write(p, r, "sqlite3"), EXACT),
    "sqlite3, Humble: no definitions": (lambda p, r: humble_sqlite(write(p, r, "sqlite3")), EXACT),
    "MCAP split in 3": (lambda p, r: split(p, r, "mcap"), EXACT),
    "sqlite3 split in 3": (lambda p, r: split(p, r, "sqlite3"), EXACT),
    "MCAP, zstd by file": (lambda p, r: write(p, r, mode=CompressionMode.FILE), EXACT),
    "MCAP, zstd by message": (lambda p, r: write(p, r, mode=CompressionMode.MESSAGE), EXACT),
    "MCAP, zstd by chunk": (lambda p, r: write(p, r, mode=CompressionMode.STORAGE), EXACT),
    "sqlite3, zstd by file": (lambda p, r: write(p, r, "sqlite3", mode=CompressionMode.FILE), EXACT),
    "sqlite3, zstd by message": (lambda p, r: write(p, r, "sqlite3", mode=CompressionMode.MESSAGE), EXACT),
    "no metadata.yaml, MCAP": (lambda p, r: without_metadata(write(p, r)), EXACT),
    "no metadata.yaml, zstd by file": (
        lambda p, r: without_metadata(write(p, r, mode=CompressionMode.FILE)),
        EXACT,
    ),
    "no metadata.yaml, zstd by message": (
        lambda p, r: without_metadata(write(p, r, "sqlite3", mode=CompressionMode.MESSAGE)),
        EXACT,
    ),
    "MCAP without index, in chunks": (lambda p, r: raw_mcap(p, r, 100), EXACT),
    "MCAP without chunks (fastwrite)": (lambda p, r: raw_mcap(p, r, 0), EXACT),
    "MCAP of a killed recorder": (lambda p, r: raw_mcap(p, r, 100, broken_off=40), "breaks off"),
    "sqlite3 of a killed recorder": (lambda p, r: killed_sqlite(write(p, r, "sqlite3"), r), "breaks off"),
    "other joints in the messages": (lambda p, r: write(p, joint_states(r, among_others)), EXACT),
    "another robot on the topic": (lambda p, r: write(p, interleaved(r)), EXACT),
    "in a namespace": (lambda p, r: write(p, namespaced(r)), EXACT),
    "no joint velocities": (lambda p, r: write(p, joint_states(r, no_velocity)), "differentiated"),
    "10 % of the measurements lost": (lambda p, r: write(p, dropped(r, 0.1)), ""),
    "joint_states never stamped": (lambda p, r: write(p, unstamped(r)), ""),
    "simulation at half speed, wall clock": (lambda p, r: write(p, wall_clock_beside(r, 0.5)), ""),
    "simulation at 20 x, wall clock": (lambda p, r: write(p, wall_clock_beside(r, 20.0)), ""),
    "the arm's computer 0.6 s ahead": (lambda p, r: write(p, skewed(r, "states", 0.6)), "0.60 s behind"),
    "the arm's computer 0.6 s behind": (lambda p, r: write(p, skewed(r, "states", -0.6)), "0.60 s ahead"),
    "the ball's tracker 0.6 s ahead": (lambda p, r: write(p, skewed(r, "odometry", 0.6)), "0.60 s ahead"),
    "all clocks set back 100 s": (lambda p, r: write(p, later_half(r, -100, -100)), "set back"),
    "all clocks set back, sqlite3": (lambda p, r: write(p, later_half(r, -100, -100), "sqlite3"), "set back"),
    "all clocks leap 1 h": (lambda p, r: write(p, later_half(r, 3600, 3600)), ""),
    "stamps set back 100 s": (lambda p, r: write(p, later_half(r, 0, -100)), "clock of joint_states"),
    "stamps leap 1 h": (lambda p, r: write(p, later_half(r, 0, 3600)), "clock of joint_states"),
}
"""Name → how it is written, and what reading it remarks ("": nothing in particular)."""


def remarks(facts: dict) -> list[str]:
    """What the audit of a bag says about it."""
    (bag,) = facts["bags"]
    found = list(bag["remarks"])
    if any(not e["velocities_recorded"] for e in bag["episodes"]):
        found.append("joint velocities differentiated")
    return found


def main(arguments: list[str]) -> int:
    bags = [Path(a) for a in arguments] or sorted(SAMPLES.iterdir())
    world, rows = load_world(), rows_of(bags)
    print(f"{'variant':<38} {'episodes':>8}  {'cm from the target':<20} {'ms':>5}  remarks")
    with tempfile.TemporaryDirectory() as folder:
        for i, (name, (make, _)) in enumerate(VARIANTS.items()):
            path = make(Path(folder) / f"bag{i}", rows)
            begun = time.perf_counter()
            print(f"{name:<38} {_read(path, world, begun)}", flush=True)
    return 0


def _read(path: Path, world: World, begun: float) -> str:
    facts = describe(path, world)
    errors = [e["landing_error"] for e in facts["bags"][0]["episodes"]]
    shown = ", ".join("-" if e is None else f"{100 * e:.1f}" for e in errors)
    took = 1000 * (time.perf_counter() - begun)
    return f"{facts['episodes']:>8}  {shown:<20} {took:>5.0f}  {'; '.join(remarks(facts))}"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
