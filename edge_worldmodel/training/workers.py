"""A handful of worker processes that are given one thing at a time; one that dies is noticed and replaced.

Or a Ray cluster, on this machine or on many, with the same result.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from edge_worldmodel.core.errors import EdgeWorldModelError

THREAD_LIMITS = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
_CONTEXT = get_context("spawn")
_TRIES = 2
_IN_FLIGHT_PER_WORKER = 4

T = TypeVar("T")
R = TypeVar("R")


class WorkerError(EdgeWorldModelError):
    """A worker process died."""


@dataclass
class _Job(Generic[T]):
    item: T
    tries: int = 0


class _Worker:
    """One process and the line to it."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.line, theirs = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(target=_serve, args=(theirs, work), daemon=True)
        self.process.start()
        theirs.close()  # so that the end of the process is the end of the line

    def stop(self) -> None:
        self.line.close()
        self.process.terminate()
        self.process.join()


def _serve(line: Connection, work: Callable[[Any], Any]) -> None:
    """Answer until the line is closed; the parent alone decides about Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    one_thread_only()
    try:
        while True:
            try:
                answer = work(line.recv())
            except (EOFError, OSError):
                raise
            except Exception as error:
                answer = error
            line.send(answer)
    except (EOFError, OSError):
        return


def one_thread_only() -> None:
    """Keep OpenCV from starting threads of its own: the episodes are what runs side by side."""
    import cv2

    cv2.setNumThreads(1)


@contextmanager
def limited_threads() -> Iterator[None]:
    """Let processes that are started within keep to one thread each."""
    before = {name: os.environ.get(name) for name in THREAD_LIMITS}
    os.environ.update(THREAD_LIMITS)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def spread(work: Callable[[T], R], items: Sequence[T], processes: int) -> Iterator[R]:
    """Yield ``work(item)`` of all items, in any order, from so many processes.

    Raises:
        WorkerError: twice, the process died that worked on the same item.
        Exception: what ``work`` raised.
    """
    todo = deque(_Job(item) for item in items)
    busy: dict[Any, tuple[_Worker, _Job[T]]] = {}
    try:
        with limited_threads():
            idle = [_Worker(work) for _ in range(min(processes, len(todo)))]
            while todo or busy:
                while todo and idle:
                    worker, job = idle.pop(), todo.popleft()
                    busy[worker.line] = worker, job
                    _send(worker, job)
                for line in connection.wait(list(busy)):
                    worker, job = busy.pop(line)
                    answer = _receive(worker, job)
                    if answer is _DIED:
                        todo.append(job)
                        worker.stop()
                        worker = _Worker(work)
                    idle.append(worker)
                    if answer is not _DIED:
                        yield answer
    finally:
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.stop()


_DIED: Any = object()


def _send(worker: _Worker, job: _Job[Any]) -> None:
    job.tries += 1
    try:
        worker.line.send(job.item)
    except OSError:
        return  # it died; waiting for the answer will show


def _receive(worker: _Worker, job: _Job[Any]) -> Any:
    try:
        answer = worker.line.recv()
    except (EOFError, OSError) as error:
        if job.tries < _TRIES:
            return _DIED
        worker.process.join()
        raise WorkerError(
            f"worker processes died (exit status {worker.process.exitcode}) twice on {job.item}; out of memory? The"
            " same command goes on from here"
        ) from error
    if isinstance(answer, Exception):
        raise answer
    return answer


def spread_on_ray(work: Callable[[T], R], items: Iterable[T], processes: int, address: str) -> Iterator[R]:
    """Yield ``work(item)`` of all items, in any order, from a Ray cluster.

    Args:
        work: a function of a module, so that workers elsewhere find it.
        items: taken as workers get free.
        processes: workers of a cluster that is started here.
        address: "local": a cluster on this machine with ``processes`` workers; else the address of one.

    Raises:
        WorkerError: Ray is not installed, or a worker process died.
        Exception: what ``work`` raised.
    """
    try:
        import ray
    except ImportError as error:
        raise WorkerError("--ray needs the package ray (pip install 'edge_worldmodel[cluster]')") from error
    limits = {"env_vars": THREAD_LIMITS}
    if address == "local":
        ray.init(num_cpus=processes, include_dashboard=False, runtime_env=limits, log_to_driver=False)
    else:
        ray.init(address=address, runtime_env=limits)
    try:
        remote = ray.remote(num_cpus=1)(_in_one_thread)
        waiting: list[Any] = []
        most = _IN_FLIGHT_PER_WORKER * int(ray.cluster_resources().get("CPU", processes))
        for item in items:
            waiting.append(remote.remote(work, item))
            if len(waiting) >= most:
                ready, waiting = ray.wait(waiting)
                yield from ray.get(ready)
        while waiting:
            ready, waiting = ray.wait(waiting)
            yield from ray.get(ready)
    except ray.exceptions.WorkerCrashedError as error:
        raise WorkerError("a Ray worker died; run the same command again to go on from here") from error
    finally:
        ray.shutdown()


def _in_one_thread(work: Callable[[T], R], item: T) -> R:
    """Work in a Ray worker, which nobody has told yet that it shares the machine."""
    one_thread_only()
    return work(item)
