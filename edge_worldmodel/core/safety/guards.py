"""What has to hold besides plan, sensors and clock: emergency stop, deadman switch, operator link, battery, height.

All but the emergency stop are off unless configured; ``SupervisorConfig.unwatched`` names those that are off.
"""

from __future__ import annotations

from typing import Any

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import Cause, Fault
from edge_worldmodel.core.safety.intake import Clock, Intake, Odometry


class EmergencyStop:
    """Pressed while any source holds it; a press shorter than a tick is seen all the same."""

    def __init__(self) -> None:
        self._pressed: set[str] = set()
        self._unseen = False

    def press(self, pressed: bool, source: str) -> None:
        """Press or release by one source; nobody releases what another has pressed."""
        if pressed:
            self._pressed.add(source)
            self._unseen = True
        else:
            self._pressed.discard(source)

    @property
    def pressed(self) -> bool:
        """Whether the robot has to stop: pressed now, or since the last ``seen``."""
        return self._unseen or bool(self._pressed)

    def seen(self) -> None:
        """Note that the stop was acted upon."""
        self._unseen = False


class Guards:
    """The operator's and the vehicle's own signals, timed by receipt on the steady clock alone."""

    def __init__(self, config: SupervisorConfig) -> None:
        self._config = config
        self.estop = EmergencyStop()
        self.deadman: Intake[bool] = _intake("deadman", Cause.DEADMAN, config.deadman_timeout_s)
        self.link: Intake[bool] = _intake("operator link", Cause.LINK, config.operator_link_timeout_s)
        self.battery: Intake[float] = _intake("battery", Cause.BATTERY_SIGNAL, config.battery_timeout_s)

    @property
    def intakes(self) -> tuple[Intake[Any], ...]:
        """Those that are watched."""
        config = self._config
        on_and_intake = (
            (config.battery_min, self.battery),
            (config.operator_link, self.link),
            (config.deadman, self.deadman),
        )
        return tuple(intake for on, intake in on_and_intake if on)

    def receive_deadman(self, held: bool, clock: Clock) -> None:
        """Take the state of the deadman switch."""
        self.deadman.offer(held, clock.steady_ns, "" if held else "released", _steady(clock))

    def receive_heartbeat(self, clock: Clock) -> None:
        """Take a sign of life from the operator."""
        self.link.offer(True, clock.steady_ns, "", _steady(clock))

    def receive_battery(self, charge: float, clock: Clock) -> None:
        """Take the battery's charge, 0..1."""
        problem = "" if 0.0 <= charge <= 1.0 else f"charge is {charge:g}, expected 0 to 1"
        self.battery.offer(charge, clock.steady_ns, problem, _steady(clock))

    def battery_low(self) -> Fault | None:
        """Return the fault of a battery that was low when it was last heard of."""
        charge, least = self.battery.value, self._config.battery_min
        if charge is None or charge >= least:
            return None
        return Fault(Cause.BATTERY, f"battery at {100.0 * charge:.0f} %, the limit is {100.0 * least:.0f} %")

    def faults(self, odometry: Odometry | None, clock: Clock) -> list[Fault]:
        """Return what is wrong now, the gravest first.

        Args:
            odometry: the newest that can be trusted, for the height.
            clock: now.
        """
        now = _steady(clock)
        found = [self._height_fault(odometry), *(intake.fault(now) for intake in self.intakes)]
        return [fault for fault in found if fault is not None]

    def _height_fault(self, odometry: Odometry | None) -> Fault | None:
        if odometry is None or not self._config.height_band_m:
            return None
        lowest_m, highest_m = self._config.height_band_m
        if lowest_m <= odometry.height_m <= highest_m:
            return None
        return Fault(Cause.HEIGHT, f"height {odometry.height_m:.2f} m is outside {lowest_m:g} m to {highest_m:g} m")


def _intake(name: str, cause: Cause, timeout_s: float) -> Intake[Any]:
    return Intake(name, cause, timeout_s, timeout_s, 0.0, repeats=True)


def _steady(clock: Clock) -> Clock:
    """Return the moment by the steady clock alone: signals without a stamp do not care how the ROS clock runs."""
    return Clock(clock.steady_ns, clock.steady_ns)
