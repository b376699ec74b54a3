"""When a drone lands instead of holding its place, how fast it descends, and when it has landed."""

from __future__ import annotations

from collections.abc import Sequence

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import LANDING_AT_ONCE, Fault
from edge_worldmodel.core.safety.inputs.intake import Instant, OdometrySample
from edge_worldmodel.core.time_units import to_seconds

_LANDED_AFTER_S = 2.0
_DESCENDING_SHARE = 0.5
_RESTING_SHARE = 0.2


class Landing:
    """Decides when a drone has to land and commands its descent.

    The drone has landed when odometry has shown it descending and then resting for two seconds. Without a measured
    descent the command goes on: an autopilot needs the push against the ground to notice that it has landed.

    Args:
        config: time to hold before landing, and speed of descent.
        cause: reason of a landing that is under way at the beginning.
    """

    def __init__(self, config: SupervisorConfig, cause: str = "") -> None:
        self._hold_s = config.hold_before_land_s
        self._airborne_m = config.airborne_height_m
        self._speed_mps = config.landing_speed_mps
        self._last_good_ns: int | None = None
        self._last_descent_ns: int | None = None
        self.cause = cause
        self.landed = False

    def is_airborne(self, odometry: OdometrySample | None) -> bool:
        """Return whether the drone flies, by its height; unknown counts as on the ground."""
        return odometry is not None and odometry.height_m > self._airborne_m

    def all_good(self, now: Instant) -> None:
        """Note a tick without any fault, or one in which a pilot flies."""
        self._last_good_ns = now.steady_ns

    def is_due(self, faults: Sequence[Fault], now: Instant) -> bool:
        """Return whether the faults have lasted too long to hold, or do not allow holding at all."""
        if self._last_good_ns is None:
            self._last_good_ns = now.steady_ns
        faulty_s = to_seconds(now.steady_ns - self._last_good_ns)
        return faulty_s > self._hold_s or any(fault.kind in LANDING_AT_ONCE for fault in faults)

    def begin(self, fault: Fault) -> None:
        """Remember the fault that the drone lands for."""
        self.cause = fault.text

    def reason(self) -> str:
        """Return the reason to show while landing."""
        return "landed; call supervisor/reset to go on" if self.landed else f"landing: {self.cause}"

    def climb_mps(self, lands: bool, odometry: OdometrySample | None, now: Instant) -> float:
        """Return the vertical speed to command, 0 or negative.

        Args:
            lands: whether the drone is landing now.
            odometry: newest trusted odometry, None without.
            now: present time.
        """
        if not lands:
            self._last_descent_ns, self.landed = None, False
            return 0.0
        descent_mps = 0.0 if odometry is None else -odometry.climb_mps
        begins = descent_mps > _DESCENDING_SHARE * self._speed_mps
        goes_on = self._last_descent_ns is not None and (
            odometry is None or abs(descent_mps) > _RESTING_SHARE * self._speed_mps
        )
        if begins or goes_on:
            self._last_descent_ns = now.steady_ns
        if self._last_descent_ns is not None and to_seconds(now.steady_ns - self._last_descent_ns) > _LANDED_AFTER_S:
            self.landed = True
        return 0.0 if self.landed else -self._speed_mps
