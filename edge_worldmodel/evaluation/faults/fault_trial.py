"""Injects one fault into the running graph and records everything until the robot drives again."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from edge_worldmodel.evaluation.faults.fault_graph import (
    FaultGraph,
    all_cores_busy,
    asked,
    disk_full,
    paused,
    respawned_under_estop,
    started_in_the_air,
)
from edge_worldmodel.evaluation.faults.fault_matrix import ExpectedEffect, FaultCase
from edge_worldmodel.evaluation.faults.fault_result import InjectionResult, Observations, judge

_HOLD_S = 0.15
"""A stop counts once it has lasted this long."""
_OVERTIME_S = 0.5
_PAUSED_S = 1.2
"""How long a paused supervisor is watched; long enough for the drive base to notice and brake."""
_KILLED_S = 0.8
"""A killed node is not back earlier: launch waits a second before it starts it again."""
_DRIVE_AGAIN_S = 20.0
_COMES_TO_REST_S = 1.0


def inject(case: FaultCase, graph: FaultGraph) -> tuple[InjectionResult, Observations]:
    """Inject a fault, wait for its effect, end it, and wait until the robot drives again or a time limit is over."""
    contacts = graph.contacts
    action_ns = time.monotonic_ns()
    with ACTIONS.get(case.how, _spoil)(case, graph):
        graph.poll()
        route = graph.routes.get(case.target, {})
        last_good_ns = route.get("last_good_ns", action_ns)
        _watch(case, graph, action_ns)
        landed = graph.is_landing()
        first_bad_ns = graph.routes.get(case.target, {}).get("first_bad_ns", 0)
        ended_ns = time.monotonic_ns()
    drives_again = graph.wait(lambda: graph.now_ns > ended_ns + 100_000_000 and graph.is_driving(), _DRIVE_AGAIN_S)
    good_again_ns = graph.routes.get(case.target, {}).get("first_good_ns", 0)
    observed = Observations(
        action_ns,
        ended_ns,
        last_good_ns,
        first_bad_ns,
        good_again_ns,
        tuple(graph.commands),
        tuple(graph.verdicts),
        tuple(graph.speeds),
        graph.contacts - contacts,
        drives_again,
        landed,
    )
    return judge(case, observed), observed


def _watch(case: FaultCase, graph: FaultGraph, action_ns: int) -> None:
    """Wait until the effect is clear or overdue."""
    if case.expected is ExpectedEffect.LAND:
        graph.wait(graph.is_landing, case.limit_s)
    elif case.how == "kill" and case.expected is not ExpectedEffect.GO_ON:
        _wait_until(graph, action_ns, _KILLED_S)
    elif case.expected is ExpectedEffect.BASE_STOPS:
        _wait_until(graph, action_ns, _PAUSED_S)
    elif case.expected in (ExpectedEffect.STOP, ExpectedEffect.CREEP):
        _wait_until(graph, action_ns, case.lasts_s)
        graph.wait(lambda: _has_reacted(case, graph), case.limit_s + _OVERTIME_S - case.lasts_s)
    else:
        _wait_until(graph, action_ns, case.lasts_s)


def _wait_until(graph: FaultGraph, action_ns: int, after_s: float) -> None:
    graph.wait(lambda: graph.now_ns - action_ns > after_s * 1e9, after_s + 1.0)


def _has_reacted(case: FaultCase, graph: FaultGraph) -> bool:
    since_ns = graph.now_ns - round(_HOLD_S * 1e9)
    recent = [command for command in graph.commands if command.at_ns >= since_ns]
    return bool(recent) and all(command.keeps(case.allowed_mps) for command in recent)


@contextlib.contextmanager
def _kill(case: FaultCase, graph: FaultGraph) -> Iterator[None]:
    os.kill(graph.graph.processes()[case.target], signal.SIGKILL)
    yield
    if case.target == "watchdog":
        _reset_at_rest(graph)


@contextlib.contextmanager
def _pause(case: FaultCase, graph: FaultGraph) -> Iterator[None]:
    with paused(graph.graph.processes()[case.target]):
        yield
    if case.target == "watchdog":
        _reset_at_rest(graph)


def _reset_at_rest(graph: FaultGraph) -> None:
    """Do what a person does after the measured motion contradicted the commands, as without the watchdog."""
    graph.wait(lambda: False, _COMES_TO_REST_S)
    graph.ask("reset")


def _spoil(case: FaultCase, graph: FaultGraph) -> AbstractContextManager[None]:
    return asked(graph, "spoil", topic=case.target, how=case.how, **case.settings)


@contextlib.contextmanager
def _spoil_motion(case: FaultCase, graph: FaultGraph) -> Iterator[None]:
    """Make the measured motion contradict the commands. A person has to reset the robot after that."""
    with _spoil(case, graph):
        yield
    _reset_at_rest(graph)


ACTIONS: dict[str, Callable[[FaultCase, FaultGraph], AbstractContextManager[None]]] = {
    "kill": _kill,
    "pause": _pause,
    "load": lambda case, graph: all_cores_busy(),
    "fill disk": lambda case, graph: disk_full(list(graph.graph.processes().values())),
    "flood": lambda case, graph: asked(graph, "flood", topic=case.target, **case.settings),
    "rival": lambda case, graph: asked(graph, "rival"),
    "estop and kill": lambda case, graph: respawned_under_estop(graph, graph.graph.processes()[case.target]),
    "dead_encoder": _spoil_motion,
    "reverse": _spoil_motion,
    "exaggerate": _spoil_motion,
    "start in the air": lambda case, graph: started_in_the_air(graph),
}
"""Faults that are not a changed message of one stream."""
