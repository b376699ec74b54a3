"""Comparison of two planners on the same episodes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy import stats

from edge_worldmodel.evaluation.arena.outcome import EpisodeOutcome
from edge_worldmodel.evaluation.arena.results.statistics import bootstrap

KeyT = TypeVar("KeyT", int, tuple[str, int])
"""Names an episode: its index, or scenario and index."""
_SIGNIFICANCE, _POWER = 0.05, 0.8


@dataclass(frozen=True)
class Comparison:
    """One planner minus another on the episodes that both have driven.

    Attributes:
        episodes: how many these are.
        success: difference of the shares of success.
        success_ci95: its paired bootstrap interval.
        p_value: exact McNemar test; how likely so uneven a split of the episodes that differ is by chance.
        detectable: smallest difference of success that so many episodes, of which so many differ, show with a power of
            80 % at a level of 5 %; NaN if none differs.
        contact: difference of the shares of contact.
        contact_ci95: its paired bootstrap interval.
        time_s: mean difference of the times to the goal where both arrive; NaN where they never do.
        time_ci95: its paired bootstrap interval.
    """

    episodes: int
    success: float
    success_ci95: tuple[float, float]
    p_value: float
    detectable: float
    contact: float
    contact_ci95: tuple[float, float]
    time_s: float
    time_ci95: tuple[float, float]


def compare(ours: Mapping[KeyT, EpisodeOutcome], theirs: Mapping[KeyT, EpisodeOutcome]) -> Comparison | None:
    """Compare the outcomes of two planners by the key of the episode; None without a common one."""
    common = sorted(set(ours) & set(theirs))
    if not common:
        return None
    pairs = [(ours[index], theirs[index]) for index in common]
    change = {
        ending: np.array([float(a.ending == ending) - float(b.ending == ending) for a, b in pairs])
        for ending in ("success", "contact")
    }
    both = np.array([a.time_s - b.time_s for a, b in pairs if a.ending == b.ending == "success"])
    won, lost = int((change["success"] > 0).sum()), int((change["success"] < 0).sum())
    return Comparison(
        episodes=len(common),
        success=float(change["success"].mean()),
        success_ci95=bootstrap(change["success"]),
        p_value=mcnemar(won, lost),
        detectable=detectable(won + lost, len(common)),
        contact=float(change["contact"].mean()),
        contact_ci95=bootstrap(change["contact"]),
        time_s=float(both.mean()) if len(both) else math.nan,
        time_ci95=bootstrap(both),
    )


def mcnemar(won: int, lost: int) -> float:
    """Return the two-sided p value of McNemar's exact test.

    Args:
        won: episodes in which only the first planner succeeds.
        lost: episodes in which only the second one does.
    """
    return float(stats.binomtest(won, won + lost).pvalue) if won + lost else 1.0


def detectable(discordant: int, episodes: int) -> float:
    """Return the difference of paired shares that is found with a power of 80 % at a level of 5 % (Connor, 1987)."""
    if not discordant:
        return math.nan
    quantiles = stats.norm.ppf(1.0 - _SIGNIFICANCE / 2.0) + stats.norm.ppf(_POWER)
    return float(quantiles * math.sqrt(discordant) / episodes)
