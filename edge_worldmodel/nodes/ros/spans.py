"""Records the times of callbacks, network calls and frames of a node, for ``edge-worldmodel profile``.

Recording is off unless EDGE_WORLDMODEL_SPANS names a folder. Then every node writes ``NODE.spans.json`` there when it
ends, with times of CLOCK_MONOTONIC, which all processes of one machine share. If the package ``nvtx`` is installed, the
spans are also NVTX ranges, which Nsight Systems shows beside the work of a GPU.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from edge_worldmodel.core.time_units import to_nanoseconds

FOLDER = "EDGE_WORLDMODEL_SPANS"
"""Environment variable with the folder for the record; not set: nothing is recorded."""
_MAX_SPANS = 500_000
_NO_SPAN = contextlib.nullcontext()
CallbackT = TypeVar("CallbackT", bound=Callable[..., Any])


class SpanRecord:
    """Spans and marks of one process; the oldest are dropped when there are too many.

    Args:
        node: name of the node in this process.
        folder: where the record is written.
        ranges: module nvtx, or None.
    """

    def __init__(self, node: str, folder: Path, ranges: Any = None) -> None:
        self._node, self._folder, self._ranges = node, folder, ranges
        self._spans: deque[tuple[str, int, int, int]] = deque(maxlen=_MAX_SPANS)
        self._marks: deque[tuple[str, int, int, int]] = deque(maxlen=_MAX_SPANS)
        self._threads: dict[int, str] = {}
        self._seen: set[str] = set()

    @contextlib.contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Record begin and end of the block, also when it raises."""
        if self._ranges is not None:
            self._ranges.push_range(name)
        begin_ns = time.monotonic_ns()
        try:
            yield
        finally:
            self._spans.append((name, self._thread(), begin_ns, time.monotonic_ns()))
            if self._ranges is not None:
                self._ranges.pop_range()

    def mark(self, name: str, stamp_ns: int) -> None:
        """Record that the frame with this stamp is here; the first mark of a name creates the file NODE.NAME.seen."""
        self._marks.append((name, self._thread(), time.monotonic_ns(), stamp_ns))
        if name not in self._seen:
            self._seen.add(name)
            with contextlib.suppress(OSError):
                (self._folder / f"{self._node}.{name}.seen").touch()

    def write(self) -> None:
        """Write the record to the folder; raises OSError."""
        record = {
            "node": self._node,
            "pid": os.getpid(),
            "process_began_ns": process_began_ns(),
            "threads": self._threads,
            "spans": list(self._spans),
            "marks": list(self._marks),
        }
        (self._folder / f"{self._node}.spans.json").write_text(json.dumps(record), encoding="utf-8")

    def _thread(self) -> int:
        number = threading.get_ident()
        if number not in self._threads:
            self._threads[number] = threading.current_thread().name
        return number


_record: SpanRecord | None = None


def start(node: str) -> None:
    """Begin to record in this process if EDGE_WORLDMODEL_SPANS is set."""
    global _record  # noqa: PLW0603 - one process, one node, one record
    if folder := os.environ.get(FOLDER):
        _record = SpanRecord(node, Path(folder), _nvtx())


def finish() -> None:
    """Write the record; a record that cannot be written must not keep a node from ending."""
    global _record  # noqa: PLW0603
    record, _record = _record, None
    if record is not None:
        with contextlib.suppress(OSError):
            record.write()


def span(name: str) -> contextlib.AbstractContextManager[None]:
    """Return a context manager that records a span, or does nothing when recording is off."""
    return _NO_SPAN if _record is None else _record.span(name)


def mark(name: str, stamp_ns: int) -> None:
    """Record that the frame with this stamp is here now, if recording is on."""
    if _record is not None:
        _record.mark(name, stamp_ns)


def spanned(method: CallbackT) -> CallbackT:
    """Decorate a method so that each call is recorded as a span with its name."""
    name = method.__name__.lstrip("_")

    @functools.wraps(method)
    def wrapper(*args: Any, **more: Any) -> Any:
        if _record is None:
            return method(*args, **more)
        with _record.span(name):
            return method(*args, **more)

    return wrapper  # type: ignore[return-value]


def recording() -> bool:
    """Return whether this process records spans."""
    return _record is not None


def process_began_ns() -> int:
    """Return the start time of this process on CLOCK_MONOTONIC, accurate to a clock tick (10 ms)."""
    ticks = int(Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.monotonic_ns() - to_nanoseconds(age_s)


def _nvtx() -> Any:
    try:
        import nvtx
    except ImportError:
        return None
    return nvtx
