"""The result of one injected fault: whether and how soon the robot stopped, and whether it stopped without need."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from edge_worldmodel.evaluation.faults.fault_graph import ObservedCommand
from edge_worldmodel.evaluation.faults.fault_matrix import EffectStart, ExpectedEffect, FaultCase

_PASSING = (1, 2)
"""Verdict.ACTIVE and Verdict.LIMITING."""
_SCENE_REASONS = (
    "an obstacle", "the robot is faster than", "risk", "the braking path leaves", "all checks pass again",
)  # fmt: skip
"""Beginnings of reasons that come from the scene or follow a stop; all other reasons are about inputs."""
_STOPPED_MPS = 0.03
_DELIVERY_NS = 40_000_000
"""A command published just before its sender was killed may be received this much later."""


@dataclass(frozen=True)
class Observations:
    """Everything received around one injection; times in ns of the steady clock, 0: never.

    Attributes:
        action_ns: beginning of the fault.
        ended_ns: end of the fault.
        last_good_ns: last unspoiled message of the affected topic before the fault.
        first_bad_ns: first spoiled message.
        good_again_ns: first unspoiled message after the fault.
        commands: from before the fault until the robot drove again.
        verdicts: of the same time, as (received_ns, state, reason).
        speeds: odometry of the same time, as (received_ns, m/s).
        contacts: number of contacts that began.
        recovered: whether the robot drove again in time.
        landed: whether the drone's supervisor landed it.
    """

    action_ns: int
    ended_ns: int
    last_good_ns: int
    first_bad_ns: int
    good_again_ns: int
    commands: Sequence[ObservedCommand]
    verdicts: Sequence[tuple[int, int, str]]
    speeds: Sequence[tuple[int, float]]
    contacts: int
    recovered: bool = True
    landed: bool = False


@dataclass(frozen=True)
class InjectionResult:
    """How the robot reacted to one injection; times in seconds; None: does not apply.

    Attributes:
        fault: name of the fault.
        where: topic or node, and the variant.
        stopped_s: time from the start of the effect to the first command after which only zeros came, or where the
            robot may creep, only commands to creep.
        base_standing_s: time from the end of the supervisor until odometry showed the robot at rest.
        resumed_s: time from the end of the fault to the first command to move.
        recovery_s: time from the kill of a node to the first command to move.
        contacts: number of contacts that began.
        missed: the required stop did not come, or too late.
        false_stop: the robot stopped although it had to go on.
        valid: False if the robot had stopped before the fault, for another reason.
        reason: the supervisor's first reason that is not from the scene.
        recovered: whether the robot drove again in time.
        longest_gap_s: longest time between two commands while the fault lasted.
    """

    fault: str
    where: str
    stopped_s: float | None
    base_standing_s: float | None
    resumed_s: float | None
    recovery_s: float | None
    contacts: int
    missed: bool
    false_stop: bool
    valid: bool
    reason: str
    recovered: bool = True
    longest_gap_s: float | None = None


def judge(case: FaultCase, observed: Observations) -> InjectionResult:
    """Compare what was received with the required reaction."""
    begin_ns, stop_ns = _stop(case, observed)
    stopped_s = None if stop_ns is None or begin_ns is None else (stop_ns - begin_ns) * 1e-9
    base_standing_s = _base_stopped_s(observed) if case.expected is ExpectedEffect.BASE_STOPS else None
    # The supervisor may notice the last effect of a fault up to 0.1 s after its end.
    reasons = input_reasons(observed.verdicts, observed.action_ns, observed.ended_ns + 100_000_000)
    valid, missed = begin_ns is not None, False
    gap_s = None if case.target in ("safety_supervisor", "watchdog") else _longest_gap_s(observed)
    if case.expected is ExpectedEffect.LAND:
        valid, missed, stopped_s = True, not observed.landed, None
    elif case.expected in (ExpectedEffect.STOP, ExpectedEffect.CREEP):
        missed = valid and (stopped_s is None or stopped_s > case.limit_s)
    elif case.expected is ExpectedEffect.BASE_STOPS:
        stopped_s = None
        too_late = base_standing_s is None or base_standing_s > case.limit_s
        missed = _commanded_after_silence(observed) or too_late
    false_stop = case.expected is ExpectedEffect.GO_ON and bool(reasons)
    if case.expected is ExpectedEffect.GO_ON:
        stopped_s = None
    resumed_s = _resumed_s(observed, stop_ns)
    killed = case.how == "kill" and case.expected is not ExpectedEffect.GO_ON
    return InjectionResult(
        fault=case.fault,
        where=case.where,
        stopped_s=stopped_s,
        base_standing_s=base_standing_s,
        resumed_s=None if killed or case.expected is ExpectedEffect.BASE_STOPS else resumed_s,
        recovery_s=_moving_s(observed, observed.ended_ns, observed.action_ns) if killed else None,
        contacts=observed.contacts,
        missed=missed or (gap_s is not None and gap_s > case.longest_gap_s),
        false_stop=false_stop,
        valid=valid,
        reason=reasons[0] if reasons else "",
        recovered=observed.recovered,
        longest_gap_s=gap_s,
    )


def input_reasons(verdicts: Iterable[tuple[int, int, str]], since_ns: int, until_ns: int) -> list[str]:
    """Return the reasons of stops between two times, without those that come from the scene."""
    return [
        reason
        for at_ns, state, reason in verdicts
        if since_ns <= at_ns <= until_ns and state not in _PASSING and not reason.startswith(_SCENE_REASONS)
    ]


def _stop(case: FaultCase, observed: Observations) -> tuple[int | None, int | None]:
    """Return the start of the effect, and the first zero command after which only zeros came until the end."""
    since_ns = observed.action_ns if case.begin is EffectStart.ACTION else observed.last_good_ns
    during = [command for command in observed.commands if since_ns <= command.at_ns <= observed.ended_ns]
    before = [command for command in observed.commands if command.at_ns < since_ns]
    if not before or before[-1].keeps(case.allowed_mps):
        return None, None
    too_fast = (command.at_ns for command in during if not command.keeps(case.allowed_mps))
    last_moving_ns = max(too_fast, default=since_ns)
    stop_ns = min((command.at_ns for command in during if command.at_ns > last_moving_ns), default=None)
    begin_ns = since_ns
    if (
        case.begin is EffectStart.FIRST_BAD
        and observed.first_bad_ns
        and (stop_ns is None or observed.first_bad_ns <= stop_ns)
    ):
        begin_ns = observed.first_bad_ns
    return begin_ns, stop_ns


def _longest_gap_s(observed: Observations) -> float | None:
    """Return the longest time between two commands while the fault lasted; None with less than two."""
    at_ns = [command.at_ns for command in observed.commands if observed.action_ns <= command.at_ns <= observed.ended_ns]
    gaps_s = [(after - before) * 1e-9 for before, after in pairwise(at_ns)]
    return max(gaps_s, default=None)


def _base_stopped_s(observed: Observations) -> float | None:
    stopped_ns = [at_ns for at_ns, speed in observed.speeds if at_ns > observed.action_ns and abs(speed) < _STOPPED_MPS]
    return (stopped_ns[0] - observed.action_ns) * 1e-9 if stopped_ns else None


def _commanded_after_silence(observed: Observations) -> bool:
    """Return whether a supervisor that was killed or paused commanded movement before the fault ended."""
    return any(
        command.is_moving
        for command in observed.commands
        if observed.action_ns + _DELIVERY_NS < command.at_ns <= observed.ended_ns
    )


def _resumed_s(observed: Observations, stop_ns: int | None) -> float | None:
    good_ns = max(observed.good_again_ns, observed.ended_ns)
    return None if stop_ns is None else _moving_s(observed, good_ns, good_ns)


def _moving_s(observed: Observations, after_ns: int, since_ns: int) -> float | None:
    """Return the time from ``since_ns`` to the first command to move after ``after_ns``."""
    moving = (command.at_ns for command in observed.commands if command.is_moving and command.at_ns > after_ns)
    first_ns = next(moving, None)
    return None if first_ns is None else (first_ns - since_ns) * 1e-9


def rounded(value: float | None) -> float | None:
    """Return a time rounded to a tenth of a millisecond; NaN becomes None."""
    return None if value is None or math.isnan(value) else round(value, 4)
