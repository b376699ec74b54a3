"""Each kind of failure is recognised as one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.evaluation.faults.fault_figures import Jitter, by_fault, by_link, table
from edge_worldmodel.evaluation.faults.fault_graph import ObservedCommand
from edge_worldmodel.evaluation.faults.fault_matrix import (
    FAULTS,
    MATRIX,
    ExpectedEffect,
    FaultCase,
    select_cases,
    shuffled_rounds,
)
from edge_worldmodel.evaluation.faults.fault_result import InjectionResult, Observations, judge

MS = 1_000_000
ACTIVE, STOPPED = 1, 4
BY_NAME = {case.name: case for case in MATRIX}


def commands(*spans: tuple[int, int, bool]) -> tuple[ObservedCommand, ...]:
    """Commands every 20 ms in spans of (from ms, to ms, whether to move)."""
    return tuple(
        ObservedCommand(t * MS, t * MS, (0.5 * is_moving, 0.0, 0.0))
        for begin, end, is_moving in spans
        for t in range(begin, end, 20)
    )


def observed(*spans: tuple[int, int, bool], **more: object) -> Observations:
    """The stream's last good message at 1000 ms, broken at 1010, mended at 1500, good again at 1520."""
    found = Observations(1010 * MS, 1500 * MS, 1000 * MS, 0, 1520 * MS, commands(*spans), (), (), 0)
    return replace(found, **more)


DRIVES, STANDS = True, False
STOPPED_IN_TIME = ((500, 1120, DRIVES), (1120, 1700, STANDS), (1700, 2200, DRIVES))


def test_a_stop_in_time_is_timed_from_the_last_good_message():
    result = judge(BY_NAME["drop:scan"], observed(*STOPPED_IN_TIME))
    assert result.valid and not result.missed
    assert result.stopped_s == pytest.approx(0.12)
    assert result.resumed_s == pytest.approx(0.18)


def test_wrong_content_is_timed_from_the_first_spoiled_message():
    result = judge(BY_NAME["nan:scan"], observed(*STOPPED_IN_TIME, first_bad_ns=1100 * MS))
    assert result.stopped_s == pytest.approx(0.02)


@pytest.mark.parametrize(
    "spans",
    [
        ((500, 2000, DRIVES),),  # never stopped
        ((500, 1400, DRIVES), (1400, 1700, STANDS)),  # too late
        ((500, 1120, DRIVES), (1120, 1300, STANDS), (1300, 1340, DRIVES), (1340, 1700, STANDS)),  # did not hold
        ((500, 1120, DRIVES), (1520, 1700, STANDS)),  # fell silent
    ],
)
def test_a_missed_stop_is_seen(spans):
    assert judge(BY_NAME["drop:scan"], observed(*spans)).missed


def test_a_robot_that_stood_before_proves_nothing():
    assert not judge(BY_NAME["drop:scan"], observed((500, 900, DRIVES), (900, 1700, STANDS))).valid


def test_a_stop_without_need_is_false_unless_the_scene_asked_for_it():
    case = BY_NAME["duplicate:scan"]
    for reason, false in (("plan: silent for 0.11 s", True), ("an obstacle is in the braking path", False)):
        assert judge(case, observed(*STOPPED_IN_TIME, verdicts=((1120 * MS, STOPPED, reason),))).false_stop is false
    assert not judge(case, observed((500, 2000, DRIVES), verdicts=((1120 * MS, ACTIVE, ""),))).false_stop


def test_without_a_watchdog_the_base_has_to_stand_in_time():
    case = BY_NAME["sigkill:watchdog"]
    silent = observed((500, 1010, DRIVES), speeds=((1200 * MS, 0.5), (1900 * MS, 0.0)))
    assert not judge(case, silent).missed
    assert judge(case, silent).base_standing_s == pytest.approx(0.89)
    assert judge(case, replace(silent, speeds=((1200 * MS, 0.5),))).missed
    assert judge(case, replace(silent, commands=commands((500, 1200, DRIVES)))).missed


def test_a_robot_that_may_creep_has_to_be_slow_in_time():
    case = BY_NAME["blind_stripe:scan"]
    fast, slow = (0.5, 0.0, 0.0), (0.1, 0.0, 0.1)
    for twist, missed in ((slow, False), ((0.18, 0.0, 0.1), True)):
        spans = ((500, 1120, fast), (1120, 1700, twist))
        received = [ObservedCommand(t * MS, 0, sent) for begin, end, sent in spans for t in range(begin, end, 20)]
        result = judge(case, observed(commands=received))
        assert result.missed is missed
    assert not judge(case, observed(commands=[ObservedCommand(900 * MS, 0, slow)])).valid


def test_a_gap_between_commands_is_missed_only_where_it_has_a_limit():
    silent = observed((500, 1100, DRIVES), (1180, 2000, DRIVES))
    assert judge(BY_NAME["flood:planner/plan 1 kHz"], silent).missed
    assert not judge(BY_NAME["duplicate:scan"], silent).missed
    assert judge(BY_NAME["duplicate:scan"], silent).longest_gap_s == pytest.approx(0.1)
    assert not judge(BY_NAME["flood:planner/plan 1 kHz"], observed((500, 2000, DRIVES))).missed


def test_a_drone_that_does_not_land_is_missed():
    case = BY_NAME["start_in_the_air:drone"]
    assert judge(case, observed((500, 2000, DRIVES))).missed
    assert not judge(case, observed((500, 2000, DRIVES), landed=True)).missed


def test_every_fault_of_the_matrix_is_there_and_may_be_chosen():
    assert set(FAULTS) == {
        *("drop", "delay", "duplicate", "reorder", "corrupt", "nan", "frozen_sensor", "frozen_planner", "sigkill"),
        *("sigstop", "clock_step", "simulation_pause", "cpu_load", "disk_full", "wrong_frame"),
        *("other_scanner", "too_close", "tied_points", "all_inf", "blind_stripe", "hostile_imagination"),
        *("dead_encoder", "inverse_motion", "overspeed", "slope"),
        *("second_publisher", "respawn_under_estop", "start_in_the_air", "flood"),
    }
    assert len(BY_NAME) == len(MATRIX)
    assert {case.fault for case in select_cases(["nan", "drop:scan"])} == {"nan", "drop"}
    with pytest.raises(ConfigError, match="nonsense"):
        select_cases(["nonsense"])


def test_rounds_go_through_all_and_seldom_cases_seldom():
    cases = [FaultCase("a", "x", "x", "drop"), FaultCase("b", "x", "x", "kill", every=2)]
    queue = shuffled_rounds(cases, np.random.default_rng(0))
    assert sorted(next(queue).fault for _ in range(6)) == ["a", "a", "a", "a", "b", "b"]


def test_figures_and_table_from_outcomes():
    case = BY_NAME["drop:scan"]
    results = [judge(case, observed(*STOPPED_IN_TIME)), judge(case, observed((500, 2000, DRIVES)))]
    found = by_fault(results)
    assert found["drop"]["injections"] == 2 and found["drop"]["missed"] == 1
    assert found["drop"]["stopped_s"] == {"p50": 0.12, "p999": 0.12, "max": 0.12}
    assert "| drop | scan | 2 | 0.120 |" in table({"faults": found})
    assert case.expected is ExpectedEffect.STOP


def test_jitter_is_the_distance_from_the_period_and_ignores_restarts():
    jitter = Jitter()
    for at_ms in (0, 20, 45, 2000, 2020):
        jitter.add(at_ms * MS)
    assert jitter.errors_s == pytest.approx([0.0, 0.005, 0.0])


def test_losses_are_told_apart_by_where_they_happen():
    def lost(fault: str, where: str, stopped_s: float | None) -> InjectionResult:
        return InjectionResult(fault, where, stopped_s, None, None, None, 0, False, False, True, "")

    found = by_link(
        [
            lost("drop", "scan", 0.1),
            lost("delay", "planner/plan 0.7 s", 0.14),
            lost("drop", "perception/latent", 0.2),
            lost("frozen_planner", "planner/plan", 0.6),
            lost("duplicate", "odom", None),
        ]
    )
    assert found["inputs"]["injections"] == 2 and found["inputs"]["max"] == 0.14
    assert found["perception"]["injections"] == 1 and found["perception"]["max"] == 0.2
