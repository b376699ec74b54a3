"""The operator's and the vehicle's own signals: estop, deadman, heartbeat and battery."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sensor_msgs.msg import BatteryState
from std_msgs.msg import Bool, Empty

from edge_worldmodel.core.safety.intake import Clock
from edge_worldmodel.core.safety.supervisor import Supervisor
from edge_worldmodel.nodes.ros.polling import Polled
from edge_worldmodel.nodes.ros.qos import EVENTS, SENSOR


class OperatorTopics:
    """Subscribes to ``estop`` always and to the other signals where they are configured.

    Args:
        inputs: subscriptions read once a tick.
        supervisor: who is told.
        now: both clocks.
    """

    def __init__(self, inputs: Polled, supervisor: Supervisor, now: Callable[[], Clock]) -> None:
        self._guards = supervisor.guards
        self._supervisor = supervisor
        self._now = now
        config = supervisor.config
        inputs.subscribe(Bool, "estop", self._on_estop, EVENTS)
        if config.deadman:
            inputs.subscribe(Bool, "supervisor/deadman", self._on_deadman, SENSOR)
        if config.operator_link:
            inputs.subscribe(Empty, "operator_heartbeat", self._on_heartbeat, SENSOR)
        if config.battery_min:
            inputs.subscribe(BatteryState, "battery_state", self._on_battery, SENSOR)

    def _on_estop(self, message: Any) -> None:
        self._supervisor.press_estop(message.data, "topic")

    def _on_deadman(self, message: Any) -> None:
        self._guards.receive_deadman(message.data, self._now())

    def _on_heartbeat(self, _: Any) -> None:
        self._guards.receive_heartbeat(self._now())

    def _on_battery(self, message: Any) -> None:
        self._guards.receive_battery(message.percentage, self._now())
