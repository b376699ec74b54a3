"""Calibration of a planner's own risk."""

import numpy as np
import pytest

from edge_worldmodel.evaluation.arena.measures.risk import RiskCounts


def test_risks_that_come_true_as_often_as_forecast_have_no_error():
    rng = np.random.default_rng(0)
    risks = rng.uniform(0.0, 1.0, 20_000)
    parts = [
        RiskCounts.of_episode(np.zeros(1), risks[i : i + 1], 1.0 if hit else None)
        for i, hit in enumerate(rng.uniform(size=len(risks)) < risks)
    ]
    assert RiskCounts.total(parts).calibration_error < 0.02


def test_only_contacts_within_the_horizon_count():
    counts = RiskCounts.of_episode(np.array([0.0, 5.0]), np.array([0.95, 0.95]), 6.0)
    assert counts.contacts[-1] == 1.0 and counts.forecasts[-1] == 2.0
    assert counts.calibration_error == pytest.approx(0.45)
    none = RiskCounts.of_episode(np.array([0.0]), np.array([np.nan]), None)
    assert np.isnan(none.calibration_error)
    back = RiskCounts.from_json(RiskCounts.total([counts, none]).to_json())
    np.testing.assert_array_equal(back.risk, counts.risk)
