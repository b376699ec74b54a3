"""Which model this device runs: the smallest that keeps the wanted service level, from figures measured here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_worldmodel.core.config import Config, param


@dataclass(frozen=True)
class ServiceLevel(Config):
    """What a tick may cost."""

    latency_p95_s: float = param(0.1, "Encoding, all steps and decoding: 95 of 100 ticks within this.", minimum=1e-3)
    memory_mb: float = param(300.0, "Peak memory of a process that runs the networks, its libraries too.", minimum=1.0)
    futures: int = param(32, "Imagined futures of a tick: maneuvers times futures.", minimum=1, maximum=2048)
    steps: int = param(2, "Denoising steps of a tick; the planner takes 2 from pure noise.", minimum=1, maximum=64)


@dataclass(frozen=True)
class Measured:
    """One variant on this device; ``problem`` says why there are no figures."""

    variant: str
    model_id: str = ""
    size_bytes: int = 0
    p50_s: float = 0.0
    p95_s: float = 0.0
    p99_s: float = 0.0
    memory_mb: float = 0.0
    problem: str = ""


@dataclass(frozen=True)
class Choice:
    """A variant, or none, and why; ``met`` tells whether it keeps the service level."""

    variant: str
    met: bool
    why: str


def choose(measured: Sequence[Measured], level: ServiceLevel) -> Choice:
    """Choose the smallest variant that keeps ``level``; where none does, the quickest, and say so."""
    usable = [one for one in measured if not one.problem]
    if not usable:
        causes = "; ".join(f"{one.variant}: {one.problem}" for one in measured)
        return Choice("", False, f"no model can be used here ({causes or 'none was found'})")
    keeping = [one for one in usable if not _misses(one, level)]
    refused = "".join(f"; {_verdict(one, level)}" for one in sorted(measured, key=_size) if one not in keeping)
    if keeping:
        best = min(keeping, key=_size)
        return Choice(
            best.variant, True, f"{best.variant} is the smallest that keeps {_wanted(level)}: {_figures(best)}{refused}"
        )
    best = min(usable, key=lambda one: (one.p95_s, one.size_bytes))
    return Choice(best.variant, False, f"none keeps {_wanted(level)}; {best.variant} is the quickest{refused}")


def _size(one: Measured) -> tuple[int, float, str]:
    return one.size_bytes, one.p95_s, one.variant


def _misses(one: Measured, level: ServiceLevel) -> list[str]:
    misses = []
    # Written so that NaN misses.
    if not one.p95_s <= level.latency_p95_s:
        misses.append(f"p95 {1e3 * one.p95_s:.0f} ms")
    if not one.memory_mb <= level.memory_mb:
        misses.append(f"{one.memory_mb:.0f} MB")
    return misses


def _verdict(one: Measured, level: ServiceLevel) -> str:
    if one.problem:
        return f"{one.variant} cannot be used: {one.problem}"
    return f"{one.variant} misses it: {' and '.join(_misses(one, level))}"


def _wanted(level: ServiceLevel) -> str:
    work = f"{level.futures} futures, {level.steps} steps"
    return f"p95 {1e3 * level.latency_p95_s:.0f} ms and {level.memory_mb:.0f} MB ({work})"


def _figures(one: Measured) -> str:
    return f"p95 {1e3 * one.p95_s:.0f} ms, {one.memory_mb:.0f} MB, files {one.size_bytes / 1e6:.1f} MB"
