"""SqliteFile: rosbag2's sqlite3 storage, of any schema version, read in writing order."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import quote

from irl_ros.demos.storage import NO_DEFINITION, Channel, Damaged, definition, unpacked


class SqliteFile:
    """See `StorageFile`.

    A recorder that was killed leaves its last messages in a write-ahead log beside the file (`….db3-wal`).
    They are read as well, from a copy: a recording is never written to.

    Args:
        path: the file.

    Raises:
        Damaged: it is no recording.
        sqlite3.Error: it is damaged.
    """

    def __init__(self, path: Path) -> None:
        if not path.stat().st_size:
            raise Damaged("it is empty")
        log = path.with_name(path.name + "-wal")
        self._copy = None
        self.ends_early = log.is_file() and log.stat().st_size > 0
        if self.ends_early:
            self._copy = tempfile.TemporaryDirectory(prefix="irl_ros-")
            for file in (path, log):
                shutil.copy(file, self._copy.name)
            path = Path(self._copy.name) / path.name
        mode = "mode=rw" if self.ends_early else "mode=ro&immutable=1"
        self._database = sqlite3.connect(f"file:{quote(str(path.absolute()))}?{mode}", uri=True)
        try:
            self._topics = self._read_topics()
        except BaseException:
            self.close()
            raise
        self.channels = tuple(self._topics.values())

    def messages(self, topics: Collection[str]) -> Iterator[tuple[Channel, int, bytes]]:
        wanted = [number for number, channel in self._topics.items() if channel.topic in topics]
        marks = ",".join("?" * len(wanted))
        rows = self._database.execute(
            f"SELECT topic_id, timestamp, data FROM messages WHERE topic_id IN ({marks}) ORDER BY id", wanted
        )
        for topic, time, data in rows:
            yield self._topics[topic], time, unpacked(data)

    def close(self) -> None:
        self._database.close()
        if self._copy is not None:
            self._copy.cleanup()

    def _read_topics(self) -> dict[int, Channel]:
        tables = {name for (name,) in self._database.execute("SELECT name FROM sqlite_master")}
        if not {"topics", "messages"} <= tables:
            raise Damaged("it has no tables of messages and topics")
        definitions = {}
        if "message_definitions" in tables:  # since Iron
            query = "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
            definitions = {kind: definition(*rest) for kind, *rest in self._database.execute(query)}
        counts = dict(self._database.execute("SELECT topic_id, count(*) FROM messages GROUP BY topic_id"))
        topics = self._database.execute("SELECT id, name, type, serialization_format FROM topics")
        return {
            number: Channel(name, kind, definitions.get(kind, NO_DEFINITION), encoding, counts.get(number, 0))
            for number, name, kind, encoding in topics
        }
