"""Writes span records as a trace for https://ui.perfetto.dev: the work of every thread, and the path of every frame.

The format is the Trace Event Format of Chrome in JSON, which Perfetto reads: a complete event ("X") for each span,
flow arrows ("s", "t", "f") along each frame from scan to supervisor, names of processes and threads ("M").
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_worldmodel.core.tensors import NETWORKS
from edge_worldmodel.evaluation.bench.span_log import Mark, NodeLog, Span

FRAME_PATH = (
    ("sim", "scan"), ("perception", "latent"), ("rollout_planner", "frame"), ("rollout_planner", "plan"),
    ("safety_supervisor", "plan"),
)  # fmt: skip
"""(node, mark) of the points that a frame passes, in order."""


def write_trace(logs: Mapping[str, NodeLog], begin_ns: int, end_ns: int, path: Path, about: Mapping[str, Any]) -> int:
    """Write the trace of one interval.

    Args:
        logs: records by node.
        begin_ns: of the interval (CLOCK_MONOTONIC).
        end_ns: of the interval.
        path: JSON file to write.
        about: what to note in the trace about the run.

    Returns:
        The number of spans in the trace.
    """
    touching = [s.begin_ns for log in logs.values() for s in log.spans if s.end_ns >= begin_ns and s.begin_ns < end_ns]
    origin_ns = min([begin_ns, *touching])  # times in a trace must not be negative
    interval = begin_ns, end_ns, origin_ns
    events = [*name_events(logs), *span_events(logs, *interval), *frame_arrows(logs, *interval)]
    trace = {"traceEvents": events, "displayTimeUnit": "ms", "otherData": dict(about)}
    path.write_text(json.dumps(trace), encoding="utf-8")
    return sum(event["ph"] == "X" for event in events)


def name_events(logs: Mapping[str, NodeLog]) -> list[dict[str, Any]]:
    """Return the names of nodes and threads; nodes are ordered as frames pass them."""
    order = [node for node, _ in FRAME_PATH]
    events: list[dict[str, Any]] = []
    for node, log in logs.items():
        rank = order.index(node) if node in order else len(order)
        events.append({"ph": "M", "name": "process_name", "pid": log.pid, "tid": 0, "args": {"name": node}})
        events.append({"ph": "M", "name": "process_sort_index", "pid": log.pid, "tid": 0, "args": {"sort_index": rank}})
        events += [
            {"ph": "M", "name": "thread_name", "pid": log.pid, "tid": row, "args": {"name": log.threads[thread]}}
            for thread, row in rows_of(log).items()
        ]
    return events


def span_events(logs: Mapping[str, NodeLog], begin_ns: int, end_ns: int, origin_ns: int) -> list[dict[str, Any]]:
    """Return the spans that overlap an interval, times in microseconds from the origin."""
    return [
        {
            "ph": "X", "name": span.name, "cat": category(span), "pid": log.pid, "tid": rows_of(log)[span.thread],
            "ts": (span.begin_ns - origin_ns) / 1e3, "dur": (span.end_ns - span.begin_ns) / 1e3,
        }
        for log in logs.values()
        for span in log.spans
        if span.end_ns >= begin_ns and span.begin_ns < end_ns
    ]  # fmt: skip


def frame_arrows(logs: Mapping[str, NodeLog], begin_ns: int, end_ns: int, origin_ns: int) -> list[dict[str, Any]]:
    """Return the flow arrows of the frames whose scan lies in an interval, up to the end of the interval."""
    points = [(logs[node], logs[node].first(name)) for node, name in FRAME_PATH if node in logs]
    events: list[dict[str, Any]] = []
    for number, (stamp, scan) in enumerate(points[0][1].items()):
        if begin_ns <= scan.at_ns < end_ns:
            passed = [(log, marks[stamp]) for log, marks in points if stamp in marks and marks[stamp].at_ns < end_ns]
            count = len(passed) if len(passed) > 1 else 0
            events += [_arrow(*passed[index], number, index, count, origin_ns) for index in range(count)]
    return events


def _arrow(log: NodeLog, mark: Mark, number: int, index: int, count: int, origin_ns: int) -> dict[str, Any]:
    kind = "s" if index == 0 else "f" if index == count - 1 else "t"
    arrow = {
        "ph": kind, "id": number, "name": "frame", "cat": "frame", "pid": log.pid, "tid": rows_of(log)[mark.thread],
        "ts": (mark.at_ns - origin_ns) / 1e3,
    }  # fmt: skip
    return {**arrow, "bp": "e"}


def rows_of(log: NodeLog) -> dict[int, int]:
    """Return a row number for each thread of a node, the main thread first; Python's ids are too long for a trace."""
    return {thread: row for row, thread in enumerate(sorted(log.threads, key=lambda t: log.threads[t] != "MainThread"))}


def category(span: Span) -> str:
    """Return ``network`` or ``callback``."""
    return "network" if span.name in NETWORKS else "callback"
