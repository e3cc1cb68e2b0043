"""A storage file of a rosbag2 recording: its topics, and its messages in the order they were written.

Time order would not do: where a clock was set back while recording, messages from before and after it would
be mixed up for good.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

NO_DEFINITION = MessageDefinition(MessageDefinitionFormat.NONE, "")
_PACKED = ".zstd"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # no CDR message begins like this: its first byte is 0


class Damaged(Exception):
    """The file cannot be read; the text says why."""


@dataclass(frozen=True)
class Channel:
    """A topic in one file: name, message type, its definition if the file has it, number of messages."""

    topic: str
    type: str
    definition: MessageDefinition
    encoding: str
    count: int


class StorageFile(Protocol):
    """An open storage file.

    Attributes:
        channels: its topics. A topic may be there twice, with different definitions.
        ends_early: it breaks off, as after a crash; what was whole is there.
    """

    channels: tuple[Channel, ...]
    ends_early: bool

    def messages(self, topics: Collection[str]) -> Iterator[tuple[Channel, int, bytes]]:
        """(channel, receive time ns, data) of some topics, in the order they were written."""
        ...

    def close(self) -> None: ...


def kind_of(path: Path) -> str:
    """ ".mcap" or ".db3", compressed (.mcap.zstd) or not; "" for another file."""
    suffix = Path(path.stem).suffix if path.suffix == _PACKED else path.suffix
    return suffix if suffix in (".mcap", ".db3") else ""


@contextmanager
def open_storage(path: Path) -> Iterator[StorageFile]:
    """Open a storage file, unpacked first where rosbag2 compressed it as a whole.

    Raises:
        Exception: whatever a parser meets in a damaged file; `Damaged` where we know what it is.
    """
    from irl_ros.demos.mcap_file import McapFile
    from irl_ros.demos.sqlite_file import SqliteFile

    with ExitStack() as stack:
        plain = path
        if path.suffix == _PACKED:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="irl_ros-")))
            plain = folder / path.stem
            with zstd.open(path, "rb") as packed, plain.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
        storage: StorageFile = McapFile(plain) if plain.suffix == ".mcap" else SqliteFile(plain)
        stack.callback(storage.close)
        yield storage


def unpacked(data: bytes) -> bytes:
    """A message's CDR bytes; `ros2 bag record --compression-mode message` packs each by itself."""
    return zstd.decompress(data) if data[:4] == _ZSTD_MAGIC else data


def definition(encoding: str, text: str) -> MessageDefinition:
    """A message definition as rosbag2 embeds it; what is in no language we know counts as none."""
    if encoding == "ros2msg" and text:
        return MessageDefinition(MessageDefinitionFormat.MSG, text)
    return NO_DEFINITION
