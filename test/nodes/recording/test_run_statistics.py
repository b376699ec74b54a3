"""The figures of summary.json, from what is said on the topics."""

import pytest

from edge_worldmodel.core.time_units import NS_PER_S
from edge_worldmodel.nodes.recording.run_statistics import (
    ACTIVE,
    LATCHED,
    STARTING,
    STOPPED,
    STOPPING,
    ClockPair,
    RunStatistics,
)

S, MS = NS_PER_S, NS_PER_S // 1000
RECORDED = 1_500_000_000 * S
NOW = 1_800_000_000 * S


def scans(statistics, count, period_ns=100 * MS, rate=1.0):
    """Publish scans; recorded time passes ``rate`` times as fast as ours."""
    for index in range(count):
        statistics.on_scan(RECORDED + int(index * period_ns * rate), NOW + index * period_ns)


def test_repeated_plans_are_counted_once():
    statistics = RunStatistics()
    scans(statistics, 11)
    for index in range(5):
        for repetition in range(4):
            statistics.on_plan(
                RECORDED + index * 200 * MS, index + 1, "m", NOW + index * 200 * MS + repetition * 40 * MS
            )
    summary = statistics.summary()
    assert (summary["scans"], summary["plans"]) == (11, 5)
    assert summary["plan_rate_hz"] == pytest.approx(5.0)
    assert summary["scan_rate_hz"] == pytest.approx(11.0)


def test_plan_rate_is_of_this_computer_and_time_without_scans_does_not_count():
    statistics = RunStatistics()
    scans(statistics, 21, rate=4.0)
    statistics.on_scan(RECORDED + 100 * S, NOW + 60 * S)
    for index in range(20):
        statistics.on_plan(RECORDED + index * 400 * MS, index, "m", NOW + index * 100 * MS)
    summary = statistics.summary()
    assert summary["plan_rate_hz"] == pytest.approx(10.0)
    assert summary["scans_flowed_s"] == pytest.approx(2.0)
    assert summary["recorded_s"] == pytest.approx(8.0)


def test_latency_runs_from_the_scan_to_the_first_command_after_its_plan():
    statistics = RunStatistics()
    for index in range(100):
        stamp, at = RECORDED + index * 100 * MS, NOW + index * 100 * MS
        statistics.on_scan(stamp, at)
        statistics.on_command(at + 10 * MS)  # still the plan before
        statistics.on_plan(stamp, index, "m", at + 30 * MS)
        statistics.on_command(at + (50 if index < 96 else 90) * MS)
        statistics.on_command(at + 95 * MS)
    latency = statistics.summary()["sensor_to_command_s"]
    assert latency["p50"] == pytest.approx(0.05)
    assert latency["p99"] == pytest.approx(0.09)


def test_latency_does_not_depend_on_the_order_in_which_topics_reach_the_recorder():
    statistics = RunStatistics()
    statistics.on_scan(RECORDED, NOW)
    for late_ms in (20, 40, 60):
        statistics.on_command(NOW + late_ms * MS)
    statistics.on_plan(RECORDED, 1, "m", NOW + 30 * MS)
    assert statistics.summary()["sensor_to_command_s"]["p50"] == pytest.approx(0.04)


def test_only_stops_after_driving_and_before_the_last_scan_count():
    statistics = RunStatistics()
    scans(statistics, 101)
    for t_s, state, reason in (
        (0.1, STARTING, "plan: nothing received yet"),
        (0.2, STOPPED, "not driving yet"),
        (0.3, ACTIVE, ""),
        (2.0, STOPPING, "obstacle"),
        (2.1, STOPPED, "obstacle"),
        (3.0, ACTIVE, ""),
        (4.0, LATCHED, "estop"),
        (5.0, ACTIVE, ""),
        (12.0, STOPPED, "scan is silent, the recording has ended"),
    ):
        statistics.on_verdict(state, reason, RECORDED + int(t_s * S))
    assert statistics.summary()["stops"] == [{"t_s": 2.0, "reason": "obstacle"}, {"t_s": 4.0, "reason": "estop"}]


def test_contacts_are_beginnings_and_the_goal_stays_reached():
    statistics = RunStatistics()
    assert statistics.summary()["goal_reached"] is None
    for touching in (False, True, True, False, True):
        statistics.on_contact(touching)
    statistics.on_goal_reached(False)
    assert statistics.summary()["goal_reached"] is False
    statistics.on_goal_reached(True)
    statistics.on_goal_reached(False)
    assert (statistics.summary()["contacts"], statistics.summary()["goal_reached"]) == (2, True)


def test_rejected_inputs_are_summed_over_nodes_and_survive_a_restart():
    statistics = RunStatistics()
    statistics.on_diagnostics("perception: status", {"rejected_inputs": "7", "backend": "encoder's"})
    statistics.on_diagnostics("perception: status", {"rejected_inputs": "2", "backend": "encoder's"})
    statistics.on_diagnostics(
        "rollout_planner: status", {"rejected_inputs": "1", "backend": "cpu", "model_id": "small-1"}
    )
    summary = statistics.summary()
    assert (summary["rejected_inputs"], summary["backend"], summary["model_id"]) == (10, "cpu", "small-1")


def test_what_was_not_used_is_told_with_count_and_reason_also_after_a_restart():
    statistics = RunStatistics()
    said = {"rejected_inputs": "7", "rejected_unreadable": "7", "why_unreadable": "topic '/scan': 7 messages ..."}
    statistics.on_diagnostics("perception: status", said)
    statistics.on_diagnostics("perception: status", {"rejected_inputs": "0", "noted_tf_stamps": "2"})
    statistics.on_diagnostics("perception: status", {"rejected_inputs": "3", "rejected_unreadable": "3"})
    words = statistics.on_unreadable("/odom")
    assert statistics.summary()["inputs_not_used"] == [
        {"node": "perception", "kind": "rejected_unreadable", "count": 10, "why": "topic '/scan': 7 messages ..."},
        {"node": "perception", "kind": "noted_tf_stamps", "count": 2, "why": ""},
        {"node": "recorder", "kind": "rejected_unreadable", "count": 1, "why": words},
    ]
    assert words.startswith("topic '/odom': 1 message could not be read")


def test_warm_starts_and_steps():
    statistics = RunStatistics()
    for steps, warm in ((4, False), (2, True), (1, True), (1, True)):
        statistics.on_rollouts(steps, warm)
    assert (statistics.summary()["warm_start_rate"], statistics.summary()["denoise_steps_mean"]) == (0.75, 2.0)


def test_a_run_in_which_nothing_came_has_every_figure_and_invents_none():
    summary = RunStatistics().summary()
    assert (summary["scans"], summary["plans"], summary["plan_rate_hz"], summary["stops"]) == (0, 0, None, [])
    assert summary["sensor_to_command_s"] == {"p50": None, "p95": None, "p99": None}


def test_memory_stays_bounded():
    statistics = RunStatistics()
    for index in range(60_000):
        statistics.on_scan(index * MS, NOW + index * MS)
        statistics.on_plan(index * MS, index, "m", NOW + index * MS)
        statistics.on_command(NOW + index * MS)
        statistics.on_verdict((ACTIVE, STOPPED)[index % 2], "again and again", index * MS)
    held = [value for value in vars(statistics).values() if hasattr(value, "__len__")]
    assert max(len(value) for value in held) <= 50_000
    assert len(statistics.stops) == 1000


def test_ros_time_of_a_moment_between_two_updates():
    clocks = ClockPair()
    assert clocks.ros_ns(NOW) == 0
    clocks.update(RECORDED, NOW)
    clocks.update(RECORDED + 200 * MS, NOW + 100 * MS)
    assert clocks.ros_ns(NOW + 50 * MS) == pytest.approx(RECORDED + 100 * MS, abs=2)
    assert clocks.ros_ns(NOW + 500 * MS) == RECORDED + 200 * MS
