from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_worldmodel.evaluation.arena.outcome import EpisodeOutcome, tick_bin, tick_quantiles
from edge_worldmodel.evaluation.arena.results.statistics import bootstrap, summarize, wilson


def outcome(ending="success", time_s=10.0, **values):
    figures = {
        "label": "", "path_m": 8.0, "min_distance_m": 0.4, "person_distance_m": math.nan, "intrusion_s": 0.0,
        "jerk": 0.1, "score": 0.2, "goal_distance_m": 0.1,
    }  # fmt: skip
    return EpisodeOutcome(ending=ending, time_s=time_s, **{**figures, **values})


def test_wilson_gives_the_textbook_interval():
    assert wilson(85, 100) == pytest.approx((0.7672, 0.9069), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 500), st.data())
def test_wilson_holds_the_share_and_stays_within_0_and_1(count, data):
    hits = data.draw(st.integers(0, count))
    low, high = wilson(hits, count)
    assert 0.0 <= low <= hits / count <= high <= 1.0
    assert high - low > 0.0


def test_bootstrap_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = [low <= 1.0 <= high for low, high in (bootstrap(rng.normal(1.0, 1.0, 60)) for _ in range(200))]
    assert 0.88 < np.mean(held) <= 1.0


def test_bootstrap_of_the_same_values_is_the_same():
    values = np.random.default_rng(1).normal(size=30)
    assert bootstrap(values) == bootstrap(values)


def test_times_are_those_of_successful_episodes_only():
    figures = summarize([outcome(time_s=10.0), outcome(time_s=20.0), outcome("timeout", time_s=60.0, score=0.0)])
    assert figures["time_s"] == pytest.approx(15.0)
    assert figures["success"] == pytest.approx(2 / 3)
    assert figures["score"] == pytest.approx(0.4 / 3)
    assert figures["person_distance_m"] is None


def test_planner_times_of_many_episodes_are_put_together():
    fast, slow = {tick_bin(0.001): 98}, {tick_bin(0.1): 2}
    figures = summarize([outcome(tick_bins=fast), outcome(tick_bins=slow)])
    assert figures["tick_s"]["p50"] == pytest.approx(0.001, rel=0.02)
    assert figures["tick_s"]["p99"] == pytest.approx(0.1, rel=0.02)
    assert all(math.isnan(value) for value in tick_quantiles({}, (0.5, 0.99)))


def test_an_outcome_survives_json():
    before = outcome(tick_bins={"3": 1}, touched="wall")
    after = EpisodeOutcome.from_json(before.to_json())
    assert after.to_json() == before.to_json()
    with pytest.raises(ValueError, match="ending 'lost'"):
        EpisodeOutcome.from_json({**before.to_json(), "ending": "lost"})
