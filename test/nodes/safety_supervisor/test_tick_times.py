"""Punctuality figures."""

import pytest

pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from edge_worldmodel.nodes.safety_supervisor.supervisor_report import TickTimes  # noqa: E402

pytestmark = pytest.mark.live


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


def test_figures_are_those_of_the_last_intervals_only():
    ticks, at_ns = TickTimes(0.02, remembered=100), 0
    for gap_ms in [50] * 5 + list(range(20, 121)):
        ticks.add(at_ns)
        at_ns += gap_ms * 1_000_000
    assert ticks.figures() == {
        "ticks": 106,
        "tick_jitter_p50_s": pytest.approx(0.0495),
        "tick_jitter_p999_s": pytest.approx(0.0989, abs=1e-4),
        "tick_jitter_max_s": pytest.approx(0.099),
    }


def test_a_thousand_intervals_are_remembered_unless_told_otherwise():
    ticks = TickTimes(0.02)
    for tick in range(1001):
        ticks.add(0 if tick == 0 else 20_000_000 * tick + 20_000_000)
    assert ticks.figures()["tick_jitter_max_s"] == pytest.approx(0.02)
    ticks.add(20_000_000 * 1002)
    assert ticks.figures()["tick_jitter_max_s"] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("period_s", "every"), [(0.02, 50), (1.0, 1), (3.0, 1)])
def test_due_with_every_so_many_ticks(period_s, every):
    ticks, due = TickTimes(period_s), []
    for tick in range(1, 2 * every + 1):
        ticks.add(tick)
        due += [tick] * ticks.due()
    assert due == [every, 2 * every]


def test_a_tick_out_of_turn_is_no_jitter_and_the_next_is_due_a_period_later():
    ticks = TickTimes(0.02)
    for at_ms, early in ((0, False), (20, False), (27, True), (47, False), (70, False)):
        ticks.add(at_ms * 1_000_000, early)
    figures = ticks.figures()
    assert figures["ticks"] == 5
    assert figures["tick_jitter_max_s"] == pytest.approx(0.003)
    assert figures["tick_jitter_p50_s"] == pytest.approx(0.0, abs=1e-9)
