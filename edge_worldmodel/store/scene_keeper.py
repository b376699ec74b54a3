"""The process that keeps scenes on disk: a SceneShard behind a socket, one answer to each request.

Started by scene_memory as `python -m edge_worldmodel.store.scene_keeper FD`. It ends when the other side does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from edge_worldmodel.store.scene_shard import InUseError, SceneShard, ShardLimits, StoreError
from edge_worldmodel.store.scene_wire import decode, encode, pack, unpack

_LOCK_WAIT_S = 10.0
_NICE = 10


class Keeper:
    """Answers requests; writes to disk at most ``flush_period_s`` after a change."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._shard: SceneShard | None = None
        self._lock: TextIO | None = None
        self._flush_period_s = 1.0
        self._flush_at_s = float("inf")
        self._flush_s = float("nan")
        self._disk_bytes = 0

    def serve(self) -> None:
        """Work until the other side is gone."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                if self._connection.poll(self._time_to_flush_s()):
                    self._connection.send_bytes(self._answer(self._connection.recv_bytes()))
                elif self._shard is not None:
                    self._flush(self._shard)
        if self._shard is not None:
            with contextlib.suppress(StoreError):
                self._shard.close()

    def _time_to_flush_s(self) -> float | None:
        return None if self._flush_at_s == float("inf") else max(self._flush_at_s - time.monotonic(), 0.0)

    def _answer(self, message: bytes) -> bytes:
        header, blob = unpack(message)
        reply: dict[str, Any] = {"ok": True}
        data = b""
        try:
            if header["do"] == "open":
                self._open(header)
            elif self._shard is None:
                raise StoreError("not open")
            elif header["do"] == "save":
                reply["saved"] = self._save(self._shard, header, blob)
            elif header["do"] == "find":
                found = self._shard.find(np.frombuffer(blob, np.float32), header["model_id"])
                if found is not None:
                    reply["entry"], data = encode(found)
            elif header["do"] == "flush":
                self._flush(self._shard)
        except StoreError as error:
            reply |= {"ok": False, "why": str(error), "in_use": isinstance(error, InUseError)}
        return pack(reply | self._figures(), data)

    def _open(self, header: dict[str, Any]) -> None:
        folder = Path(header["folder"])
        self._take(folder)
        limits = ShardLimits(
            header["scenes"], header["retention_s"], header["max_disk_bytes"], header["min_free_bytes"]
        )
        shard = SceneShard(folder, limits)
        if header["set_aside"]:
            shard.set_aside(header["set_aside"])
        shard.open()
        self._flush_period_s = header["flush_period_s"]
        self._shard = shard
        self._flush(shard)

    def _take(self, folder: Path) -> None:
        """Wait until no other process has the folder."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / "lock").open("w")
        except OSError as error:
            raise StoreError(f"'{folder}' cannot be written ({error.strerror}); scenes stay in memory") from error
        deadline_s = time.monotonic() + _LOCK_WAIT_S
        while not _locked(self._lock):
            if time.monotonic() > deadline_s:
                raise InUseError(f"'{folder}' is in use by another process; give 'store_dir' another folder")
            time.sleep(0.05)

    def _save(self, shard: SceneShard, header: dict[str, Any], blob: bytes) -> bool:
        try:
            entry = decode(header, blob)
        except ValueError as error:
            raise StoreError(f"a scene came damaged: {error}") from error
        saved = shard.save(entry, header["saved_s"])
        if shard.dirty:
            self._flush_at_s = min(self._flush_at_s, time.monotonic() + self._flush_period_s)
        return saved

    def _flush(self, shard: SceneShard) -> None:
        begin_s = time.monotonic()
        self._flush_at_s = float("inf")
        try:
            shard.flush(time.time())
        except StoreError as error:
            shard.notes.append(str(error))
        self._disk_bytes = shard.disk_bytes()
        self._flush_s = time.monotonic() - begin_s

    def _figures(self) -> dict[str, Any]:
        shard = self._shard
        if shard is None:
            return {"notes": []}
        notes, shard.notes = shard.notes, []
        return {
            "notes": notes,
            "scenes_on_disk": len(shard),
            "disk_mb": self._disk_bytes / 1e6,
            "last_flush_s": self._flush_s,
            "set_aside": shard.set_aside_count,
        }


def _locked(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def main() -> None:
    """Serve the socket whose number is the only argument."""
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    Keeper(Connection(int(sys.argv[1]))).serve()


if __name__ == "__main__":
    main()
