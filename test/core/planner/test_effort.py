"""Effort goes down at once when ticks come late, and up again after many ticks in time."""

from __future__ import annotations

from edge_worldmodel.core.planner.effort import LEVELS, EffortConfig, EffortControl

BUDGET_S = 0.08


def _drive(control: EffortControl, full_s: float, ticks: int) -> list[int]:
    """Tick on a machine that takes ``full_s`` for everything; return the level of each tick."""
    levels = []
    for _ in range(ticks):
        level = control.effort().level
        levels.append(level)
        share = LEVELS[level][0] * LEVELS[level][1]
        control.ticked(full_s * share, BUDGET_S)
    return levels


def test_fast_enough_means_everything() -> None:
    control = EffortControl()
    assert set(_drive(control, 0.07, 200)) == {0} and control.effort().reason == ""


def test_late_ticks_lower_the_effort_and_say_so() -> None:
    control = EffortControl()
    assert _drive(control, 0.3, 20) == [0, 0, 1, 1] + [2] * 16
    assert control.effort().reason == "level 2 of 3: ticks came late"
    assert control.effort().futures(4) == 2 and control.effort().steps(4) == 2
    assert (control.effort().futures(1), control.effort().steps(1)) == (1, 1)
    _drive(control, 10.0, 20)
    assert control.effort().level == len(LEVELS) - 1


def test_one_late_tick_is_nothing_but_a_cut_one_counts() -> None:
    control = EffortControl()
    for tick in range(60):
        control.ticked(0.2 if tick % 10 == 0 else 0.05, BUDGET_S)
    assert control.effort().level == 0
    for _ in range(2):
        control.ticked(0.05, BUDGET_S, cut_short=True)
    assert control.effort().level == 1


def test_it_comes_back_when_there_is_room_and_not_before() -> None:
    control = EffortControl(EffortConfig(calm_ticks=10))
    _drive(control, 0.2, 10)
    low = control.effort().level
    assert low == 2
    levels = _drive(control, 0.05, 40)
    assert levels[:3] == [low] * 3 and levels[4:13] == [1] * 9 and levels[-1] == 0, "ten calm ticks per level"
    tight = EffortControl(EffortConfig(calm_ticks=10))
    _drive(tight, 0.15, 10)
    assert set(_drive(tight, 0.15, 300)) == {1}, "full effort would be late: it is not even tried"


def test_it_does_not_swing() -> None:
    """A load that only full effort feels: each failed try makes the next one wait longer."""
    control = EffortControl(EffortConfig(calm_ticks=10, room=1.0))
    changes, level = 0, 0
    for _ in range(1000):
        share = LEVELS[control.effort().level][0]
        control.ticked(0.1 if share == 1.0 else 0.03, BUDGET_S)
        changes += control.effort().level != level
        level = control.effort().level
    assert changes < 30
