"""The thermal governor acts before the limit, step by step, without oscillation."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from edge_worldmodel.core.planner.effort import ThermalConfig, ThermalGovernor


def test_levels_rise_towards_the_limit_and_fall_with_hysteresis() -> None:
    governor = ThermalGovernor(ThermalConfig(throttle_c=90.0, margin_c=9.0, cooler_c=4.0))
    seen = []
    for celsius in (80.9, 81.0, 84.0, 87.0, 83.5, 82.9, 80.0, 79.9, 77.0, 76.9):
        governor.update(celsius)
        seen.append(governor.level)
    assert seen == [0, 1, 2, 3, 3, 2, 2, 1, 1, 0]
    assert governor.reason == ""


@given(st.lists(st.floats(20.0, 120.0), min_size=1, max_size=30))
def test_at_the_limit_it_is_always_the_least_and_far_below_it_everything(course: list[float]) -> None:
    governor = ThermalGovernor()
    for celsius in course:
        governor.update(celsius)
        assert celsius < 85.0 or governor.level == 3
        assert celsius > 70.0 or governor.level == 0
        assert (governor.level > 0) == bool(governor.reason)


def test_a_missing_temperature_changes_nothing() -> None:
    governor = ThermalGovernor()
    governor.update(82.0)
    level = governor.level
    for nothing in (None, math.nan):
        governor.update(nothing)
        assert governor.level == level > 0
