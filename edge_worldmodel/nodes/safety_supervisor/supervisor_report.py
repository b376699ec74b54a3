"""What the supervisor tells people: its state, why, what to do, and how punctual it is."""

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus

from edge_worldmodel.core.safety.faults import Cause
from edge_worldmodel.core.safety.intake import Intake
from edge_worldmodel.core.safety.states import PASSING, State
from edge_worldmodel.core.safety.supervisor import Supervisor
from edge_worldmodel.core.safety.tick_times import TickTimes
from edge_worldmodel.core.types import Verdict
from edge_worldmodel.nodes.ros.health import Health


class SupervisorReport:
    """Keeps a Health up to date with a Supervisor, at a cost that a safety tick can bear."""

    def __init__(self, health: Health, supervisor: Supervisor) -> None:
        self._health = health
        self._supervisor = supervisor
        self._ticks = TickTimes(1.0 / supervisor.config.rate_hz)
        self._told: tuple[Any, ...] = ()

    def tell(self, verdict: Verdict, steady_ns: int, early: bool = False) -> None:
        """Note a tick, on time or ``early`` on purpose: say what changed, refresh the figures once a second."""
        self._ticks.add(steady_ns, early)
        supervisor = self._supervisor
        told = (supervisor.state, supervisor.faults[0].cause if supervisor.faults else None)
        if told != self._told and told[1] is not Cause.SETTLING:  # why it stopped stays up until it goes on
            self._told = told
            self._tell_state(verdict)
        if self._ticks.due():
            intakes: list[Intake[Any]] = [supervisor.plan, supervisor.odometry]
            intakes += [*supervisor.sensors.values(), *supervisor.guards.intakes]
            self._health.figures.update(
                state=supervisor.state.name,
                reason=verdict.reason or "none",
                not_watched=", ".join(supervisor.config.unwatched) or "none",
                **{f"rejected_{intake.name.replace(' ', '_')}": intake.rejected.total() for intake in intakes},
                **self._ticks.figures(),
            )

    def _tell_state(self, verdict: Verdict) -> None:
        supervisor = self._supervisor
        if supervisor.state in PASSING:
            self._health.solved("stop")
            return
        level = DiagnosticStatus.WARN if supervisor.state is State.STARTING else DiagnosticStatus.ERROR
        todo = supervisor.faults[0].cause.value if supervisor.faults else "Call supervisor/reset."
        self._health.problem("stop", f"{supervisor.state.name}: {verdict.reason}. {todo}", level)
