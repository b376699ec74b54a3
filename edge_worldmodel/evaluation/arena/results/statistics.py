"""Figures of many episodes, with 95 % confidence intervals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.arena.outcome import Outcome, tick_quantiles

Z_95 = 1.959963984540054
_RESAMPLES = 2000
_SEED = 20240607


def wilson(hits: int, count: int, z: float = Z_95) -> tuple[float, float]:
    """Return the score interval of a share (Wilson, 1927), which also holds near 0 and 1; (0, 1) of nothing."""
    if count == 0:
        return 0.0, 1.0
    share = hits / count
    centre = share + z * z / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    # At the ends rounding may leave the share itself outside.
    return min(max((centre - half) / scale, 0.0), share), max(min((centre + half) / scale, 1.0), share)


def bootstrap(values: Floats, statistic: Callable[..., Any] = np.mean) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a statistic of values (n,); NaN for fewer than two.

    The resampling has a fixed seed: the same episodes always give the same interval.
    """
    if len(values) < 2:
        return math.nan, math.nan
    rng = np.random.default_rng(_SEED)
    samples = values[rng.integers(len(values), size=(_RESAMPLES, len(values)))]
    low, high = np.percentile(statistic(samples, axis=1), (2.5, 97.5))
    return float(low), float(high)


def difference(ours: Sequence[bool], theirs: Sequence[bool]) -> tuple[float, tuple[float, float]]:
    """Return the mean difference of paired hits (the same episodes), with its bootstrap interval."""
    change = np.asarray(ours, float) - np.asarray(theirs, float)
    return float(change.mean()), bootstrap(change)


def summarize(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the figures of one planner on one scenario.

    Shares count all episodes, ``avoidable_contact`` those with a contact that braking could have avoided; ``time_s``
    and ``path_m`` are means over the successful ones, everything else means over all. ``ci95`` holds
    Wilson intervals of shares and bootstrap intervals of means.
    """
    count = len(outcomes)
    figures: dict[str, Any] = {}
    intervals: dict[str, tuple[float, float]] = {}
    for ending in ("success", "contact", "timeout", "error"):
        hits = sum(o.ending == ending for o in outcomes)
        figures[ending] = hits / count if count else math.nan
        intervals[ending] = wilson(hits, count)
    avoidable = sum(o.avoidable == 1.0 for o in outcomes)
    figures["avoidable_contact"] = avoidable / count if count else math.nan
    intervals["avoidable_contact"] = wilson(avoidable, count)
    arrived = [o for o in outcomes if o.ending == "success"]
    means: dict[str, list[float]] = {name: [getattr(o, name) for o in arrived] for name in ("time_s", "path_m")}
    for name in ("min_distance_m", "person_distance_m", "intrusion_s", "jerk", "score"):
        means[name] = [getattr(o, name) for o in outcomes]
    for name, listed in means.items():
        values = np.array([v for v in listed if math.isfinite(v)])
        figures[name] = float(values.mean()) if len(values) else math.nan
        intervals[name] = bootstrap(values)
    p50_s, p99_s = tick_quantiles(_together(outcomes), (0.5, 0.99))
    figures["tick_s"] = {"p50": p50_s, "p99": p99_s}
    figures["episodes"] = count
    figures["touched"] = dict(sorted(Counter(o.touched for o in outcomes if o.touched).items()))
    simulated_s, cpu_s = sum(o.time_s for o in outcomes), sum(o.cpu_s for o in outcomes)
    simulator_s = sum(o.simulator_s for o in outcomes)
    figures["real_time_factor"] = {
        "episode": simulated_s / cpu_s if cpu_s > 0 else math.nan,
        "without_planner": simulated_s / simulator_s if simulator_s > 0 else math.nan,
    }
    return plain({**figures, "ci95": intervals})


def _together(outcomes: Sequence[Outcome]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts.update(outcome.tick_bins)
    return dict(counts)


def plain(value: Any) -> Any:
    """Return the value as JSON knows it: tuples as lists, what is not finite as None."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
