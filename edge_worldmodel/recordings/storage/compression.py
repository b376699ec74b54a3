"""Kinds of files by their first bytes, and compressed files."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import lz4.frame
import zstandard

from edge_worldmodel.core.errors import RecordingError

Opener = Callable[..., IO[Any]]

HEAD_BYTES = 512
ROS1, MCAP, SQLITE = b"#ROSBAG V2.0", b"\x89MCAP0\r\n", b"SQLite format 3\0"
OPENERS: dict[bytes, Opener] = {
    b"BZh": bz2.open,
    b"\x1f\x8b": gzip.open,
    b"\xfd7zXZ\0": lzma.open,
    b"\x28\xb5\x2f\xfd": zstandard.open,
    b"\x04\x22\x4d\x18": lz4.frame.open,
}
_ERRORS = (OSError, EOFError, ValueError, RuntimeError, lzma.LZMAError, zstandard.ZstdError)
_REMEDIES = {
    b"#ROSBAG V1": "is a ROS 1 bag of the old version 1: convert it with 'rosbag fix' of ROS 1",
    b"#ROSRECORD": "is a ROS 1 bag of the old version 1: convert it with 'rosbag fix' of ROS 1",
    b"#ROSBAG": "is a ROS 1 bag of a version that is not read: convert it to version 2.0 with 'rosbag fix' of ROS 1",
    b"PK\x03\x04": "is a zip archive: unpack it and give the recording in it",
    b"7z\xbc\xaf\x27\x1c": "is a 7z archive: unpack it and give the recording in it",
    b"Rar!": "is a rar archive: unpack it and give the recording in it",
    b"version https://git-lfs": "is only a pointer of Git LFS: fetch the recording itself with 'git lfs pull'",
    b"<!DOCTYPE": "is a web page, not a recording: download the recording again",
    b"<html": "is a web page, not a recording: download the recording again",
    b"\xd4\xc3\xb2\xa1": "is a network capture (pcap): convert it to a bag with the driver of its sensor",
    b"\x0a\x0d\x0d\x0a": "is a network capture (pcapng): convert it to a bag with the driver of its sensor",
}
_TAR_AT, _TAR = 257, b"ustar"


def opener_of(head: bytes) -> Opener:
    """Return the function that opens a file with this beginning, decompressing it if it is compressed."""
    return next((opener for magic, opener in OPENERS.items() if head.startswith(magic)), open)


def read_head(path: Path, opener: Opener = open) -> bytes:
    """Return the first bytes of a file.

    Raises:
        RecordingError: it cannot be opened or decompressed.
    """
    try:
        with opener(path, "rb") as file:
            head = bytes(file.read(HEAD_BYTES))
        if opener is not open and not head:
            raise EOFError
        return head
    except _ERRORS as error:
        if opener is not open:
            raise RecordingError(
                f"'{path}' is compressed, and its beginning is damaged or all there is: copy it again"
            ) from error
        reason = error.strerror if isinstance(error, OSError) else error
        raise RecordingError(f"'{path}' cannot be opened: {reason}") from error


def decompress_file(path: Path, opener: Opener, target: Path) -> bool:
    """Decompress a file into another one; return whether it was whole, else as much as there is was written.

    Raises:
        RecordingError: there is no space for it.
    """
    with target.open("wb") as written:
        try:
            with opener(path, "rb") as file:
                while True:
                    try:
                        piece = file.read(1 << 16)
                    except _ERRORS:
                        return False
                    if not piece:
                        break
                    written.write(piece)
        except OSError as error:
            free_gb = shutil.disk_usage(target.parent).free / 1e9
            raise RecordingError(
                f"'{path}' cannot be decompressed into '{target.parent}': {error.strerror} ({free_gb:.1f} GB are free);"
                " decompress it yourself, or set TMPDIR to a folder with more space"
            ) from error
    return True


def remedy(head: bytes) -> str:
    """Return what a file with this beginning is, and what to do with it; empty: not known."""
    for magic, text in _REMEDIES.items():
        if head.lower().startswith(magic.lower()):
            return text
    if head[_TAR_AT:].startswith(_TAR):
        return "is a tar archive: unpack it and give the recording in it"
    if head and not head.strip(b"\0"):
        return "begins with zeros: it was not written to the disk before the power was lost, and cannot be read"
    return ""
