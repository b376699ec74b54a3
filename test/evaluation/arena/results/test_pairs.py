"""Paired comparisons: McNemar, power, and differences only over episodes that both have driven."""

import math

import pytest

from edge_worldmodel.evaluation.arena.outcome import EpisodeOutcome
from edge_worldmodel.evaluation.arena.results.pairs import compare, detectable, mcnemar


def outcome(ending, time_s=10.0):
    return EpisodeOutcome(ending, "", time_s, 5.0, 0.3, 0.3, 0.0, 1.0, 0.2, 0.0)


def test_exact_mcnemar():
    assert mcnemar(0, 0) == 1.0 and mcnemar(5, 5) == 1.0
    assert mcnemar(8, 0) == pytest.approx(2 / 2**8) and mcnemar(0, 8) == mcnemar(8, 0)
    assert mcnemar(9, 1) == pytest.approx(2 * (1 + 10) / 2**10)


def test_ten_points_need_about_120_episodes():
    assert detectable(round(0.15 * 120), 120) == pytest.approx(0.10, abs=0.003)
    assert detectable(round(0.15 * 470), 470) == pytest.approx(0.05, abs=0.001)
    assert math.isnan(detectable(0, 50))


def test_only_common_episodes_are_compared():
    ours = {0: outcome("success", 8.0), 1: outcome("success"), 2: outcome("contact"), 9: outcome("success")}
    theirs = {0: outcome("success", 10.0), 1: outcome("contact"), 2: outcome("contact"), 7: outcome("success")}
    found = compare(ours, theirs)
    assert found.episodes == 3 and found.success == pytest.approx(1 / 3) and found.contact == pytest.approx(-1 / 3)
    assert found.time_s == pytest.approx(-2.0) and found.p_value == 1.0
    assert compare({0: outcome("success")}, {1: outcome("success")}) is None


def test_intervals_are_those_of_paired_differences():
    ours = {index: outcome("success" if index < 60 else "contact") for index in range(100)}
    theirs = {index: outcome("success" if index < 40 else "contact") for index in range(100)}
    found = compare(ours, theirs)
    assert found.success == pytest.approx(0.2) and found.p_value < 1e-5
    low, high = found.success_ci95
    assert 0.1 < low < 0.2 < high < 0.3
