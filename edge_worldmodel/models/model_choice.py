"""Which model this device runs: the best that keeps the wanted service level, from figures measured here.

How good a model is, its manifest says: Brier scores on simulated test worlds that the evaluation wrote into it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_worldmodel.core.config import Config, param

_DATA, _METHOD = "sim", "ours"
_SCORES = ("brier_reach", "path_brier")
"""Of cells and of paths, each a mean over the horizons; both are proper scores: exaggerating gains nothing."""
_AS_GOOD = 1.01
"""Scores closer than this are one: 120 clips tell no finer, and a quantised copy is as good as its source."""


@dataclass(frozen=True)
class ServiceLevel(Config):
    """What a tick may cost."""

    latency_p95_s: float = param(0.1, "Encoding, all steps and decoding: 95 of 100 ticks within this.", minimum=1e-3)
    memory_mb: float = param(300.0, "Peak memory of a process that runs the networks, its libraries too.", minimum=1.0)
    futures: int = param(32, "Imagined futures of a tick: maneuvers times futures.", minimum=1, maximum=2048)
    steps: int = param(2, "Denoising steps of a tick; the planner takes 2 from pure noise.", minimum=1, maximum=64)


@dataclass(frozen=True)
class VariantFigures:
    """One variant on this device; ``problem`` says why there are no figures.

    ``error`` is what quality_of its manifest says, lower is better; None: it was never evaluated.
    """

    variant: str
    model_id: str = ""
    size_bytes: int = 0
    p50_s: float = 0.0
    p95_s: float = 0.0
    p99_s: float = 0.0
    memory_mb: float = 0.0
    problem: str = ""
    error: float | None = None


@dataclass(frozen=True)
class ModelChoice:
    """A variant, or none, and why; ``met`` tells whether it keeps the service level."""

    variant: str
    met: bool
    why: str


def quality_of(manifest: Mapping[str, Any]) -> float | None:
    """Return the error of a model's forecasts that its manifest claims, lower is better; None where it has none."""
    try:
        scores = manifest["quality"]["results"][_DATA][_METHOD]
        error = sum(math.fsum(scores[name]) / len(scores[name]) for name in _SCORES)
    except (KeyError, TypeError, ZeroDivisionError):
        return None
    return error if math.isfinite(error) else None


def choose(measured: Sequence[VariantFigures], level: ServiceLevel) -> ModelChoice:
    """Choose the best variant that keeps ``level``, the smallest of equals; where none does, the quickest."""
    usable = [one for one in measured if not one.problem]
    if not usable:
        causes = "; ".join(f"{one.variant}: {one.problem}" for one in measured)
        return ModelChoice("", False, f"no model can be used here ({causes or 'none was found'})")
    keeping = [one for one in usable if not _misses(one, level)]
    refused = "".join(f"; {_verdict(one, level)}" for one in sorted(measured, key=_size) if one not in keeping)
    if not keeping:
        best = min(usable, key=lambda one: (one.p95_s, one.size_bytes))
        return ModelChoice(best.variant, False, f"none keeps {_wanted(level)}; {best.variant} is the quickest{refused}")
    best, known = _best(keeping)
    others = "".join(f"; {_compared(one, best)}" for one in sorted(keeping, key=_size) if one is not best and known)
    rank = "best" if known else "smallest"
    doubt = "" if known else "; how good they are is not known"
    return ModelChoice(
        best.variant, True, f"{best.variant} is the {rank} that keeps {_wanted(level)}: {_figures(best)}{others}{doubt}"
        f"{refused}"
    )  # fmt: skip


def _best(keeping: Sequence[VariantFigures]) -> tuple[VariantFigures, bool]:
    """Return the smallest of those as good as the best, and whether how good they are is known of any."""
    errors = [one.error for one in keeping if one.error is not None]
    if not errors:
        return min(keeping, key=_size), False
    enough = _AS_GOOD * min(errors)
    return min((one for one in keeping if one.error is not None and one.error <= enough), key=_size), True


def _compared(one: VariantFigures, best: VariantFigures) -> str:
    if one.error is None or best.error is None:
        return f"{one.variant} keeps it, but how good it is was never measured"
    if one.error <= _AS_GOOD * best.error and best.error <= _AS_GOOD * one.error:
        return f"{one.variant} is as good (error {one.error:.3f}) and larger"
    return f"{one.variant} keeps it and is worse (error {one.error:.3f})"


def _size(one: VariantFigures) -> tuple[int, float, str]:
    return one.size_bytes, one.p95_s, one.variant


def _misses(one: VariantFigures, level: ServiceLevel) -> list[str]:
    misses = []
    # Written so that NaN misses.
    if not one.p95_s <= level.latency_p95_s:
        misses.append(f"p95 {1e3 * one.p95_s:.0f} ms")
    if not one.memory_mb <= level.memory_mb:
        misses.append(f"{one.memory_mb:.0f} MB")
    return misses


def _verdict(one: VariantFigures, level: ServiceLevel) -> str:
    if one.problem:
        return f"{one.variant} cannot be used: {one.problem}"
    return f"{one.variant} misses it: {' and '.join(_misses(one, level))}"


def _wanted(level: ServiceLevel) -> str:
    work = f"{level.futures} futures, {level.steps} steps"
    return f"p95 {1e3 * level.latency_p95_s:.0f} ms and {level.memory_mb:.0f} MB ({work})"


def _figures(one: VariantFigures) -> str:
    error = "" if one.error is None else f"forecast error {one.error:.3f}, "
    return f"{error}p95 {1e3 * one.p95_s:.0f} ms, {one.memory_mb:.0f} MB, files {one.size_bytes / 1e6:.1f} MB"
