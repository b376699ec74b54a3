"""ROS 1 bags of version 2.0 (wiki.ros.org/Bags/Format/2.0), also without an index, as a killed recorder leaves them."""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from typing import IO, BinaryIO

from rosbags.rosbag1 import Reader
from rosbags.rosbag1.reader import Header, ReaderError, RecordType, read_uint32
from rosbags.typesys.msg import normalize_msgtype

from edge_worldmodel.recordings.storage.stored import (
    Channel,
    Damage,
    IndexedStorage,
    StoredMessage,
    Wanted,
    content_end,
    decompressed,
)

_ERRORS = (ReaderError, struct.error, KeyError, ValueError)
_MAGIC_BYTES = 13
_PIECE_BYTES = 1 << 20
_CHUNK_MARK = re.compile(rb"\x04\0\0\0op=\x05")
_MARK_AFTER_BYTES = 64
"""The mark of a chunk is found at most this far behind the beginning of its record."""


class Ros1Storage(IndexedStorage):
    """A ROS 1 bag."""

    def _by_index(self, wanted: Wanted) -> Iterator[StoredMessage]:
        with self._path.open("rb") as file, Reader(self._path) as reader:
            if content_end(file) < file.seek(0, 2):
                raise ReaderError("zeros at the end")
            if not _is_covered(file, reader):
                raise ReaderError("the index does not cover the whole file")
            channels = _channels(reader)
            connections = [c for c in reader.connections if wanted(channels[c.id])]
            missing = Counter({c.id: c.msgcount for c in connections})
            # no connections would mean all of them
            for connection, log_ns, data in reader.messages(connections) if connections else ():
                missing[connection.id] -= 1
                if missing[connection.id] < 0:
                    raise ReaderError("the index points to a message of another topic")
                yield StoredMessage(channels[connection.id], log_ns, bytes(data))

    def _by_position(self, wanted: Wanted) -> Iterator[StoredMessage]:
        with self._path.open("rb") as file:
            file.seek(_MAGIC_BYTES)
            scan = _Scan(wanted, self.damage, self._indexed_channels())
            yield from scan.read(file)
            scan.count_strays()

    def _indexed_channels(self) -> dict[int, Channel]:
        """Return the channels that the index has, as the chunk that describes them may be damaged."""
        try:
            with Reader(self._path) as reader:
                channels = _channels(reader)
                # of two topics with one number, at least one has a damaged number
                return channels if len(channels) == len(reader.connections) else {}
        except Exception:  # a damaged index raises any class of error
            return {}


def _is_covered(file: BinaryIO, reader: Reader) -> bool:
    """Return whether the index names all chunks of a file, all their topics, and as many messages as each has.

    A damaged number in the header of the file or of the index would else lose a part of the bag.
    """
    chunks: dict[int, int] = {}
    connections = at = 0
    end = file.seek(0, 2)
    file.seek(_MAGIC_BYTES)
    while (position := file.tell()) < end:
        kind = Header.read(file).get_uint8("op")
        file.seek(read_uint32(file), 1)
        if kind == RecordType.CHUNK:
            at = position
            chunks[at] = 0
        elif kind == RecordType.IDXDATA:
            chunks[at] += 1
        connections += kind == RecordType.CONNECTION
    expected: Counter[int] = Counter()
    for chunk in reader.chunk_infos:
        expected.update(chunk.connection_counts)
    found = {c.id: c.msgcount for c in reader.connections}
    return (
        file.tell() == end
        and chunks == {chunk.pos: len(chunk.connection_counts) for chunk in reader.chunk_infos}
        and connections == len(reader.connections) == len(found)
        and all(count <= found.get(number, -1) for number, count in expected.items())
    )


def _channels(reader: Reader) -> dict[int, Channel]:
    return {c.id: Channel(c.topic, c.msgtype, "ros1", c.msgdef.data, "ros1msg") for c in reader.connections}


class _Scan:
    """Reads the records one after the other and counts what is missing."""

    def __init__(self, wanted: Wanted, damage: Damage, known: dict[int, Channel]) -> None:
        self._wanted, self._damage = wanted, damage
        self._channels = {number: channel if wanted(channel) else None for number, channel in known.items()}
        self._in_chunk: Counter[int] = Counter()
        self._at = self._damaged_at = self._strays = 0

    def read(self, file: IO[bytes]) -> Iterator[StoredMessage]:
        """Yield the messages of a file from its first record on."""
        indexed, chunks = 0, 0
        begin, end = file.tell(), content_end(file)
        file.seek(begin)
        while record := self._record(file, end):
            header, data, whole = record
            kind = header.get("op", b"")[:1]
            self._damaged_at = self._at
            if kind == bytes([RecordType.CHUNK]):
                self._in_chunk.clear()
                yield from self._chunk(header, data, whole)
            elif kind == bytes([RecordType.IDXDATA]):
                self._compare(header)
            elif kind == bytes([RecordType.CONNECTION]):
                self._connection(header, data)
            indexed += kind == bytes([RecordType.CHUNK_INFO])
            chunks += kind == bytes([RecordType.CHUNK])
            if not whole:
                if not self._go_to_next_chunk(file):
                    self._damage.add("the file ends in the middle of a record", 1, exact=False)
                    return
                self._damage.add(f"the record at byte {self._damaged_at} is damaged", 1, exact=False)
        if indexed > chunks:
            self._damage.add("chunks that the index names are missing", exact=False)
        if not indexed:
            self._damage.add("the file has no index, its recording was not ended properly", exact=False)

    def _record(self, file: IO[bytes], end: int) -> tuple[Header, bytes, bool] | None:
        """Return the header and the data of the next record, and whether it is whole; None at the end."""
        self._at = file.tell()
        if self._at >= end:
            return None
        prefix, header_whole = _sized(file, end)
        try:
            header = Header.read(BytesIO(prefix)) if header_whole else Header()
        except _ERRORS:
            return Header(), b"", False
        data, whole = _sized(file, end)
        return header, data[4:], header_whole and whole

    def _go_to_next_chunk(self, file: IO[bytes]) -> bool:
        """Go to the next chunk behind a damaged record; return whether there is one."""
        begin = self._damaged_at + 1
        file.seek(begin)
        tail = b""
        while piece := file.read(_PIECE_BYTES):
            window = tail + piece
            offset = begin - len(tail)
            for match in _CHUNK_MARK.finditer(window):
                for start in range(max(0, match.start() - _MARK_AFTER_BYTES), match.start() - 3):
                    file.seek(offset + start)
                    if offset + start >= self._damaged_at + 1 and _is_chunk(file):
                        file.seek(offset + start)
                        return True
            begin += len(piece)
            tail = window[-2 * _MARK_AFTER_BYTES :]
            file.seek(begin)
        return False

    def _chunk(self, header: Header, data: bytes, whole: bool) -> Iterator[StoredMessage]:
        try:
            content, complete = decompressed(data, header.get_string("compression"))
        except _ERRORS:
            content, complete = b"", False
        if whole and not complete:
            self._damage.add(f"the chunk at byte {self._at} is damaged", exact=False)
        yield from sorted(self._messages(BytesIO(content)), key=lambda message: message.log_ns)

    def _messages(self, chunk: IO[bytes]) -> Iterator[StoredMessage]:
        end = chunk.seek(0, 2)
        chunk.seek(0)
        while record := self._record(chunk, end):
            header, data, whole = record
            if not whole:
                return
            try:
                kind = header.get_uint8("op")
                number, log_ns = header.get_uint32("conn"), header.get_time("time") if "time" in header else 0
            except _ERRORS:
                continue
            if kind == RecordType.CONNECTION:
                self._connection(header, data)
            elif kind == RecordType.MSGDATA:
                self._in_chunk[number] += 1
                self._strays += number not in self._channels
                channel = self._channels.get(number)
                if channel is not None:
                    yield StoredMessage(channel, log_ns, data)

    def _connection(self, header: Header, data: bytes) -> None:
        try:
            number, topic = header.get_uint32("conn"), header.get_string("topic")
            fields = Header.read(BytesIO(struct.pack("<I", len(data)) + data))
            type_name = normalize_msgtype(fields.get_string("type"))
        except _ERRORS:
            self._damage.add("the description of a topic is damaged", exact=False)
            return
        if number not in self._channels:
            # authors wrote comments in other encodings, too
            definition = fields.get("message_definition", b"").decode(errors="replace")
            channel = Channel(topic, type_name, "ros1", definition, "ros1msg")
            self._channels[number] = channel if self._wanted(channel) else None

    def _compare(self, header: Header) -> None:
        """Count the messages of a chunk that its index names and that were not found in it."""
        try:
            number, count = header.get_uint32("conn"), header.get_uint32("count")
        except _ERRORS:
            return
        missing = count - self._in_chunk[number]
        if missing > 0 and self._channels.get(number) is not None:
            self._damage.add("messages of the index are not in their chunk", missing)

    def count_strays(self) -> None:
        """Count the messages whose topic is described nowhere, but for those that were already counted."""
        if self._strays:
            self._damage.add("the description of a topic is missing", max(0, self._strays - self._damage.lost))


def _sized(file: IO[bytes], end: int) -> tuple[bytes, bool]:
    """Return a size of four bytes with what follows it, and whether that is whole; ``end`` is that of the file."""
    prefix = file.read(min(4, max(0, end - file.tell())))
    if len(prefix) < 4:
        return prefix, False
    (size,) = struct.unpack("<I", prefix)
    # a damaged size may be larger than the memory
    data = file.read(min(size, max(0, end - file.tell())))
    return prefix + data, len(data) == size


def _is_chunk(file: IO[bytes]) -> bool:
    """Return whether the header of a chunk begins here."""
    (size,) = struct.unpack("<I", file.read(4).ljust(4, b"\0"))
    if not 0 < size <= 2 * _MARK_AFTER_BYTES:
        return False
    try:
        header = Header.read(BytesIO(struct.pack("<I", size) + file.read(size)))
    except _ERRORS:
        return False
    return header.get("op") == bytes([RecordType.CHUNK]) and {"compression", "size"} <= set(header)
