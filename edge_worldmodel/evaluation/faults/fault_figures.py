"""Figures of a fault campaign from its outcomes, and the table for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edge_worldmodel.evaluation.faults.fault_outcome import Outcome, rounded

PERIOD_S = 0.02
_GAP_S = 0.5


class Jitter:
    """How far the intervals between commands were from the period, as their publisher stamped them."""

    def __init__(self) -> None:
        self.errors_s: list[float] = []
        self._last_ns: int | None = None

    def add(self, published_ns: int) -> None:
        """Take the next command; a gap of a restart counts for nothing."""
        if self._last_ns is not None:
            interval_s = (published_ns - self._last_ns) * 1e-9
            if interval_s < _GAP_S:
                self.errors_s.append(abs(interval_s - PERIOD_S))
        self._last_ns = published_ns

    def interrupt(self) -> None:
        """Forget the last command."""
        self._last_ns = None


def percentiles(values: Sequence[float], *, largest: bool = True) -> dict[str, float | None]:
    """Return p50, p999 and, if wanted, max; None without values."""
    names = ["p50", "p999", *(["max"] if largest else [])]
    if not len(values):
        return dict.fromkeys(names)
    found = np.percentile(values, [50.0, 99.9, 100.0])
    return {name: rounded(float(value)) for name, value in zip(names, found, strict=False)}


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the figures of some outcomes."""
    pick: Callable[[str], list[float]] = lambda name: [v for o in outcomes if (v := getattr(o, name)) is not None]  # noqa: E731
    figures: dict[str, Any] = {
        "injections": len(outcomes),
        "stopped_s": percentiles(pick("stopped_s")),
        "contacts": sum(o.contacts for o in outcomes),
        "missed": sum(o.missed for o in outcomes),
        "false_stops": sum(o.false_stop for o in outcomes),
        "not_recovered": sum(not o.recovered for o in outcomes),
    }
    for name in ("resumed_s", "recovery_s", "base_standing_s"):
        if values := pick(name):
            figures[name] = percentiles(values)
    return figures


def by_fault(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the figures of each fault, and within it of each place."""
    faults: dict[str, Any] = {}
    for fault in dict.fromkeys(o.fault for o in outcomes):
        of_fault = [o for o in outcomes if o.fault == fault]
        places = dict.fromkeys(o.where for o in of_fault)
        faults[fault] = summary(of_fault) | {
            "where": {place: summary([o for o in of_fault if o.where == place]) for place in sorted(places)}
        }
    return faults


LINKS = {
    "inputs": ("scan", "odom", "clock", "sim", "planner/plan", "rollout_planner"),
    "perception": ("perception/latent", "perception"),
}
"""What the supervisor hears itself, and what is one link before the planner."""
_NOT_A_LOSS = ("frozen_planner", "reorder")
"""A plan that is repeated runs out by its own validity; of messages in wrong order the newest may be good."""


def by_link(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return how many losses each link suffered, and the times from there to the stop."""
    found: dict[str, Any] = {}
    for link, places in LINKS.items():
        lost = [o for o in outcomes if o.where.split()[0] in places and o.fault not in _NOT_A_LOSS]
        stopped = [o.stopped_s for o in lost if o.stopped_s is not None]
        found[link] = {"injections": len(stopped), **percentiles(stopped)}
    return found


def table(report: dict[str, Any]) -> str:
    """Return the report as a Markdown table, one line per fault and place."""
    lines = [
        "| fault | where | injections | stop p50 [s] | p99.9 | worst | resumed p50 | contacts | missed | false stop |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for fault, figures in report["faults"].items():
        for where, one in figures["where"].items():
            stopped = one["stopped_s"]
            times = [stopped["p50"], stopped["p999"], stopped["max"], one.get("resumed_s", {}).get("p50")]
            shown = " | ".join("" if t is None else f"{t:.3f}" for t in times)
            counts = f"{one['contacts']} | {one['missed']} | {one['false_stops']}"
            lines.append(f"| {fault} | {where} | {one['injections']} | {shown} | {counts} |")
    return "\n".join(lines)
