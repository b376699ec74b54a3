"""Signals of the operator and the vehicle: emergency stop, deadman switch, operator link, battery and height.

The emergency stop is always watched. The others are watched only if configured; ``SupervisorConfig.unwatched``
lists those that are not.
"""

from __future__ import annotations

from typing import Any

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import Fault, FaultKind
from edge_worldmodel.core.safety.intake import Instant, Intake, OdometrySample


class EmergencyStop:
    """Emergency stop with several sources: pressed while any of them presses it.

    A press that is shorter than a tick still counts: ``pressed`` stays true until ``acknowledge``.
    """

    def __init__(self) -> None:
        self._sources: set[str] = set()
        self._unacknowledged = False

    def press(self, pressed: bool, source: str) -> None:
        """Press or release the stop; a source releases only what it pressed itself."""
        if pressed:
            self._sources.add(source)
            self._unacknowledged = True
        else:
            self._sources.discard(source)

    @property
    def pressed(self) -> bool:
        """Whether the stop is pressed, or was pressed since the last ``acknowledge``."""
        return self._unacknowledged or bool(self._sources)

    def acknowledge(self) -> None:
        """Note that the robot was stopped for it."""
        self._unacknowledged = False


class Guards:
    """Watches the configured signals. They carry no stamps, so only the steady clock counts."""

    def __init__(self, config: SupervisorConfig) -> None:
        self._config = config
        self.estop = EmergencyStop()
        self.deadman: Intake[bool] = _intake("deadman", FaultKind.DEADMAN, config.deadman_timeout_s)
        self.link: Intake[bool] = _intake("operator link", FaultKind.LINK, config.operator_link_timeout_s)
        self.battery: Intake[float] = _intake("battery", FaultKind.BATTERY_SIGNAL, config.battery_timeout_s)

    @property
    def intakes(self) -> tuple[Intake[Any], ...]:
        """Intakes of the configured signals."""
        config = self._config
        watched_intakes = (
            (config.battery_min, self.battery),
            (config.operator_link, self.link),
            (config.deadman, self.deadman),
        )
        return tuple(intake for watched, intake in watched_intakes if watched)

    def receive_deadman(self, held: bool, now: Instant) -> None:
        """Take the state of the deadman switch."""
        self.deadman.offer(held, now.steady_ns, "" if held else "released", _steady(now))

    def receive_heartbeat(self, now: Instant) -> None:
        """Take a heartbeat of the operator's station."""
        self.link.offer(True, now.steady_ns, "", _steady(now))

    def receive_battery(self, charge: float, now: Instant) -> None:
        """Take the charge of the battery, from 0 to 1."""
        problem = "" if 0.0 <= charge <= 1.0 else f"charge is {charge:g}, expected 0 to 1"
        self.battery.offer(charge, now.steady_ns, problem, _steady(now))

    def estop_fault(self) -> Fault | None:
        """Return the fault of a pressed emergency stop."""
        return Fault(FaultKind.ESTOP, "emergency stop pressed") if self.estop.pressed else None

    def battery_fault(self) -> Fault | None:
        """Return the fault of a battery whose last known charge is below the limit."""
        charge, minimum = self.battery.value, self._config.battery_min
        if charge is None or charge >= minimum:
            return None
        return Fault(FaultKind.BATTERY, f"battery at {100.0 * charge:.0f} %, the limit is {100.0 * minimum:.0f} %")

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
