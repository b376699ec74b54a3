"""Figures of many episodes, with 95 % confidence intervals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.arena.measures.risk import RiskCounts
from edge_worldmodel.evaluation.arena.outcome import EpisodeOutcome, tick_quantiles

_CONFIDENCE = 0.95
_RESAMPLES = 2000
_SEED = 20240607
_MEANS = (
    "min_distance_m", "person_distance_m", "intrusion_s", "intrusion_by_robot_s", "near_s", "near_by_robot_s",
    "relative_mps", "energy_j", "jerk", "stops", "freezing_s", "score", "regret_s", "regret_success",
)  # fmt: skip
"""Figures of which the mean over all episodes is given that have one; those of contacts over the contacts."""


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share (Wilson, 1927); (0, 1) where nothing was counted."""
    if count == 0:
        return 0.0, 1.0
    interval = stats.binomtest(hits, count).proportion_ci(_CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def bootstrap(values: Floats) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the mean of values (n,); NaN for fewer than two.

    The resampling has a fixed seed: the same values always give the same interval.
    """
    if len(values) < 2:
        return math.nan, math.nan
    rng = np.random.default_rng(_SEED)
    result = stats.bootstrap(
        (values,), np.mean, n_resamples=_RESAMPLES, confidence_level=_CONFIDENCE, method="percentile", rng=rng
    )  # fmt: skip
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def summarize(outcomes: Sequence[EpisodeOutcome]) -> dict[str, Any]:
    """Return the figures of one planner on one scenario.

    Endings and contacts by whom, or avoidable, are shares of all episodes; ``time_s``, ``path_m`` and ``regret_s`` are
    means over successful episodes, ``relative_mps`` and ``energy_j`` over contacts, the others over all.
    ``unsolved_draws`` is the share of drawn worlds without a known contact-free drive. ``ci95`` holds Wilson intervals
    of shares and bootstrap intervals of means.
    """
    count = len(outcomes)
    figures: dict[str, Any] = {}
    intervals: dict[str, tuple[float, float]] = {}
    for ending in ("success", "contact", "timeout", "error"):
        hits = sum(o.ending == ending for o in outcomes)
        figures[ending] = hits / count if count else math.nan
        intervals[ending] = wilson(hits, count)
    shares = {
        "avoidable_contact": sum(o.avoidable == 1.0 for o in outcomes),
        "contact_by_robot": sum(o.contact_by == "robot" for o in outcomes),
        "contact_by_other": sum(o.contact_by == "other" for o in outcomes),
    }
    for name, hits in shares.items():
        figures[name] = hits / count if count else math.nan
        intervals[name] = wilson(hits, count)
    successful = [o for o in outcomes if o.ending == "success"]
    means: dict[str, list[float]] = {name: [getattr(o, name) for o in successful] for name in ("time_s", "path_m")}
    for name in _MEANS:
        means[name] = [getattr(o, name) for o in outcomes]
    for name, listed in means.items():
        values = np.array([v for v in listed if math.isfinite(v)])
        figures[name] = float(values.mean()) if len(values) else math.nan
        intervals[name] = bootstrap(values)
    unsolved = sum(o.unsolved_draws for o in outcomes)
    figures["unsolved_draws"] = unsolved / (unsolved + count) if count else math.nan
    p50_s, p99_s = tick_quantiles(_summed_bins(outcomes), (0.5, 0.99))
    figures["tick_s"] = {"p50": p50_s, "p99": p99_s}
    figures["episodes"] = count
    risks = RiskCounts.total([RiskCounts.from_json(o.risk_counts) for o in outcomes if o.risk_counts])
    figures["risk"] = {"calibration_error": risks.calibration_error, "counts": risks.to_json()}
    figures["touched"] = dict(sorted(Counter(o.touched for o in outcomes if o.touched).items()))
    simulated_s, cpu_s = sum(o.time_s for o in outcomes), sum(o.cpu_s for o in outcomes)
    simulator_s = sum(o.simulator_s for o in outcomes)
    figures["real_time_factor"] = {
        "episode": simulated_s / cpu_s if cpu_s > 0 else math.nan,
        "without_planner": simulated_s / simulator_s if simulator_s > 0 else math.nan,
    }
    return plain({**figures, "ci95": intervals})


def _summed_bins(outcomes: Sequence[EpisodeOutcome]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts.update(outcome.tick_bins)
    return dict(counts)


def plain(value: Any) -> Any:
    """Return the value with plain JSON types: tuples as lists, numbers that are not finite as None."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
