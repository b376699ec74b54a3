"""Judges one injected fault by what was heard: did the robot stop, how soon, and did it stop without need."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_worldmodel.evaluation.faults.fault_graph import Command
from edge_worldmodel.evaluation.faults.fault_matrix import Begin, Case, Expected

_PASSING = (1, 2)
"""Verdict.ACTIVE and LIMITING."""
_OF_THE_SCENE = ("an obstacle", "the robot is faster than", "risk", "the braking path leaves", "all checks pass again")
"""Reasons of stops that the scene asks for, and of what follows a stop; others are about inputs."""
_STANDING_MPS = 0.03
_LAST_WORD_NS = 40_000_000
"""A command published just before its sender was killed may be heard so much later."""


@dataclass(frozen=True)
class Heard:
    """What was heard around one injection; times in ns of the steady clock, 0: never.

    Attributes:
        action_ns: when it was broken; ``ended_ns``: when it was mended.
        last_good_ns, first_bad_ns, good_again_ns: of the stream concerned.
        commands, verdicts, speeds: from before the action until the robot drove again.
        contacts: how many contacts began.
        recovered: whether the robot drove again within a good while.
    """

    action_ns: int
    ended_ns: int
    last_good_ns: int
    first_bad_ns: int
    good_again_ns: int
    commands: Sequence[Command]
    verdicts: Sequence[tuple[int, int, str]]
    speeds: Sequence[tuple[int, float]]
    contacts: int
    recovered: bool = True


@dataclass(frozen=True)
class Outcome:
    """The verdict on one injection; times in seconds, None where they do not apply."""

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


def judge(case: Case, heard: Heard) -> Outcome:
    """Return the outcome of an injection; not valid when the robot had stopped before for another reason."""
    begin_ns, stop_ns = _stop(case, heard)
    stopped_s = None if stop_ns is None or begin_ns is None else (stop_ns - begin_ns) * 1e-9
    standing_s = _standing_s(heard) if case.expected is Expected.BASE_STOPS else None
    reasons = input_reasons(heard.verdicts, heard.action_ns, heard.ended_ns + 100_000_000)
    valid, missed = begin_ns is not None, False
    if case.expected is Expected.STOP:
        missed = valid and (stopped_s is None or stopped_s > case.limit_s)
    elif case.expected is Expected.BASE_STOPS:
        stopped_s, missed = None, _moved_on(heard) or standing_s is None or standing_s > case.limit_s
    false_stop = case.expected is Expected.GO_ON and bool(reasons)
    if case.expected is Expected.GO_ON:
        stopped_s = None
    resumed_s = _resumed_s(heard, stop_ns)
    killed = case.how == "kill" and case.expected is not Expected.GO_ON
    return Outcome(
        fault=case.fault,
        where=case.where,
        stopped_s=stopped_s,
        base_standing_s=standing_s,
        resumed_s=None if killed or case.expected is Expected.BASE_STOPS else resumed_s,
        recovery_s=_recovery_s(heard) if killed else None,
        contacts=heard.contacts,
        missed=missed,
        false_stop=false_stop,
        valid=valid,
        reason=reasons[0] if reasons else "",
        recovered=heard.recovered,
    )


def input_reasons(verdicts: Iterable[tuple[int, int, str]], since_ns: int, until_ns: int) -> list[str]:
    """Return why the supervisor stopped in a time, without the reasons that lie in the scene."""
    return [
        reason
        for at_ns, state, reason in verdicts
        if since_ns <= at_ns <= until_ns and state not in _PASSING and not reason.startswith(_OF_THE_SCENE)
    ]


def _stop(case: Case, heard: Heard) -> tuple[int | None, int | None]:
    """Return when the effect began, and the first zero command after which only zeros came while it lasted."""
    since_ns = heard.action_ns if case.begin is Begin.ACTION else heard.last_good_ns
    during = [command for command in heard.commands if since_ns <= command.at_ns <= heard.ended_ns]
    before = [command for command in heard.commands if command.at_ns < since_ns]
    if not before or not before[-1].moves:
        return None, None
    last_moving_ns = max((command.at_ns for command in during if command.moves), default=since_ns)
    stop_ns = min((command.at_ns for command in during if command.at_ns > last_moving_ns), default=None)
    begin_ns = since_ns
    if case.begin is Begin.FIRST_BAD and heard.first_bad_ns and (stop_ns is None or heard.first_bad_ns <= stop_ns):
        begin_ns = heard.first_bad_ns
    return begin_ns, stop_ns


def _standing_s(heard: Heard) -> float | None:
    stood = [at_ns for at_ns, speed in heard.speeds if at_ns > heard.action_ns and abs(speed) < _STANDING_MPS]
    return (stood[0] - heard.action_ns) * 1e-9 if stood else None


def _moved_on(heard: Heard) -> bool:
    """Tell whether a silenced supervisor still commanded to move, or began with it when it was back."""
    return any(
        command.moves for command in heard.commands if heard.action_ns + _LAST_WORD_NS < command.at_ns <= heard.ended_ns
    )


def _resumed_s(heard: Heard, stop_ns: int | None) -> float | None:
    good_ns = max(heard.good_again_ns, heard.ended_ns)
    if stop_ns is None:
        return None
    moving = (command.at_ns for command in heard.commands if command.moves and command.at_ns > good_ns)
    first_ns = next(moving, None)
    return None if first_ns is None else (first_ns - good_ns) * 1e-9


def _recovery_s(heard: Heard) -> float | None:
    moving = (command.at_ns for command in heard.commands if command.moves and command.at_ns > heard.ended_ns)
    first_ns = next(moving, None)
    return None if first_ns is None else (first_ns - heard.action_ns) * 1e-9


def rounded(value: float | None) -> float | None:
    """Return a time rounded to a tenth of a millisecond; NaN becomes None."""
    return None if value is None or math.isnan(value) else round(value, 4)
