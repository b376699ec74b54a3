"""MCAP files (mcap.dev/spec), also without a summary, cut in a chunk, or with damaged chunks."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import IO

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.reader import make_reader
from mcap.records import Channel as McapChannel
from mcap.records import Message, Schema
from mcap.summary import Summary
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

_MAGIC_BYTES = 8
_PREFIX = struct.Struct("<BQ")
_CHUNK = struct.Struct("<QQQII")
_ENDS = ((Opcode.DATA_END, 4), (Opcode.FOOTER, 20))
"""A damaged record with one of these numbers has another size."""
_ERRORS = (McapError, struct.error, ValueError, KeyError)


class McapStorage(IndexedStorage):
    """An MCAP file."""

    def _by_index(self, wanted: Wanted) -> Iterator[StoredMessage]:
        with self._path.open("rb") as file:
            if content_end(file) < file.seek(0, 2):
                raise McapError("zeros at the end")
            file.seek(0)
            reader = make_reader(file, validate_crcs=True)
            summary = reader.get_summary()
            if summary is None or not summary.channels or not summary.chunk_indexes:
                raise McapError("no summary")
            channels = _known(summary)
            if not _is_covered(file, summary, set(channels)):
                raise McapError("the summary does not cover the whole file")
            chosen = {number for number, channel in channels.items() if wanted(channel)}
            topics = {channels[number].topic for number in chosen}
            if not topics:
                return
            read: Counter[int] = Counter()
            for _, channel, message in reader.iter_messages(topics):
                if channel.id in chosen:
                    read[channel.id] += 1
                    yield StoredMessage(channels[channel.id], message.log_time, message.data)
            expected = summary.statistics.channel_message_counts if summary.statistics else {}
            if any(expected.get(number, 0) > read[number] for number in chosen):
                raise McapError("a chunk whose own header is damaged looks empty")

    def _by_position(self, wanted: Wanted) -> Iterator[StoredMessage]:
        with self._path.open("rb") as file:
            summary = _summary(file)
            scan = _Scan(wanted, self.damage, summary)
            yield from scan.read(file)
            scan.count_strays()
            if summary.statistics and not self.damage.reasons:
                scan.compare_all(summary.statistics.channel_message_counts)


def _summary(file: IO[bytes]) -> Summary:
    """Return the summary at the end of a file; an empty one if there is none that can be read."""
    try:
        return make_reader(file).get_summary() or Summary()
    except Exception:  # a damaged summary raises any class of error
        return Summary()


def _known(summary: Summary) -> dict[int, Channel]:
    """Return the channels of a summary by number, but for those whose schema is lost."""
    return {
        number: channel_of(channel, summary.schemas.get(channel.schema_id))
        for number, channel in summary.channels.items()
        if channel.schema_id in (0, *summary.schemas)
    }


def _is_covered(file: IO[bytes], summary: Summary, channels: set[int]) -> bool:
    """Return whether a summary names all chunks of a file, with all their channels; there must be no other messages.

    A damaged summary would else lose a part of the file.
    """
    indexed = {chunk.chunk_start_offset: set(chunk.message_index_offsets) for chunk in summary.chunk_indexes}
    used = set(summary.statistics.channel_message_counts) if summary.statistics else set()
    chunks: set[int] = set()
    at = file.seek(_MAGIC_BYTES)
    of_chunk: set[int] = set()
    while len(prefix := file.read(_PREFIX.size)) == _PREFIX.size:
        opcode, size = _PREFIX.unpack(prefix)
        if opcode == Opcode.DATA_END:
            return chunks == set(indexed) and used <= channels
        if opcode == Opcode.MESSAGE:
            return False
        if opcode == Opcode.CHUNK:
            chunks.add(at)
            of_chunk = indexed.get(at, set())
            used |= of_chunk
        elif opcode == Opcode.MESSAGE_INDEX:
            (number,) = struct.unpack("<H", file.read(2))
            used.add(number)
            # a chunk without any is read for every topic
            if of_chunk and number not in of_chunk:
                return False
        at = file.seek(at + _PREFIX.size + size)
    return False


def channel_of(channel: McapChannel, schema: Schema | None) -> Channel:
    """Return a channel in our form; a type without a package stays as it is."""
    name = schema.name if schema else ""
    definition = schema.data.decode(errors="replace") if schema and schema.encoding in _TEXTS else ""
    type_name = normalize_msgtype(name) if name.count("/") == 1 else name
    return Channel(channel.topic, type_name, channel.message_encoding, definition, schema.encoding if schema else "")


_TEXTS = ("ros1msg", "ros2msg", "ros2idl", "omgidl")


class _Scan:
    """Reads the records one after the other and counts what is missing."""

    def __init__(self, wanted: Wanted, damage: Damage, summary: Summary) -> None:
        self._wanted, self._damage = wanted, damage
        # reading goes on there behind a damaged record
        self._chunk_starts = sorted(chunk.chunk_start_offset for chunk in summary.chunk_indexes)
        self._schemas: dict[int, Schema] = {}
        # the record that describes a channel may be damaged
        self._channels = {n: channel if wanted(channel) else None for n, channel in _known(summary).items()}
        self._in_chunk: Counter[int] = Counter()
        self._total: Counter[int] = Counter()
        self._strays = 0

    def read(self, file: IO[bytes]) -> Iterator[StoredMessage]:
        """Yield the messages of a file from its first record on."""
        end = content_end(file)
        file.seek(_MAGIC_BYTES)
        while prefix := file.read(min(_PREFIX.size, end - file.tell())):
            at = file.tell() - len(prefix)
            opcode, size = _PREFIX.unpack(prefix) if len(prefix) == _PREFIX.size else (0, 1)
            if (opcode, size) in _ENDS:
                return
            # a damaged size may be larger than the memory
            data = file.read(min(size, end - file.tell()))
            whole = len(data) == size
            if not whole or not _is_opcode(opcode):
                following = next((start for start in self._chunk_starts if start > at), None)
                if following is not None:
                    self._damage.add(f"the record at byte {at} is damaged", 1, exact=False)
                    file.seek(following)
                    continue
            if opcode == Opcode.CHUNK:
                self._in_chunk.clear()
                yield from self._chunk(at, data, whole)
            elif opcode == Opcode.MESSAGE_INDEX and whole:
                self._compare(data)
            elif whole:
                yield from self._records(_PREFIX.pack(opcode, size) + data)
            if not whole or not _is_opcode(opcode):
                self._damage.add("the file ends in the middle of a record", 1, exact=False)
                return
        self._damage.add("the file has no end, its recording was not ended properly", exact=False)

    def _chunk(self, at: int, data: bytes, whole: bool) -> Iterator[StoredMessage]:
        try:
            _, _, size, crc, length = _CHUNK.unpack_from(data)
            end = _CHUNK.size + length
            compression = data[_CHUNK.size : end].decode()
            content, complete = decompressed(data[end + 8 :], compression)
        except _ERRORS:
            content, complete, size, crc = b"", False, -1, 0
        if whole and not (complete and len(content) == size and (not crc or zlib.crc32(content) == crc)):
            self._damage.add(f"the chunk at byte {at} is damaged", exact=False)
        yield from sorted(self._records(content), key=lambda message: message.log_ns)

    def _records(self, content: bytes) -> Iterator[StoredMessage]:
        position = 0
        while position + _PREFIX.size <= len(content):
            opcode, size = _PREFIX.unpack_from(content, position)
            begin = position + _PREFIX.size
            position = begin + size
            if position > len(content):
                return
            stream = ReadDataStream(BytesIO(content[begin:position]))
            try:
                if opcode == Opcode.SCHEMA:
                    schema = Schema.read(stream)
                    self._schemas[schema.id] = schema
                elif opcode == Opcode.CHANNEL:
                    self._channel(McapChannel.read(stream))
                elif opcode == Opcode.MESSAGE:
                    message = Message.read(stream, size)
                    self._in_chunk[message.channel_id] += 1
                    self._total[message.channel_id] += 1
                    self._strays += message.channel_id not in self._channels
                    channel = self._channels.get(message.channel_id)
                    if channel is not None:
                        yield StoredMessage(channel, message.log_time, message.data)
            except _ERRORS:
                self._damage.add("a record is damaged", 1, exact=False)

    def _channel(self, channel: McapChannel) -> None:
        if channel.id not in self._channels:
            ours = channel_of(channel, self._schemas.get(channel.schema_id))
            self._channels[channel.id] = ours if self._wanted(ours) else None

    def _compare(self, data: bytes) -> None:
        """Count the messages of a chunk that its index names and that were not found in it."""
        if len(data) < 6:
            return
        number, size = struct.unpack_from("<HI", data)
        missing = size // 16 - self._in_chunk[number]
        if missing > 0 and self._channels.get(number) is not None:
            self._damage.add("messages of the index are not in their chunk", missing)

    def count_strays(self) -> None:
        """Count the messages whose topic is described nowhere, but for those that were already counted."""
        if self._strays:
            self._damage.add("the description of a topic is missing", max(0, self._strays - self._damage.lost))

    def compare_all(self, expected: Mapping[int, int]) -> None:
        """Count the messages that the summary promises and that were not found."""
        missing = sum(max(0, count - self._total[n]) for n, count in expected.items() if self._channels.get(n))
        if missing:
            self._damage.add("messages of the summary are not in the file", missing)


def _is_opcode(opcode: int) -> bool:
    """Return whether records of this kind exist; those of 0x80 and above are private ones."""
    return 0x01 <= opcode <= 0x0F or opcode >= 0x80
