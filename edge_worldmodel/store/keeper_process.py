"""The other side of scene_keeper: starts the process, asks it, ends it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from multiprocessing.connection import Connection
from typing import Any

from edge_worldmodel.store.scene_wire import pack, unpack

MODULE = "edge_worldmodel.store.scene_keeper"
_LAST_WORDS = 300


class KeeperProcess:
    """One scene_keeper. Its own process group: Ctrl-C is for the node, the keeper ends after it."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115, as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        theirs.close()
        self._connection = Connection(os.dup(self._ours.fileno()))
        self.pid = self._process.pid

    def ask(self, header: dict[str, Any], blob: bytes, timeout_s: float) -> tuple[dict[str, Any], bytes] | None:
        """Return the answer, None when the process ended or did not answer in time."""
        with contextlib.suppress(EOFError, OSError, ValueError):
            self._connection.send_bytes(pack(header, blob))
            if self._connection.poll(timeout_s):
                return unpack(self._connection.recv_bytes())
        return None

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self.leave()

    def leave(self) -> None:
        """Say goodbye: the process writes everything to disk and ends, later than this returns."""
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)

    def end(self, timeout_s: float) -> str:
        """Wait for the end of the process, kill it after ``timeout_s``; return how it ended, in words."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return f"no answer within {timeout_s:.0f} s"
        if code < 0:
            return f"signal {signal.Signals(-code).name}"
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(self._errors.tell() - _LAST_WORDS, 0))
        return f"exit status {code} {self._errors.read().decode(errors='replace')}".strip()
