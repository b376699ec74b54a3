"""Punctuality figures."""

import pytest

from edge_worldmodel.core.ticks import TickTimes


def test_jitter_is_the_distance_from_the_period():
    ticks = TickTimes(0.02)
    assert ticks.figures()["tick_jitter_max_s"] == 0.0
    at_ns = 0
    for gap_ms in [20] * 60 + [27] + [20] * 60:
        ticks.add(at_ns)
        at_ns += gap_ms * 1_000_000
    figures = ticks.figures()
    assert figures["ticks"] == 121
    assert figures["tick_jitter_p50_s"] == pytest.approx(0.0, abs=1e-9)
    assert figures["tick_jitter_max_s"] == pytest.approx(0.007)


def test_due_about_once_a_second():
    ticks, due = TickTimes(0.02), 0
    for tick in range(200):
        ticks.add(tick * 20_000_000)
        due += ticks.due()
    assert due == 4
