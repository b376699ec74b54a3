"""Simulated time follows wall time, and what has a rate is due at that rate."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.sim.pace import Pace, Schedule


def test_time_passes_at_the_factor():
    pace = Pace(2.0, 1_000_000_000, wall_s=50.0)
    assert pace.due_ns(1_000_000_000, 50.05) == 1_100_000_000


def test_a_late_simulation_does_not_race_to_catch_up():
    pace = Pace(1.0, 0, wall_s=0.0)
    assert pace.due_ns(0, 2.0) == pytest.approx(100_000_000, abs=10)
    assert pace.slipped_s == pytest.approx(1.9)
    assert pace.due_ns(100_000_000, 2.05) == pytest.approx(150_000_000, abs=10)


@settings(deadline=None)
@given(st.floats(0.5, 200.0), st.integers(1, 10))
def test_a_rate_is_met_on_average(rate_hz, step_ms):
    schedule = Schedule(rate_hz, 1_000_000_000)
    steps = 2000 // step_ms * 5
    due = sum(schedule.is_due(1_000_000_000 + (i + 1) * step_ms * 1_000_000) for i in range(steps))
    expected = min(steps * step_ms / 1000 * rate_hz, steps)
    assert due == pytest.approx(expected, abs=1.01)
