"""SIGINT and SIGTERM as a request that is obeyed between two callbacks, never in the middle of one."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable

_ASK_AGAIN_S = 0.05


class EndSignal:
    """Takes the two signals of this process over; create it on the main thread, before ROS is started.

    The signals only write a byte to a socket, on which a thread waits: the executor sleeps outside of Python,
    where no Python signal handler would be run.
    """

    def __init__(self) -> None:
        self._told, teller = socket.socketpair()
        teller.setblocking(False)
        self._teller = teller
        self._obeyed = threading.Event()
        signal.set_wakeup_fd(teller.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)

    def then(self, end: Callable[[], object]) -> None:
        """Call ``end``, on a thread of its own, once a signal has come, and again until ``obeyed`` was called.

        Again, because an executor that is told to stop before it spins forgets it.
        """

        def wait() -> None:
            self._told.recv(1)
            while not self._obeyed.is_set():
                end()
                self._obeyed.wait(_ASK_AGAIN_S)

        self._thread = threading.Thread(target=wait, daemon=True)
        self._thread.start()

    def obeyed(self) -> None:
        """Ask no more; nothing calls ``end`` after this has returned."""
        self._obeyed.set()
        self._teller.send(b"\0")
        self._thread.join()
