"""Reads the span records of nodes (``nodes/ros/spans.py``) and divides the latency of every frame into five parts."""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from edge_worldmodel.core.errors import EdgeWorldModelError
from edge_worldmodel.core.tensors import NETWORKS
from edge_worldmodel.core.time_units import to_seconds

PARTS = ("load", "preprocess", "compute", "postprocess", "communication")
"""The parts of a frame's latency from sensor to command; they add up to it."""
CHAIN = ("perception", "rollout_planner", "safety_supervisor")


class SpanLogError(EdgeWorldModelError):
    """A span record is missing or damaged."""


class Span(NamedTuple):
    """One piece of work of a thread; CLOCK_MONOTONIC."""

    name: str
    thread: int
    begin_ns: int
    end_ns: int


class Mark(NamedTuple):
    """The moment (CLOCK_MONOTONIC) at which the frame with this stamp passed a named point."""

    name: str
    thread: int
    at_ns: int
    stamp_ns: int


@dataclass(frozen=True)
class NodeLog:
    """The record of one node; spans are sorted by their begin, marks by their time."""

    node: str
    pid: int
    process_began_ns: int
    threads: Mapping[int, str]
    spans: tuple[Span, ...]
    marks: tuple[Mark, ...]

    @cached_property
    def _begins(self) -> list[int]:
        return [span.begin_ns for span in self.spans]

    def first(self, name: str) -> dict[int, Mark]:
        """Return the first mark of a name for each stamp."""
        found: dict[int, Mark] = {}
        for mark in self.marks:
            if mark.name == name:
                found.setdefault(mark.stamp_ns, mark)
        return found

    def within(self, begin_ns: int, end_ns: int) -> list[Span]:
        """Return the spans that begin between two moments."""
        low, high = bisect.bisect_left(self._begins, begin_ns), bisect.bisect_right(self._begins, end_ns)
        return list(self.spans[low:high])

    def enclosing_span(self, mark: Mark) -> Span | None:
        """Return the outermost span of the mark's thread that contains the mark."""
        position = bisect.bisect_right(self._begins, mark.at_ns)
        # Spans of one thread are nested or disjoint, and those with marks last less than a second.
        for span in self.within(mark.at_ns - 1_000_000_000, self._begins[position - 1] if position else 0):
            if span.thread == mark.thread and span.end_ns >= mark.at_ns:
                return span
        return None


@dataclass(frozen=True)
class FrameLatency:
    """Latency of one frame from its scan to the first command of its plan.

    Attributes:
        stamp_ns: of the scan.
        began_ns: when the scan was published (CLOCK_MONOTONIC).
        total_s: from there to the command.
        parts_s: by the names in ``PARTS``; they add up to ``total_s``.
        imagined: whether the plan is a new one, not the last one used again.
        denoising_calls: of the denoiser.
    """

    stamp_ns: int
    began_ns: int
    total_s: float
    parts_s: Mapping[str, float]
    imagined: bool
    denoising_calls: int


def read_log(path: Path) -> NodeLog:
    """Read one node's record.

    Raises:
        SpanLogError: the record is missing or damaged.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        spans = sorted((Span(*item) for item in record["spans"]), key=lambda span: (span.begin_ns, -span.end_ns))
        return NodeLog(
            record["node"],
            record["pid"],
            record["process_began_ns"],
            {int(number): name for number, name in record["threads"].items()},
            tuple(spans),
            tuple(sorted((Mark(*item) for item in record["marks"]), key=lambda mark: mark.at_ns)),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpanLogError(
            f"no usable span record {path}: {error}; if the node was killed, graph.log shows why"
        ) from error


def read_logs(folder: Path, needed: Sequence[str] = ("sim", *CHAIN)) -> dict[str, NodeLog]:
    """Return the records in a folder by node.

    Raises:
        SpanLogError: a record is damaged, or missing for a needed node (default: the nodes that a frame passes).
    """
    logs = {log.node: log for log in map(read_log, sorted(folder.glob("*.spans.json")))}
    missing = set(needed) - set(logs)
    if missing:
        raise SpanLogError(f"{', '.join(sorted(missing))} left no span record in {folder}; see graph.log there")
    return logs


def frame_latencies(logs: Mapping[str, NodeLog], since_ns: int = 0) -> list[FrameLatency]:
    """Return the latencies of all frames that led to a command, in the order of their stamps."""
    scans, latents = logs["sim"].first("scan"), logs["perception"].first("latent")
    frames, plans = (logs["rollout_planner"].first(name) for name in ("frame", "plan"))
    received = logs["safety_supervisor"].first("plan")
    commands = [mark for mark in logs["safety_supervisor"].marks if mark.name == "command"]
    complete = sorted(set(scans) & set(latents) & set(frames) & set(plans) & set(received))
    found = (
        _frame_latency(logs, [marks[stamp] for marks in (scans, latents, frames, plans, received)], commands)
        for stamp in complete
        if scans[stamp].at_ns >= since_ns
    )
    return [frame for frame in found if frame is not None]


def _frame_latency(logs: Mapping[str, NodeLog], marks: list[Mark], commands: list[Mark]) -> FrameLatency | None:
    """Divide one frame's latency into its parts; None where its end was not recorded."""
    scan, latent, frame, plan, received = marks
    perception, planner, supervisor = (logs[name] for name in CHAIN)
    next_command = bisect.bisect_left(commands, received.at_ns, key=lambda mark: mark.at_ns)
    if next_command == len(commands):
        return None
    # A plan may arrive between two ticks of the supervisor; the next tick uses it.
    command = commands[next_command]
    observing, planning = perception.enclosing_span(latent), planner.enclosing_span(plan)
    supervising = supervisor.enclosing_span(command)
    if observing is None or planning is None or supervising is None:
        return None
    supervised_ns = max(supervising.begin_ns, plan.at_ns)
    encoding = networks_in(perception, observing, latent.at_ns)
    imagining = networks_in(planner, planning, plan.at_ns)
    proposed_ns = imagining[0].begin_ns if imagining else plan.at_ns
    parts_ns = {
        "load": planning.begin_ns - frame.at_ns,
        "preprocess": latent.at_ns - observing.begin_ns - total_ns(encoding) + proposed_ns - planning.begin_ns,
        "compute": total_ns(encoding) + total_ns(imagining),
        "postprocess": plan.at_ns - proposed_ns - total_ns(imagining) + command.at_ns - supervised_ns,
        "communication": (observing.begin_ns - scan.at_ns)
        + (frame.at_ns - latent.at_ns)
        + (supervised_ns - plan.at_ns),
    }
    parts_s = {part: to_seconds(parts_ns[part]) for part in PARTS}
    calls = sum(span.name == "denoiser" for span in imagining)
    total_s = to_seconds(command.at_ns - scan.at_ns)
    return FrameLatency(scan.stamp_ns, scan.at_ns, total_s, parts_s, bool(imagining), calls)


def networks_in(log: NodeLog, outer: Span, until_ns: int) -> list[Span]:
    """Return the network calls inside a span that begin before a moment."""
    return [s for s in log.within(outer.begin_ns, until_ns) if s.thread == outer.thread and s.name in NETWORKS]


def total_ns(spans: Iterable[Span]) -> int:
    """Return the sum of the durations of spans."""
    return sum(span.end_ns - span.begin_ns for span in spans)
