"""Chooses the model for this device: the best one that keeps the service level, from figures measured here.

The quality of a model comes from its manifest: Brier scores on simulated test worlds, written by the evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_worldmodel.core.config import Config, param

_DATA, _METHOD = "sim", "ours"
_SCORES = ("brier_reach", "path_brier")
"""Brier scores of cells and of paths, each averaged over the horizons; both are proper scores."""
_AS_GOOD = 1.01
"""Errors within this factor count as equal: 120 clips do not resolve smaller differences."""


@dataclass(frozen=True)
class ServiceLevel(Config):
    """Limits for one tick, and the work that a tick does."""

    latency_p95_s: float = param(
        0.1, "Limit for 95 of 100 ticks: encoding, all denoising steps, decoding.", minimum=1e-3
    )
    memory_mb: float = param(300.0, "Limit for the peak memory of the process that runs the networks.", minimum=1.0)
    futures: int = param(32, "Imagined futures per tick: maneuvers times futures of each.", minimum=1, maximum=2048)
    steps: int = param(2, "Denoising steps per tick; the planner takes 2 from pure noise.", minimum=1, maximum=64)


@dataclass(frozen=True)
class VariantFigures:
    """Figures of one model variant on this device.

    Attributes:
        problem: why the variant cannot be used; empty when it can.
        error: forecast error from its manifest (see quality_of), lower is better; None when it was never evaluated.
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
    """The chosen variant (empty for none), whether it keeps the service level, and the reason in words."""

    variant: str
    met: bool
    why: str


def quality_of(manifest: Mapping[str, Any]) -> float | None:
    """Return the forecast error from a manifest, lower is better; None when the model was never evaluated."""
    try:
        scores = manifest["quality"]["results"][_DATA][_METHOD]
        error = sum(math.fsum(scores[name]) / len(scores[name]) for name in _SCORES)
    except (KeyError, TypeError, ZeroDivisionError):
        return None
    return error if math.isfinite(error) else None


def choose(measured: Sequence[VariantFigures], level: ServiceLevel) -> ModelChoice:
    """Choose the best variant that keeps ``level`` (of equally good ones the smallest), or the fastest if none does."""
    usable = [figures for figures in measured if not figures.problem]
    if not usable:
        causes = "; ".join(f"{figures.variant}: {figures.problem}" for figures in measured)
        return ModelChoice("", False, f"no model can be used here ({causes or 'none was found'})")
    keeping = [figures for figures in usable if not _misses(figures, level)]
    refused = "".join(
        f"; {_verdict(figures, level)}" for figures in sorted(measured, key=_size) if figures not in keeping
    )
    if not keeping:
        best = min(usable, key=lambda figures: (figures.p95_s, figures.size_bytes))
        return ModelChoice(best.variant, False, f"none keeps {_wanted(level)}; {best.variant} is the quickest{refused}")
    best, known = _best(keeping)
    others = "".join(
        f"; {_compared(figures, best)}" for figures in sorted(keeping, key=_size) if figures is not best and known
    )
    rank = "best" if known else "smallest"
    unrated = "" if known else "; how good they are is not known"
    return ModelChoice(
        best.variant, True, f"{best.variant} is the {rank} that keeps {_wanted(level)}: {_summary(best)}"
        f"{others}{unrated}{refused}"
    )  # fmt: skip


def _best(keeping: Sequence[VariantFigures]) -> tuple[VariantFigures, bool]:
    """Return the smallest variant that is as good as the best, and whether any error is known."""
    errors = [figures.error for figures in keeping if figures.error is not None]
    if not errors:
        return min(keeping, key=_size), False
    enough = _AS_GOOD * min(errors)
    return min(
        (figures for figures in keeping if figures.error is not None and figures.error <= enough), key=_size
    ), True


def _compared(figures: VariantFigures, best: VariantFigures) -> str:
    if figures.error is None or best.error is None:
        return f"{figures.variant} keeps it, but how good it is was never measured"
    if figures.error <= _AS_GOOD * best.error and best.error <= _AS_GOOD * figures.error:
        return f"{figures.variant} is as good (error {figures.error:.3f}) and larger"
    return f"{figures.variant} keeps it and is worse (error {figures.error:.3f})"


def _size(figures: VariantFigures) -> tuple[int, float, str]:
    return figures.size_bytes, figures.p95_s, figures.variant


def _misses(figures: VariantFigures, level: ServiceLevel) -> list[str]:
    misses = []
    # Written so that NaN misses.
    if not figures.p95_s <= level.latency_p95_s:
        misses.append(f"p95 {1e3 * figures.p95_s:.0f} ms")
    if not figures.memory_mb <= level.memory_mb:
        misses.append(f"{figures.memory_mb:.0f} MB")
    return misses


def _verdict(figures: VariantFigures, level: ServiceLevel) -> str:
    if figures.problem:
        return f"{figures.variant} cannot be used: {figures.problem}"
    return f"{figures.variant} misses it: {' and '.join(_misses(figures, level))}"


def _wanted(level: ServiceLevel) -> str:
    work = f"{level.futures} futures, {level.steps} steps"
    return f"p95 {1e3 * level.latency_p95_s:.0f} ms and {level.memory_mb:.0f} MB ({work})"


def _summary(figures: VariantFigures) -> str:
    error = "" if figures.error is None else f"forecast error {figures.error:.3f}, "
    return (
        f"{error}p95 {1e3 * figures.p95_s:.0f} ms, {figures.memory_mb:.0f} MB, files {figures.size_bytes / 1e6:.1f} MB"
    )
