"""Reports the supervisor in /diagnostics: state, reason, advice and jitter."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus

from edge_worldmodel.core.safety.faults import FaultKind
from edge_worldmodel.core.safety.inputs.intake import Intake
from edge_worldmodel.core.safety.states import PASSING, State
from edge_worldmodel.core.safety.supervisor import Supervisor
from edge_worldmodel.core.time_units import to_seconds
from edge_worldmodel.core.types import Verdict
from edge_worldmodel.nodes.ros.health import Health


class TickTimes:
    """Jitter of a periodic task: difference between each interval and the period.

    Args:
        period_s: intended time between two ticks.
        remembered: number of the last intervals that count.
    """

    def __init__(self, period_s: float, remembered: int = 1000) -> None:
        self._period_s = period_s
        self._every = max(1, round(1.0 / period_s))
        self._errors_s: deque[float] = deque(maxlen=remembered)
        self._last_ns: int | None = None
        self._count = 0

    def add(self, steady_ns: int, early: bool = False) -> None:
        """Note a tick. An ``early`` one, made on purpose, is no jitter; the next interval begins with it."""
        if self._last_ns is not None and not early:
            self._errors_s.append(abs(to_seconds(steady_ns - self._last_ns) - self._period_s))
        self._last_ns = steady_ns
        self._count += 1

    def due(self) -> bool:
        """Return True about once a second, when the figures should be updated."""
        return self._count % self._every == 0

    def figures(self) -> dict[str, float | int]:
        """Return the number of ticks and their jitter in seconds."""
        errors_s = np.array(self._errors_s or [0.0])
        p50, p999 = np.percentile(errors_s, [50.0, 99.9])
        return {
            "ticks": self._count,
            "tick_jitter_p50_s": float(p50),
            "tick_jitter_p999_s": float(p999),
            "tick_jitter_max_s": float(errors_s.max()),
        }


class SupervisorReport:
    """Keeps a Health up to date with a Supervisor, with little work in each tick.

    Args:
        health: publishes the report.
        supervisor: supervisor to report.
    """

    def __init__(self, health: Health, supervisor: Supervisor) -> None:
        self._health = health
        self._supervisor = supervisor
        self._ticks = TickTimes(1.0 / supervisor.config.rate_hz)
        self._reported: tuple[Any, ...] = ()

    def update(self, verdict: Verdict, steady_ns: int, early: bool = False) -> None:
        """Note a tick: report a change at once, and update the figures once a second.

        Args:
            verdict: verdict of the tick.
            steady_ns: time of the tick.
            early: whether the tick was made before the timer was due.
        """
        self._ticks.add(steady_ns, early)
        supervisor = self._supervisor
        state_and_fault = (supervisor.state, supervisor.reported.kind if supervisor.reported else None)
        # While it settles, the reason why it stopped stays.
        if state_and_fault != self._reported and state_and_fault[1] is not FaultKind.SETTLING:
            self._reported = state_and_fault
            self._report_state(verdict)
        if self._ticks.due():
            intakes: list[Intake[Any]] = [supervisor.inputs.plan, supervisor.inputs.odometry]
            intakes += [*supervisor.inputs.sensors.values(), *supervisor.guards.intakes]
            self._health.figures.update(
                state=supervisor.state.name,
                reason=verdict.reason or "none",
                open_country=supervisor.config.open_country,
                not_watched=", ".join(supervisor.config.unwatched) or "none",
                **self._ticks.figures(),
            )
            for intake in intakes:
                kind = intake.name.replace(" ", "_")
                self._health.rejected[kind] = intake.rejected.total()
                if intake.last_rejection:
                    self._health.reasons[kind] = intake.last_rejection

    def _report_state(self, verdict: Verdict) -> None:
        supervisor = self._supervisor
        if supervisor.state in PASSING:
            self._health.solved("stop")
            return
        level = DiagnosticStatus.WARN if supervisor.state is State.STARTING else DiagnosticStatus.ERROR
        advice = supervisor.reported.kind.value if supervisor.reported else "Call supervisor/reset."
        self._health.problem("stop", f"{supervisor.state.name}: {verdict.reason}. {advice}", level)
