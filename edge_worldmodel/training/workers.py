"""Work spread over processes of this machine or over a Ray cluster; the results are the same as in one process."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from typing import Any, TypeVar

from edge_worldmodel.core.errors import EdgeWorldModelError

THREAD_LIMITS = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
_IN_FLIGHT_PER_WORKER = 4
"""Items submitted ahead to each Ray worker, so that it need not wait for the next one."""

T = TypeVar("T")
R = TypeVar("R")


class WorkerError(EdgeWorldModelError):
    """A worker process died."""


def use_one_opencv_thread() -> None:
    """Keep OpenCV from starting threads, because the worker processes already use all processors."""
    import cv2

    cv2.setNumThreads(1)


@contextmanager
def limited_threads() -> Iterator[None]:
    """Limit processes that are started inside this context to one thread each."""
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
    """Yield ``work(item)`` of all items, in any order, from several processes.

    When a worker dies, each item that was being worked on is tried once more, alone in a new process.

    Args:
        work: a function of a module, so that other processes can import it.
        items: what to work on.
        processes: how many items are worked on at a time.

    Raises:
        WorkerError: the process died again on the same item.
        Exception: what ``work`` raised.
    """
    todo = deque(items)
    with limited_threads():
        while todo:
            interrupted: list[T] = []
            yield from _until_a_worker_dies(work, todo, min(processes, len(todo)), interrupted)
            for item in interrupted:
                yield _try_again_alone(work, item)


def _until_a_worker_dies(work: Callable[[T], R], todo: deque[T], processes: int, interrupted: list[T]) -> Iterator[R]:
    """Take items from ``todo`` and yield their results; after a death, put unfinished ones into ``interrupted``."""
    running: dict[Future[R], T] = {}
    with _pool(processes) as pool:
        while (todo or running) and not interrupted:
            # Only running items are submitted, because all submitted ones fail when a worker dies.
            while todo and len(running) < processes:
                item = todo.popleft()
                try:
                    running[pool.submit(work, item)] = item
                except BrokenProcessPool:
                    interrupted.append(item)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                item = running.pop(future)
                try:
                    result = future.result()
                except BrokenProcessPool:
                    interrupted.append(item)
                else:
                    yield result
        interrupted.extend(running.values())


def _try_again_alone(work: Callable[[T], R], item: T) -> R:
    with _pool(1) as pool:
        try:
            return pool.submit(work, item).result()
        except BrokenProcessPool as error:
            raise WorkerError(
                f"worker processes died twice on {item}; is the memory full? Run the same command again to continue"
            ) from error


@contextmanager
def _pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Provide worker processes; after an error or Ctrl-C they are ended at once."""
    others = active_children()
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_prepare_worker)
    try:
        yield pool
    except BaseException:
        for process in active_children():
            if process not in others:
                process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends a worker without a traceback
    use_one_opencv_thread()


def spread_on_ray(work: Callable[[T], R], items: Iterable[T], processes: int, address: str) -> Iterator[R]:
    """Yield ``work(item)`` of all items, in any order, from a Ray cluster.

    Args:
        work: a function of a module, so that other machines can import it.
        items: what to work on; an item is taken when a worker is free.
        processes: number of workers of a local cluster.
        address: "local" starts a cluster on this machine; otherwise the address of a running cluster.

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
        raise WorkerError("a Ray worker died; run the same command again to continue") from error
    finally:
        ray.shutdown()


def _in_one_thread(work: Callable[[T], R], item: T) -> R:
    use_one_opencv_thread()
    return work(item)
