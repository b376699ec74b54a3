"""Rows of a damaged SQLite file, found page by page without its tree (sqlite.org/fileformat2.html).

SQLite itself refuses a file from which pages are missing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from edge_worldmodel.recordings.storage.stored import content_end

_TABLE_LEAF, _TABLE_INTERIOR = 0x0D, 0x05
_FILE_HEADER_BYTES = 100
_LONGEST_KEY_BYTES = 13
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


@dataclass(frozen=True)
class Row:
    """The number of a row and the values of its columns: None, int, float, or bytes of a text or a blob."""

    number: int
    values: tuple[Any, ...]


class SqlitePages:
    """The pages of a file.

    Args:
        file: the file, opened for reading bytes.

    Raises:
        ValueError: the file has no header of SQLite.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        header = file.read(_FILE_HEADER_BYTES)
        if len(header) < _FILE_HEADER_BYTES:
            raise ValueError("the header of the file is missing")
        size = int.from_bytes(header[16:18], "big")
        self._page_bytes = 65536 if size == 1 else size
        self._usable = self._page_bytes - header[20]
        if self._page_bytes < 512 or self._usable < 480:
            raise ValueError("the header of the file is damaged")
        self._end, size = content_end(file), file.seek(0, 2)
        # a sound page may end with zeros, and is never all zeros
        self.has_end = size - self._end < self._page_bytes
        if self.has_end:
            self._end = size
        self.present = size // self._page_bytes
        self.declared = int.from_bytes(header[28:32], "big")
        self.highest_row = 0

    def locations(self) -> Iterator[tuple[int, int]]:
        """Yield (page, offset) of every row of every table; ``highest_row`` is then the highest number of a row."""
        for page in range(1, self.present + 1):
            content = self._page(page)
            begin = _FILE_HEADER_BYTES if page == 1 else 0
            kind, cells = content[begin], int.from_bytes(content[begin + 3 : begin + 5], "big")
            if kind not in (_TABLE_LEAF, _TABLE_INTERIOR):
                continue
            pointers = begin + (8 if kind == _TABLE_LEAF else 12)
            if pointers + 2 * cells > len(content):
                continue
            for (offset,) in struct.iter_unpack(">H", content[pointers : pointers + 2 * cells]):
                if kind == _TABLE_LEAF:
                    yield page, offset
                elif offset + _LONGEST_KEY_BYTES <= len(content):
                    self.highest_row = max(self.highest_row, _varint(content, offset + 4)[0])

    def row(self, page: int, offset: int, data: bool = True) -> Row | None:
        """Return the row at a place, None if a part of it is missing.

        Args:
            page: number of the page, from 1.
            offset: in the page.
            data: False: values beyond the page are not read, and are empty.
        """
        content = self._page(page)
        try:
            length, offset = _varint(content, offset)
            number, offset = _varint(content, offset)
            local = self._local_bytes(length)
            payload = content[offset : offset + local]
            if len(payload) < local or (page - 1) * self._page_bytes + offset + local > self._end:
                return None
            if data and local < length:
                rest = self._overflow(
                    int.from_bytes(content[offset + local : offset + local + 4], "big"), length - local
                )
                if rest is None:
                    return None
                payload += rest
            return Row(number, _values(payload))
        except (IndexError, ValueError):
            return None

    def _page(self, number: int) -> bytes:
        self._file.seek((number - 1) * self._page_bytes)
        return self._file.read(self._page_bytes)

    def _local_bytes(self, length: int) -> int:
        """Return how much of a payload lies in the leaf page itself."""
        largest = self._usable - 35
        if length <= largest:
            return length
        least = (self._usable - 12) * 32 // 255 - 23
        local = least + (length - least) % (self._usable - 4)
        return local if local <= largest else least

    def _overflow(self, page: int, length: int) -> bytes | None:
        if length > self.present * self._page_bytes:
            return None
        parts = []
        while length > 0:
            if not 0 < page <= self.present:
                return None
            content = self._page(page)
            if (page - 1) * self._page_bytes + 4 + min(length, self._usable - 4) > self._end:
                return None
            page = int.from_bytes(content[:4], "big")
            parts.append(content[4 : 4 + min(length, self._usable - 4)])
            length -= self._usable - 4
        return b"".join(parts)


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    """Return a number of variable length and the offset behind it."""
    value = 0
    for count in range(9):
        byte = data[offset + count]
        if count == 8:
            return value << 8 | byte, offset + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, offset + count + 1
    raise ValueError("unreachable")


def _values(payload: bytes) -> tuple[Any, ...]:
    """Return the values of a record; those beyond the end of the payload are shorter than declared."""
    end, offset = _varint(payload, 0)
    kinds = []
    while offset < end:
        kind, offset = _varint(payload, offset)
        kinds.append(kind)
    values: list[Any] = []
    for kind in kinds:
        size = _size(kind)
        part = payload[end : end + size]
        end += size
        values.append(_value(kind, part))
    return tuple(values)


def _size(kind: int) -> int:
    if kind >= 12:
        return (kind - 12) // 2
    return 8 if kind == 7 else _INTEGER_BYTES.get(kind, 0)


def _value(kind: int, part: bytes) -> Any:
    if kind >= 12:
        return part
    if kind in _INTEGER_BYTES:
        return int.from_bytes(part, "big", signed=True)
    if kind == 7:
        return struct.unpack(">d", part.ljust(8, b"\0"))[0]
    return {8: 0, 9: 1}.get(kind)


def is_cut(path: Path) -> bool:
    """Return whether a file has fewer pages than its header declares, or zeros instead of its last ones."""
    with path.open("rb") as file:
        try:
            pages = SqlitePages(file)
        except ValueError:
            return True
    return pages.present < pages.declared or not pages.has_end
