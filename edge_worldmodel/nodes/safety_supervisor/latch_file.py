"""The record of latches as a file that survives a kill and a power failure at any moment.

The file is written beside the old one, forced to disk, and renamed over it: there is always the old record or the new
one. Its first line is the SHA-256 of the rest, so that a damaged file is noticed.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from edge_worldmodel.core.errors import LatchStoreError
from edge_worldmodel.core.safety.faults import Fault, FaultKind
from edge_worldmodel.core.safety.latches import LatchRecord
from edge_worldmodel.core.safety.states import WAITING_FOR_PERSON, State

_NAME = "latches"
_MAX_BYTES = 65_536


class LatchFile:
    """Keeps the record in one file; folder and file are readable by their owner only.

    Args:
        folder: folder of the file, made when the first record is written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / _NAME

    def read(self) -> LatchRecord:
        """Return the record; an empty one if there is no file.

        Raises:
            LatchStoreError: the file is damaged or cannot be read.
        """
        try:
            with open(os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
                data = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return LatchRecord()
        except OSError as error:
            raise LatchStoreError(f"the record of latches '{self.path}' cannot be read ({error.strerror})") from error
        try:
            return _decode(data)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise LatchStoreError(
                f"the record of latches '{self.path}' is damaged ({error!r}), so a stop may have been in force"
            ) from error

    def write(self, record: LatchRecord) -> None:
        """Replace the record and wait until it is on the disk.

        Raises:
            LatchStoreError: it could not be written; the old record is then still there.
        """
        new = self.path.with_suffix(".new")
        try:
            _make_folder(self.path.parent)
            self.path.parent.chmod(0o700)
            new.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(new, flags, 0o600), "wb") as file:
                file.write(_encode(record))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
            _sync_folder(self.path.parent)
        except OSError as error:
            raise LatchStoreError(
                f"the record of latches '{self.path}' cannot be written ({error.strerror}),"
                " so a stop would be forgotten when this process ends"
            ) from error


def _make_folder(folder: Path) -> None:
    """Make a folder and all above it; each is on the disk before anything is put into it."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """Force the entries of a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _encode(record: LatchRecord) -> bytes:
    content = {
        "state": record.state.name,
        "causes": [[fault.kind.name, fault.text] for fault in record.causes],
        "pressed": sorted(record.pressed),
        "landing": record.landing,
    }
    body = json.dumps(content, indent=1).encode()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _decode(data: bytes) -> LatchRecord:
    """Return the record in the content of a file; any error in it is a ValueError, KeyError or TypeError."""
    digest, _, body = data.partition(b"\n")
    if digest != hashlib.sha256(body).hexdigest().encode():
        raise ValueError("its checksum is wrong")
    content: dict[str, Any] = json.loads(body)
    state = State[content["state"]]
    causes = tuple(Fault(FaultKind[kind], str(text)) for kind, text in content["causes"])
    if state not in WAITING_FOR_PERSON | {State.STARTING} or (state is State.LATCHED and not causes):
        raise ValueError(f"it holds the state {state.name} with {len(causes)} causes")
    return LatchRecord(state, causes, frozenset(map(str, content["pressed"])), str(content["landing"]))
