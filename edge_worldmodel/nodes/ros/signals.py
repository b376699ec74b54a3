"""SIGINT and SIGTERM end a node between two callbacks, never in the middle of one."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable

_RETRY_S = 0.05


class EndSignal:
    """Takes over the two signals of this process; to be created on the main thread, before ROS is started.

    The signals only write a byte to a socket on which a thread waits: the executor sleeps outside of Python, where no
    Python signal handler would be run.
    """

    def __init__(self) -> None:
        self._received, sender = socket.socketpair()
        sender.setblocking(False)
        self._sender = sender
        self._handled = threading.Event()
        signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)

    def then(self, end: Callable[[], object]) -> None:
        """Call ``end`` on a thread of its own once a signal has come, and again until ``handled`` is called.

        It is called again because an executor forgets a shutdown that comes before it spins.
        """

        def wait() -> None:
            self._received.recv(1)
            while not self._handled.is_set():
                end()
                self._handled.wait(_RETRY_S)

        self._thread = threading.Thread(target=wait, daemon=True)
        self._thread.start()

    def handled(self) -> None:
        """Stop calling ``end``; it is not called any more after this has returned."""
        self._handled.set()
        self._sender.send(b"\0")
        self._thread.join()
