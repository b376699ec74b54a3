"""Service ``supervisor/measure_base_timeout``: measures how long the drive base goes on after its last command."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import Trigger

from edge_worldmodel.core.safety.base_timeout import BaseTimeout
from edge_worldmodel.core.safety.supervisor import Supervisor
from edge_worldmodel.core.types import Verdict
from edge_worldmodel.nodes.ros.health import Health
from edge_worldmodel.nodes.ros.polling import subscribe
from edge_worldmodel.nodes.ros.qos import LATEST
from edge_worldmodel.nodes.safety_supervisor.supervisor_inputs import SupervisorInputs


class BaseTimeoutService:
    """Serves the measurement, and connects it with the ticks of the supervisor.

    Args:
        node: node that serves.
        supervisor: checks the motion of the measurement like any other.
        inputs: take no plan of the planner while it runs.
        health: gets the result.
        declared_s: command timeout that the parameters declare; 0 for unknown.
        has_drive_base: whether a drive base is commanded, not an autopilot.
    """

    def __init__(
        self,
        node: Node,
        supervisor: Supervisor,
        inputs: SupervisorInputs,
        health: Health,
        declared_s: float,
        has_drive_base: bool,
    ) -> None:
        self._logger, self._supervisor, self._inputs, self._health = node.get_logger(), supervisor, inputs, health
        self._has_drive_base = has_drive_base
        self._measurement = BaseTimeout(supervisor.config, declared_s)
        if not declared_s:
            text = "Does the drive base stop when commands end? See docs/safety.md, then set drive_base_timeout_s."
            health.problem("drive_base", text, DiagnosticStatus.WARN)
        self._watchdog = ""
        subscribe(node, String, "watchdog/state", self._on_watchdog, LATEST, health.reject)
        node.create_service(Trigger, "supervisor/measure_base_timeout", self._on_ask)

    def before_tick(self) -> None:
        """Hand over the plan of a measurement that runs."""
        inputs, now = self._supervisor.inputs, self._inputs.now
        self._inputs.ignores_planner = self._measurement.is_running
        plan = self._measurement.plan(inputs.pose(now), now)
        if plan is not None:
            inputs.receive_plan(plan, now)

    def after_tick(self, verdict: Verdict) -> Verdict:
        """Return the verdict to publish, and report a measurement that has ended."""
        if not self._measurement.is_running:
            return verdict
        now = self._inputs.now
        odometry = self._supervisor.inputs.trusted_odometry(now)
        zero = self._watchdog if self._watchdog.startswith("zero") else ""
        measured = None if odometry is None else odometry.twist
        verdict = self._measurement.watch(verdict, measured, zero and f"watchdog: {zero}", now)
        if not self._measurement.is_running:
            # So that the robot does not go on with the plan of the measurement, nor with one of before it.
            self._supervisor.inputs.plan.forget()
            self._report()
        return verdict

    def _report(self) -> None:
        measurement = self._measurement
        self._logger.warning(f"drive base: {measurement.report}")
        self._health.figures["measured_base_timeout_s"] = measurement.measured_s
        if measurement.is_good:
            self._health.solved("drive_base")
        else:
            self._health.problem("drive_base", measurement.report, DiagnosticStatus.WARN)

    def _on_watchdog(self, message: String) -> None:
        self._watchdog = message.data

    def _on_ask(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._inputs.read_clocks()
        now = self._inputs.now
        hindrance = self._supervisor.motion_hindrance(now)
        if not self._watchdog:
            hindrance = "the watchdog does not run"
        if not self._has_drive_base or self._supervisor.config.vehicle != "ground":
            hindrance = "only the drive base of a ground robot is measured"
        response.success, response.message = self._measurement.ask(hindrance, now)
        if response.success:
            self._supervisor.inputs.plan.forget()
        self._logger.warning(f"measure_base_timeout: {response.message}")
        return response
