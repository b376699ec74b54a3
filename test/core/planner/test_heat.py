"""The governor acts before the limit, step by step, and does not swing."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from edge_worldmodel.core.planner.heat import Heat, HeatConfig


def test_levels_rise_towards_the_limit_and_fall_with_hysteresis() -> None:
    heat = Heat(HeatConfig(throttle_c=90.0, margin_c=9.0, cooler_c=4.0))
    seen = []
    for celsius in (80.9, 81.0, 84.0, 87.0, 83.5, 82.9, 80.0, 79.9, 77.0, 76.9):
        heat.felt(celsius)
        seen.append(heat.level)
    assert seen == [0, 1, 2, 3, 3, 2, 2, 1, 1, 0]
    assert heat.reason == ""


@given(st.lists(st.floats(20.0, 120.0), min_size=1, max_size=30))
def test_at_the_limit_it_is_always_the_least_and_far_below_it_everything(course: list[float]) -> None:
    heat = Heat()
    for celsius in course:
        heat.felt(celsius)
        assert celsius < 85.0 or heat.level == 3
        assert celsius > 70.0 or heat.level == 0
        assert (heat.level > 0) == bool(heat.reason)


def test_what_cannot_be_measured_changes_nothing() -> None:
    heat = Heat()
    heat.felt(82.0)
    level = heat.level
    for nothing in (None, math.nan):
        heat.felt(nothing)
        assert heat.level == level > 0
