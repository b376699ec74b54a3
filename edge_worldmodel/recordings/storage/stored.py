"""Stored messages, and reading on where a file is damaged."""

from __future__ import annotations

import bz2
from abc import ABC, abstractmethod
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

import lz4.frame
import zstandard


@dataclass(frozen=True)
class Channel:
    """One topic with one type, as a file declares it.

    Attributes:
        topic: name of the topic.
        type_name: 'package/msg/Name'.
        encoding: of the messages: 'cdr' (ROS 2), 'ros1' or one that is not read.
        definition: text of the message definition; empty: there is none.
        definition_format: 'ros1msg', 'ros2msg', 'ros2idl' or one that is not read.
    """

    topic: str
    type_name: str
    encoding: str
    definition: str = ""
    definition_format: str = ""


@dataclass(frozen=True)
class StoredMessage:
    """One serialised message with the time of its recording."""

    channel: Channel
    log_ns: int
    data: bytes


@dataclass
class Damage:
    """The part of a recording that cannot be read.

    Attributes:
        reasons: in words, one for each place; empty: the recording is whole.
        lost: messages that are known to be lost.
        exact: ``lost`` is their number, not the least number.
    """

    reasons: list[str] = field(default_factory=list)
    lost: int = 0
    exact: bool = True

    def add(self, reason: str, lost: int = 0, exact: bool = True) -> None:
        """Note one damaged place."""
        if reason not in self.reasons:
            self.reasons.append(reason)
        self.lost += lost
        self.exact &= exact

    def text(self, read: int) -> str:
        """Return the damage for people.

        Args:
            read: messages that could be read.
        """
        if self.exact:
            lost = f"{self.lost} are lost"
        else:
            lost = f"at least {self.lost} are lost" if self.lost else "how many are lost is not known"
        return f"{'; '.join(self.reasons[:5])}: {read} messages could be read, {lost}"


Wanted = Callable[[Channel], bool]


class Storage(Protocol):
    """One file of messages."""

    damage: Damage

    def messages(self, wanted: Wanted) -> Iterator[StoredMessage]:
        """Yield the messages of the wanted channels, by the time of recording as far as the file tells it.

        Where the file is damaged all whole messages are yielded; ``damage`` then says what is missing.
        """
        ...


class IndexedStorage(ABC):
    """A file with an index: read by it where it is whole, and from beginning to end where it is not.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damage = Damage()

    def messages(self, wanted: Wanted) -> Iterator[StoredMessage]:
        """Yield the messages of the wanted channels (see ``Storage``)."""
        return read_on(self._by_index(wanted), lambda: self._by_position(wanted))

    @abstractmethod
    def _by_index(self, wanted: Wanted) -> Iterator[StoredMessage]:
        """Yield the messages by their times; raise any error where the index does not hold the whole file."""

    @abstractmethod
    def _by_position(self, wanted: Wanted) -> Iterator[StoredMessage]:
        """Yield every whole message in the order of the file."""


def read_on(ordered: Iterator[StoredMessage], rest: Callable[[], Iterator[StoredMessage]]) -> Iterator[StoredMessage]:
    """Yield the messages of ``ordered``; if that fails, those of ``rest`` that were not yielded before.

    Args:
        ordered: all messages by their time, read with the index of the file.
        rest: returns the messages in the order of the file, read without the index.
    """
    yielded = array("q")
    try:
        for message in ordered:
            yielded.append(hash((message.channel.topic, message.log_ns)))
            yield message
        return
    except Exception:  # noqa: S110 - readers of damaged files raise any class of error; ``rest`` finds the damage
        pass
    left = Counter(yielded)
    for message in rest():
        key = hash((message.channel.topic, message.log_ns))
        if left[key] > 0:
            left[key] -= 1
        else:
            yield message


def decompressed(data: bytes, compression: str) -> tuple[bytes, bool]:
    """Return the bytes of a chunk, and whether they are complete: of a cut or damaged one those before the damage.

    Args:
        data: as stored.
        compression: 'zstd', 'lz4', 'bz2'; '' or 'none' for none.

    Raises:
        ValueError: this compression is not known.
    """
    if compression in ("", "none"):
        return data, True
    makers = {"zstd": _zstd, "lz4": lz4.frame.LZ4FrameDecompressor, "bz2": bz2.BZ2Decompressor}
    if compression not in makers:
        raise ValueError(f"compression '{compression}' is not known")
    decompressor = makers[compression]()
    parts = []
    try:
        for begin in range(0, len(data), _PIECE_BYTES):
            parts.append(decompressor.decompress(data[begin : begin + _PIECE_BYTES]))
            if decompressor.eof:
                break
    except Exception:  # each library has its own class of error for damaged data
        return b"".join(parts), False
    return b"".join(parts), bool(decompressor.eof)


_PIECE_BYTES = 4096
"""Small, since nothing of the piece in which the data is damaged is used."""


def _zstd() -> zstandard.ZstdDecompressionObj:
    return zstandard.ZstdDecompressor().decompressobj()


def content_end(file: IO[bytes]) -> int:
    """Return where a file ends, or where the zeros begin that a power loss has left at its end.

    Blocks that did not reach the disk read as zeros; a message that reaches into them is not whole.
    """
    size = end = file.seek(0, 2)
    while end > 0:
        begin = max(0, end - _BLOCK_BYTES)
        file.seek(begin)
        content = file.read(end - begin).rstrip(b"\0")
        if content:
            end = begin + len(content)
            break
        end = begin
    return end if size - end >= _LEAST_ZEROS else size


_BLOCK_BYTES = 1 << 16
_LEAST_ZEROS = 512


def exists(path: Path) -> bool:
    """Return whether a file is there and not empty."""
    return path.is_file() and path.stat().st_size > 0
