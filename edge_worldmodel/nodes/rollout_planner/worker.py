"""A worker thread with a queue of one: a waiting job is replaced by a newer one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

JobT = TypeVar("JobT")


class LatestWorker(Generic[JobT]):
    """Runs ``work(job)`` on one thread.

    Args:
        work: called with each job that is run; it must not raise.

    Attributes:
        dropped: number of jobs that were replaced before they began.
    """

    def __init__(self, work: Callable[[JobT], None]) -> None:
        self._work = work
        self._pending: JobT | None = None
        self._wake = threading.Condition()
        self._closed = False
        self._began_s: float | None = None
        self.dropped = 0
        # A daemon thread, so that a backend that hangs does not keep the process from ending.
        self._thread = threading.Thread(target=self._loop, name="worker", daemon=True)
        self._thread.start()

    def submit(self, job: JobT) -> None:
        """Hand over a job; does not wait."""
        with self._wake:
            self.dropped += self._pending is not None
            self._pending = job
            self._wake.notify()

    def busy_s(self) -> float:
        """Return for how long the present job has been running; 0 between jobs."""
        began_s = self._began_s
        return 0.0 if began_s is None else time.perf_counter() - began_s

    def close(self, timeout_s: float = 0.5) -> None:
        """Stop; wait at most ``timeout_s`` for the running job."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join(timeout_s)

    def _loop(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closed or self._pending is not None)
                if self._closed:
                    return
                job, self._pending = self._pending, None
            if job is not None:
                self._began_s = time.perf_counter()
                self._work(job)
                self._began_s = None
