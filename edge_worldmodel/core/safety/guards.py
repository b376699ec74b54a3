"""Signals of the operator and the vehicle: emergency stop, deadman switch, operator link, autopilot, battery, height.

The emergency stop and the topic of the drive base are always watched, and the autopilot where one is commanded. The
others are watched only if configured; ``SupervisorConfig.unwatched`` lists those that are not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import Fault, FaultKind
from edge_worldmodel.core.safety.inputs.intake import Instant, Intake, OdometrySample
from edge_worldmodel.core.safety.latches import EmergencyStop

_SILENT = ", silent"
"""Added to the topic of a silent panel, as a source that only this panel releases."""


class Guards:
    """Watches the configured signals. They carry no stamps, so only the steady clock counts.

    Args:
        config: which signals are watched, and how long each may be silent.
        pressed: sources that press the emergency stop from the beginning.
    """

    def __init__(self, config: SupervisorConfig, pressed: Iterable[str] = ()) -> None:
        self._config = config
        self.estop = EmergencyStop(pressed)
        self.panels: dict[str, Intake[bool]] = {
            topic: _intake(f"emergency stop {topic}", FaultKind.ESTOP_SIGNAL, config.estop_heartbeat_s)
            for topic in config.estop_topics
        }
        self._command_publishers = config.command_publishers
        self.deadman: Intake[bool] = _intake("deadman", FaultKind.DEADMAN, config.deadman_timeout_s)
        self.link: Intake[bool] = _intake("operator link", FaultKind.LINK, config.operator_link_timeout_s)
        self.autopilot: Intake[bool] = _intake("autopilot", FaultKind.AUTOPILOT, config.autopilot_timeout_s)
        self._has_autopilot = False
        self.battery: Intake[float] = _intake("battery", FaultKind.BATTERY_SIGNAL, config.battery_timeout_s)

    @property
    def intakes(self) -> tuple[Intake[Any], ...]:
        """Intakes of the configured signals."""
        config = self._config
        watched_intakes: tuple[tuple[float, Intake[Any]], ...] = (
            (config.battery_min, self.battery),
            (config.operator_link, self.link),
            (config.deadman, self.deadman),
            (self._has_autopilot, self.autopilot),
            *((config.estop_heartbeat_s, panel) for panel in self.panels.values()),
        )
        return tuple(intake for watched, intake in watched_intakes if watched)

    def receive_panel(self, topic: str, now: Instant) -> None:
        """Note that a topic of the emergency stop is alive. Its content goes to ``estop``."""
        self.panels[topic].offer(True, now.steady_ns, "", _steady(now))
        self.estop.press(False, f"{topic}{_SILENT}")

    def watch_panels(self, now: Instant) -> None:
        """Press the emergency stop for each topic that has fallen silent; never heard, it is only a fault."""
        if not self._config.estop_heartbeat_s:
            return
        for topic, panel in self.panels.items():
            if panel.value is not None and panel.fault(_steady(now)) is not None:
                self.estop.press(True, f"{topic}{_SILENT}")

    def receive_command_publishers(self, count: int) -> None:
        """Take the number of publishers of the topic of the drive base."""
        self._command_publishers = count

    def command_topic_fault(self) -> Fault | None:
        """Return the fault of a second program that commands the drive base."""
        count, expected = self._command_publishers, self._config.command_publishers
        if count <= expected:
            return None
        text = f"the topic of the drive base has {count} publishers, expected {expected}"
        return Fault(FaultKind.COMMAND_TOPIC, text)

    def receive_deadman(self, held: bool, now: Instant) -> None:
        """Take the state of the deadman switch."""
        self.deadman.offer(held, now.steady_ns, "" if held else "released", _steady(now))

    def receive_heartbeat(self, now: Instant) -> None:
        """Take a heartbeat of the operator's station."""
        self.link.offer(True, now.steady_ns, "", _steady(now))

    def watch_autopilot(self) -> None:
        """Pass commands on only while an autopilot follows them; it does not until its status says so."""
        self._has_autopilot = True

    def receive_autopilot(self, waiting_for: str, now: Instant) -> None:
        """Take the status of the autopilot.

        Args:
            waiting_for: condition under which it would follow commands, for people; empty if it follows them.
            now: time of receipt.
        """
        self.autopilot.offer(True, now.steady_ns, waiting_for and f"waiting for {waiting_for}", _steady(now))

    @property
    def is_flown_by_pilot(self) -> bool:
        """Whether, by its newest status, the autopilot does not follow commands; also if there was no status yet."""
        return self._has_autopilot and self.autopilot.value is None

    def receive_battery(self, charge: float, now: Instant) -> None:
        """Take the charge of the battery, from 0 to 1."""
        problem = "" if 0.0 <= charge <= 1.0 else f"charge is {charge:g}, expected 0 to 1"
        self.battery.offer(charge, now.steady_ns, problem, _steady(now))

    def estop_fault(self) -> Fault | None:
        """Return the fault of a pressed emergency stop."""
        if not self.estop.pressed:
            return None
        sources = ", ".join(sorted(self.estop.sources))
        return Fault(FaultKind.ESTOP, f"emergency stop pressed ({sources})" if sources else "emergency stop pressed")

    def battery_fault(self) -> Fault | None:
        """Return the fault of a battery whose last known charge is below the limit."""
        charge, minimum = self.battery.value, self._config.battery_min
        if charge is None or charge >= minimum:
            return None
        return Fault(FaultKind.BATTERY, f"battery at {100.0 * charge:.0f} %, the limit is {100.0 * minimum:.0f} %")

    def battery_witness(self, now: Instant) -> Fault | None:
        """Return why the present charge is unknown; None if it is known, or not watched."""
        return self.battery.fault(_steady(now)) if self._config.battery_min else None

    def height_fault(self, odometry: OdometrySample | None) -> Fault | None:
        """Return the fault of a drone outside its height band; none without odometry or without a band."""
        if odometry is None or not self._config.height_band_m:
            return None
        lowest_m, highest_m = self._config.height_band_m
        if lowest_m <= odometry.height_m <= highest_m:
            return None
        return Fault(FaultKind.HEIGHT, f"height {odometry.height_m:.2f} m is outside {lowest_m:g} m to {highest_m:g} m")

    def signal_faults(self, now: Instant) -> list[Fault]:
        """Return the faults of the configured signals, the most serious first."""
        faults = (intake.fault(_steady(now)) for intake in self.intakes)
        return [fault for fault in faults if fault is not None]


def _intake(name: str, kind: FaultKind, timeout_s: float) -> Intake[Any]:
    return Intake(name, kind, timeout_s, timeout_s, 0.0, repeats=True)


def _steady(now: Instant) -> Instant:
    """Return the instant with the steady clock in place of the ROS clock, which may jump."""
    return Instant(now.steady_ns, now.steady_ns)
