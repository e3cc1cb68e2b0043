"""EpisodeBagWriter: a rosbag2 directory that appears complete, or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer

from irl_ros.demos.message_types import typestore
from irl_ros.errors import InputError

LATCHED = ("target", "irl/episode")
"""Topics published once and kept for late joiners; `ros2 bag play` then offers them in the same way."""

_FOREVER = QosTime(9223372036, 854775807)  # rosbag2's infinite duration


class EpisodeBagWriter:
    """Writes one rosbag2 directory: MCAP, metadata.yaml, embedded message definitions.

    It grows in a hidden folder beside its final place and is renamed when it is closed, so nobody sees
    half a bag, not even after a crash. As a context manager it closes at the end and discards on an error.

    Args:
        path: the bag's folder; must not exist yet. Parents are made.
        topics: topic name → message type, as in "sensor_msgs/msg/JointState".
        storage: "mcap" or "sqlite3".
        custom: kept in the metadata's custom_data (`Bag.custom_data` reads it).

    Raises:
        InputError: the folder exists or cannot be made, or a message type is unknown.
    """

    def __init__(
        self,
        path: str | Path,
        topics: Mapping[str, str],
        storage: str = "mcap",
        custom: Mapping[str, str] | None = None,
    ) -> None:
        self.path = Path(path)
        if self.path.exists():
            raise InputError(
                self.path, "exists already", "record to another folder; bags are never overwritten"
            )
        for topic, message_type in topics.items():
            if message_type not in typestore().fielddefs:
                raise InputError(self.path, f"topic '{topic}': unknown message type '{message_type}'")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._hidden = Path(tempfile.mkdtemp(prefix=f".{self.path.name}-", dir=self.path.parent))
        except OSError as error:
            raise InputError(self.path, f"cannot be written ({error.strerror})") from None
        # rosbags names the file after its folder, so the growing folder carries the final name already
        self._bag = Writer(
            self._hidden / self.path.name, version=9, storage_plugin=StoragePlugin[storage.upper()]
        )
        for key, value in (custom or {}).items():
            self._bag.set_custom_data(key, value)
        self._connections: dict[str, Connection] = {}
        self._open = True
        with self._disk():
            self._bag.open()
            for topic, message_type in topics.items():
                self._connections[topic] = self._bag.add_connection(
                    topic, message_type, typestore=typestore(), offered_qos_profiles=[_qos(topic)]
                )

    def write(self, topic: str, message_type: str, stamp_ns: int, cdr: bytes | memoryview) -> None:
        """Add one message.

        Args:
            topic, message_type: as given when opened.
            stamp_ns: receive time, ns.
            cdr: the serialized message, with its CDR header.

        Raises:
            InputError: the topic was not announced, or with another type; or the disk refuses, and then
                nothing of the bag is left.
        """
        connection = self._connections.get(topic)
        if connection is None or connection.msgtype != message_type:
            found = "not announced" if connection is None else f"announced as '{connection.msgtype}'"
            raise InputError(
                self.path, f"topic '{topic}' of type '{message_type}': {found} when the bag was opened"
            )
        with self._disk():
            self._bag.write(connection, stamp_ns, cdr)

    def close(self) -> Path:
        """Finish the bag and move it to its place, which is returned. Closing twice is harmless.

        Raises:
            InputError: the place was taken meanwhile, or the disk refuses.
        """
        if not self._open:
            return self.path
        with self._disk():
            self._bag.close()
            _sync(self._hidden / self.path.name)
        self._open = False
        try:
            os.rename(self._hidden / self.path.name, self.path)
            sync_folder(self.path.parent)
        except OSError as error:
            raise InputError(self.path, f"the finished bag cannot be moved here ({error.strerror})") from None
        finally:
            shutil.rmtree(self._hidden, ignore_errors=True)
        return self.path

    def discard(self) -> None:
        """Forget everything; nothing stays on the disk."""
        if self._open:
            self._open = False
            with contextlib.suppress(Exception):
                self._bag.abort()
            shutil.rmtree(self._hidden, ignore_errors=True)

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        """Work that a full disk ends: one InputError then, and no trace of the bag."""
        try:
            yield
        except Exception as error:  # MCAP raises OSError, sqlite3 an error of its own
            self.discard()
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise InputError(self.path, f"cannot be written ({reason})", "free some space") from None

    def __enter__(self) -> EpisodeBagWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def _qos(topic: str) -> Qos:
    latched = topic.lstrip("/").endswith(LATCHED)
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=1 if topic.endswith("target") else 10,
        reliability=QosReliability.RELIABLE,  # when played back it reaches best-effort listeners too
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=_FOREVER,
        lifespan=_FOREVER,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=_FOREVER,
        avoid_ros_namespace_conventions=False,
    )


def _sync(folder: Path) -> None:
    """Bytes to the disk before the rename, so that a power cut leaves no complete-looking empty bag."""
    for file in folder.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())


def sync_folder(folder: Path) -> None:
    """A rename in `folder` to the disk: after a power cut the name is there."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
