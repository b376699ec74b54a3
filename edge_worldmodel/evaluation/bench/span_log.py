"""What nodes left in their span records (``nodes/spans.py``), and what became of every frame on its way."""

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

PARTS = ("load", "preprocess", "compute", "postprocess", "communication")
"""The five parts that every frame's way from sensor to command is divided into; they add up to it."""
CHAIN = ("perception", "rollout_planner", "safety_supervisor")


class SpanLogError(EdgeWorldModelError):
    """A node left no record, or one that cannot be read."""


class Span(NamedTuple):
    """One block of work; CLOCK_MONOTONIC."""

    name: str
    thread: int
    begin_ns: int
    end_ns: int


class Mark(NamedTuple):
    """The frame with this stamp was here at this moment."""

    name: str
    thread: int
    at_ns: int
    stamp_ns: int


@dataclass(frozen=True)
class NodeLog:
    """What one node left; spans in the order in which they began."""

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
        """Return the spans that begin within a time."""
        low, high = bisect.bisect_left(self._begins, begin_ns), bisect.bisect_right(self._begins, end_ns)
        return list(self.spans[low:high])

    def around(self, mark: Mark) -> Span | None:
        """Return the outermost span of the mark's thread that the mark lies in."""
        position = bisect.bisect_right(self._begins, mark.at_ns)
        # Spans of one thread are nested or apart; a second is longer than any of them that matters here.
        for span in self.within(mark.at_ns - 1_000_000_000, self._begins[position - 1] if position else 0):
            if span.thread == mark.thread and span.end_ns >= mark.at_ns:
                return span
        return None


@dataclass(frozen=True)
class Journey:
    """One frame from its scan to the first command of its plan, in seconds; the parts add up to ``total_s``."""

    stamp_ns: int
    began_ns: int
    total_s: float
    parts_s: Mapping[str, float]
    imagined: bool
    denoising_calls: int


def read_log(path: Path) -> NodeLog:
    """Read one node's record.

    Raises:
        SpanLogError: it is not there or damaged.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        spans = sorted((Span(*item) for item in told["spans"]), key=lambda span: (span.begin_ns, -span.end_ns))
        return NodeLog(
            told["node"],
            told["pid"],
            told["process_began_ns"],
            {int(number): name for number, name in told["threads"].items()},
            tuple(spans),
            tuple(sorted((Mark(*item) for item in told["marks"]), key=lambda mark: mark.at_ns)),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpanLogError(f"no usable span record {path}: {error}; was the node killed? See graph.log") from error


def read_logs(folder: Path, needed: Sequence[str] = ("sim", *CHAIN)) -> dict[str, NodeLog]:
    """Return all records in a folder by node.

    Raises:
        SpanLogError: one is damaged, or that of a node that is needed is missing; by default those that a frame passes.
    """
    logs = {log.node: log for log in map(read_log, sorted(folder.glob("*.spans.json")))}
    missing = set(needed) - set(logs)
    if missing:
        raise SpanLogError(f"{', '.join(sorted(missing))} left no span record in {folder}; see graph.log there")
    return logs


def journeys(logs: Mapping[str, NodeLog], since_ns: int = 0) -> list[Journey]:
    """Return the frames that came through from scan to command, in order."""
    scans, latents = logs["sim"].first("scan"), logs["perception"].first("latent")
    frames, plans = (logs["rollout_planner"].first(name) for name in ("frame", "plan"))
    taken = logs["safety_supervisor"].first("plan")
    commands = [mark for mark in logs["safety_supervisor"].marks if mark.name == "command"]
    whole = sorted(set(scans) & set(latents) & set(frames) & set(plans) & set(taken))
    found = (
        _journey(logs, [marks[stamp] for marks in (scans, latents, frames, plans, taken)], commands)
        for stamp in whole
        if scans[stamp].at_ns >= since_ns
    )
    return [journey for journey in found if journey is not None]


def _journey(logs: Mapping[str, NodeLog], marks: list[Mark], commands: list[Mark]) -> Journey | None:
    """Divide one frame's way; None where its end was not recorded."""
    scan, latent, frame, plan, taken = marks
    perception, planner, supervisor = (logs[name] for name in CHAIN)
    following = bisect.bisect_left(commands, taken.at_ns, key=lambda mark: mark.at_ns)
    if following == len(commands):
        return None
    # The plan may have been taken between two ticks; the tick that commands is the one that worked on it.
    command = commands[following]
    looked, thought, ticked = perception.around(latent), planner.around(plan), supervisor.around(command)
    if looked is None or thought is None or ticked is None:
        return None
    commanded_ns, took_ns = command.at_ns, max(ticked.begin_ns, plan.at_ns)
    encoded = networks_in(perception, looked, latent.at_ns)
    imagined = networks_in(planner, thought, plan.at_ns)
    proposed_ns = imagined[0].begin_ns if imagined else plan.at_ns
    parts_ns = {
        "load": thought.begin_ns - frame.at_ns,
        "preprocess": latent.at_ns - looked.begin_ns - lasting_ns(encoded) + proposed_ns - thought.begin_ns,
        "compute": lasting_ns(encoded) + lasting_ns(imagined),
        "postprocess": plan.at_ns - proposed_ns - lasting_ns(imagined) + commanded_ns - took_ns,
        "communication": (looked.begin_ns - scan.at_ns) + (frame.at_ns - latent.at_ns) + (took_ns - plan.at_ns),
    }
    parts_s = {part: parts_ns[part] * 1e-9 for part in PARTS}
    calls = sum(span.name == "denoiser" for span in imagined)
    total_s = (commanded_ns - scan.at_ns) * 1e-9
    return Journey(scan.stamp_ns, scan.at_ns, total_s, parts_s, bool(imagined), calls)


def networks_in(log: NodeLog, outer: Span, until_ns: int) -> list[Span]:
    """Return the network calls inside a span, up to a moment."""
    return [s for s in log.within(outer.begin_ns, until_ns) if s.thread == outer.thread and s.name in NETWORKS]


def lasting_ns(spans: Iterable[Span]) -> int:
    """Return how long spans last together."""
    return sum(span.end_ns - span.begin_ns for span in spans)
