"""McapFile: MCAP (https://mcap.dev/spec) in writing order, with an index or without, whole or broken off."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rosbags.rosbag2.storage_mcap import DECOMPRESSORS

from irl_ros.demos.storage import Channel, Damaged, definition, unpacked

_MAGIC = b"\x89MCAP0\r\n"
_HEADER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _MESSAGE_INDEX, _DATA_END = 1, 3, 4, 5, 6, 7, 15
_RECORD = struct.Struct("<BQ")
_MESSAGE_HEAD = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time
_CHUNK_HEAD = struct.Struct("<QQQI")  # start, end, uncompressed size, crc
_FOOTER = 37  # bytes from the footer record to the end


@dataclass(frozen=True)
class _Place:
    """Where messages are: a chunk, or one message outside of chunks; and of which channels, None: unknown."""

    begin: int
    size: int
    code: int
    channels: frozenset[int] | None


class McapFile:
    """See `StorageFile`.

    Args:
        path: the file.

    Raises:
        Damaged: it is no MCAP of ROS 2 messages, or a chunk fails its checksum.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._size = os.fstat(self._file.fileno()).st_size
        self._schemas: dict[int, tuple[str, str, str]] = {}
        self._channels: dict[int, Channel] = {}
        self._counts: dict[int, int] = {}
        self._places: list[_Place] = []
        self.ends_early = False
        try:
            self._scan()
        except BaseException:
            self._file.close()
            raise
        self.channels = tuple(replace(c, count=self._counts.get(i, 0)) for i, c in self._channels.items())

    def messages(self, topics: Collection[str]) -> Iterator[tuple[Channel, int, bytes]]:
        wanted = {i for i, channel in self._channels.items() if channel.topic in topics}
        for place in self._places:
            if place.channels is not None and not place.channels & wanted:
                continue
            for code, content in self._contents(place):
                if code == _MESSAGE and (channel := struct.unpack_from("<H", content)[0]) in wanted:
                    time = _MESSAGE_HEAD.unpack_from(content)[2]
                    data = unpacked(bytes(content[_MESSAGE_HEAD.size :]))
                    yield self._channels[channel], time, data

    def close(self) -> None:
        self._file.close()

    def _scan(self) -> None:
        """Learn the channels and where the messages are, without unpacking more than necessary."""
        if self._read(0, len(_MAGIC)) != _MAGIC:
            raise Damaged("it does not begin like an MCAP file")
        known = self._read_summary()
        at, found = len(_MAGIC), False
        while at < self._size:
            if self._size - at < _RECORD.size:
                self.ends_early = self._read(max(at, 0), len(_MAGIC)) != _MAGIC
                break
            code, length = _RECORD.unpack(self._read(at, _RECORD.size))
            body = at + _RECORD.size
            whole = body + length <= self._size
            self.ends_early = not whole
            found |= self._note(code, body, min(length, self._size - body), whole, known)
            if not whole or code == _DATA_END:
                break
            at = body + length
        else:
            self.ends_early = True  # it stops between two records, before the end of the data
        if not found and self.ends_early:
            raise Damaged("it breaks off before the first message")

    def _note(self, code: int, body: int, length: int, whole: bool, known: bool) -> bool:
        """Take a top-level record into account; whether it holds messages."""
        if code in (_SCHEMA, _CHANNEL) and whole:
            self._define(code, memoryview(self._read(body, length)))
        elif code == _MESSAGE and whole:
            (channel,) = struct.unpack("<H", self._read(body, 2))
            self._counts[channel] = self._counts.get(channel, 0) + 1
            self._places.append(_Place(body, length, code, frozenset((channel,))))
            return True
        elif code == _CHUNK:
            place = _Place(body, length, code, None)
            indices = self._indices(body + length) if whole and known else None
            if indices is None:
                indices = self._count(place)
            for channel, count in indices.items():
                self._counts[channel] = self._counts.get(channel, 0) + count
            self._places.append(replace(place, channels=frozenset(indices)))
            return bool(indices)
        return False

    def _read_summary(self) -> bool:
        """Channels from the summary at the end, where there is one with channels."""
        tail = self._read(max(self._size - _FOOTER, 0), _FOOTER)
        if len(tail) < _FOOTER or not tail.endswith(_MAGIC) or tail[:9] != _RECORD.pack(2, 20):
            return False
        (start,) = struct.unpack_from("<Q", tail, 9)
        if not len(_MAGIC) <= start < self._size - _FOOTER:
            return False
        for code, content in _records(memoryview(self._read(start, self._size - _FOOTER - start))):
            self._define(code, content)
        return bool(self._channels)

    def _indices(self, at: int) -> dict[int, int] | None:
        """Messages a channel in the chunk before `at`, by the index records that follow; None without any."""
        counts: dict[int, int] = {}
        while True:
            head = self._read(at, _RECORD.size)
            if len(head) < _RECORD.size:
                return counts or None
            code, length = _RECORD.unpack(head)
            if code != _MESSAGE_INDEX:
                return counts or None
            content = self._read(at + _RECORD.size, 6)
            if len(content) < 6:
                return counts or None
            channel, size = struct.unpack("<HI", content)
            if size:
                counts[channel] = counts.get(channel, 0) + size // 16
            at += _RECORD.size + length

    def _count(self, place: _Place) -> dict[int, int]:
        counts: dict[int, int] = {}
        for code, content in self._contents(place):
            if code == _MESSAGE:
                (channel,) = struct.unpack_from("<H", content)
                counts[channel] = counts.get(channel, 0) + 1
            else:
                self._define(code, content)
        return counts

    def _contents(self, place: _Place) -> Iterator[tuple[int, memoryview]]:
        """The records of a place."""
        content = memoryview(self._read(place.begin, place.size))
        if place.code == _MESSAGE:
            yield _MESSAGE, content
            return
        if len(content) < _CHUNK_HEAD.size + 4:
            return
        _, _, size, crc = _CHUNK_HEAD.unpack_from(content)
        compression, at = _text(content, _CHUNK_HEAD.size)
        if len(content) < at + 8:
            return
        (packed,) = struct.unpack_from("<Q", content, at)
        records = content[at + 8 : at + 8 + packed]
        if len(records) < packed:  # the file breaks off in here
            if not compression:
                yield from _records(records)
            return
        if compression not in DECOMPRESSORS:
            raise Damaged(f"a chunk has the unknown compression '{compression}'")
        plain = DECOMPRESSORS[compression](bytes(records), size)
        if crc and zlib.crc32(plain) != crc:
            raise Damaged("a chunk fails its checksum")
        yield from _records(memoryview(plain))

    def _define(self, code: int, content: memoryview) -> None:
        if code == _SCHEMA:
            (number,) = struct.unpack_from("<H", content)
            name, at = _text(content, 2)
            encoding, at = _text(content, at)
            self._schemas[number] = (name, encoding, _text(content, at)[0])
        elif code == _CHANNEL:
            number, schema = struct.unpack_from("<HH", content)
            topic, at = _text(content, 4)
            kind, language, text = self._schemas.get(schema, ("", "", ""))
            self._channels[number] = Channel(
                topic, kind, definition(language, text), _text(content, at)[0], 0
            )

    def _read(self, at: int, size: int) -> bytes:
        self._file.seek(at)
        return self._file.read(size)


def _records(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Code and content of each whole record."""
    at = 0
    while at + _RECORD.size <= len(data):
        code, length = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        if at + length > len(data):
            return
        yield code, data[at : at + length]
        at += length


def _text(data: memoryview, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<I", data, at)
    end = at + 4 + length
    return str(data[at + 4 : end], "utf-8", "replace"), end
