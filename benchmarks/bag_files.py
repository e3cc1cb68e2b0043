"""Messages as files of every kind that `ros2 bag record` leaves, a kill included."""

from __future__ import annotations

import shutil
import sqlite3
import struct
from collections.abc import Iterable
from pathlib import Path

import yaml
from bag_rows import Row
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from irl_ros.demos.message_types import typestore


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
