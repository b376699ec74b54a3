"""Statistics of a fault campaign: by fault, by link, and as a Markdown table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edge_worldmodel.evaluation.faults.fault_result import InjectionResult, rounded

PERIOD_S = 0.02
_GAP_S = 0.5


class Jitter:
    """Deviation of the intervals between commands from the period, by the stamps of their publisher."""

    def __init__(self) -> None:
        self.errors_s: list[float] = []
        self._last_ns: int | None = None

    def add(self, published_ns: int) -> None:
        """Add the next command; a longer gap is a restart and is not counted."""
        if self._last_ns is not None:
            interval_s = (published_ns - self._last_ns) * 1e-9
            if interval_s < _GAP_S:
                self.errors_s.append(abs(interval_s - PERIOD_S))
        self._last_ns = published_ns

    def interrupt(self) -> None:
        """Do not count the interval to the next command."""
        self._last_ns = None


def percentiles(values: Sequence[float], *, largest: bool = True) -> dict[str, float | None]:
    """Return p50, p999 and, if ``largest``, max; None without values."""
    names = ["p50", "p999", *(["max"] if largest else [])]
    if not len(values):
        return dict.fromkeys(names)
    found = np.percentile(values, [50.0, 99.9, 100.0])
    return {name: rounded(float(value)) for name, value in zip(names, found, strict=False)}


def summary(results: Sequence[InjectionResult]) -> dict[str, Any]:
    """Return counts, and percentiles of the times that apply."""
    pick: Callable[[str], list[float]] = lambda name: [v for o in results if (v := getattr(o, name)) is not None]  # noqa: E731
    figures: dict[str, Any] = {
        "injections": len(results),
        "stopped_s": percentiles(pick("stopped_s")),
        "contacts": sum(o.contacts for o in results),
        "missed": sum(o.missed for o in results),
        "false_stops": sum(o.false_stop for o in results),
        "not_recovered": sum(not o.recovered for o in results),
    }
    for name in ("resumed_s", "recovery_s", "base_standing_s", "longest_gap_s"):
        if values := pick(name):
            figures[name] = percentiles(values)
    return figures


def by_fault(results: Sequence[InjectionResult]) -> dict[str, Any]:
    """Return the summary of each fault and, under ``where``, of each place that it was injected into."""
    faults: dict[str, Any] = {}
    for fault in dict.fromkeys(o.fault for o in results):
        with_fault = [o for o in results if o.fault == fault]
        places = dict.fromkeys(o.where for o in with_fault)
        faults[fault] = summary(with_fault) | {
            "where": {place: summary([o for o in with_fault if o.where == place]) for place in sorted(places)}
        }
    return faults


LINKS = {
    "inputs": ("scan", "odom", "clock", "sim", "planner/plan", "rollout_planner"),
    "perception": ("perception/latent", "perception"),
}
"""Places whose loss the supervisor observes directly, and those one link before the planner."""
_LOSSES = (
    *("drop", "delay", "corrupt", "nan", "wrong_frame", "frozen_sensor", "clock_step"),
    *("simulation_pause", "sigkill", "sigstop"),
)
"""Faults that are a loss. A repeated plan expires by itself; among reordered plans the newest may be good."""


def by_link(results: Sequence[InjectionResult]) -> dict[str, Any]:
    """Return for each link the number of losses that led to a stop, and the times to it."""
    found: dict[str, Any] = {}
    for link, places in LINKS.items():
        lost = [o for o in results if o.where.split()[0] in places and o.fault in _LOSSES]
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
        for where, place in figures["where"].items():
            stopped = place["stopped_s"]
            times = [stopped["p50"], stopped["p999"], stopped["max"], place.get("resumed_s", {}).get("p50")]
            shown = " | ".join("" if t is None else f"{t:.3f}" for t in times)
            counts = f"{place['contacts']} | {place['missed']} | {place['false_stops']}"
            lines.append(f"| {fault} | {where} | {place['injections']} | {shown} | {counts} |")
    return "\n".join(lines)
