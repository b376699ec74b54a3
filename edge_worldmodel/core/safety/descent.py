"""How fast a drone that lands goes down, and when it is down."""

from __future__ import annotations

from edge_worldmodel.core.safety.intake import Clock, Odometry

_STILL_S = 2.0
_SINKING_SHARE = 0.5
_STILL_SHARE = 0.2


class Descent:
    """Descends until the vertical speed, once seen, has ended for two seconds.

    Without a measured descent (no odometry, or one that knows no height) it goes on: pushing down on the ground
    is what makes an autopilot notice that it has landed, stopping in the air is not.

    Args:
        speed_mps: speed of descent.
    """

    def __init__(self, speed_mps: float) -> None:
        self._speed_mps = speed_mps
        self._sank_ns: int | None = None
        self.landed = False

    def climb_mps(self, lands: bool, odometry: Odometry | None, clock: Clock) -> float:
        """Return the vertical speed to command, 0 or negative.

        Args:
            lands: whether the drone is to land at all.
            odometry: the newest that can be trusted.
            clock: now.
        """
        if not lands:
            self._sank_ns, self.landed = None, False
            return 0.0
        sinking_mps = 0.0 if odometry is None else -odometry.climb_mps
        begun = sinking_mps > _SINKING_SHARE * self._speed_mps
        goes_on = self._sank_ns is not None and (odometry is None or abs(sinking_mps) > _STILL_SHARE * self._speed_mps)
        if begun or goes_on:
            self._sank_ns = clock.steady_ns
        if self._sank_ns is not None and (clock.steady_ns - self._sank_ns) * 1e-9 > _STILL_S:
            self.landed = True
        return 0.0 if self.landed else -self._speed_mps
