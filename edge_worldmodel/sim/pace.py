"""Keeps simulated time in step with wall time, and decides when periodic work is due; wall time is an argument."""

from __future__ import annotations

_MAX_BEHIND_S = 0.1


class Pace:
    """Simulated time as a function of wall time; a late simulation slows down and does not catch up."""

    def __init__(self, factor: float, stamp_ns: int, wall_s: float) -> None:
        """Start at a simulated stamp and a wall time; ``factor`` is simulated seconds per second."""
        self._factor = factor
        self._start_ns, self._start_s = stamp_ns, wall_s
        self.slipped_s = 0.0

    def due_ns(self, stamp_ns: int, wall_s: float) -> int:
        """Return the simulated time to reach at a wall time.

        Args:
            stamp_ns: present simulated time.
            wall_s: present wall time.
        """
        due_ns = self._start_ns + round((wall_s - self._start_s) * self._factor * 1e9)
        behind_s = (due_ns - stamp_ns) / self._factor / 1e9
        if behind_s <= _MAX_BEHIND_S:
            return due_ns
        slip_s = behind_s - _MAX_BEHIND_S
        # Moving the start means that lost time is not made up for.
        self._start_s += slip_s
        self.slipped_s += slip_s
        return due_ns - round(slip_s * self._factor * 1e9)


class Schedule:
    """Decides when work with a fixed rate in simulated time is due."""

    def __init__(self, rate_hz: float, now_ns: int) -> None:
        """Work is first due one period from now."""
        self._period_ns = 1e9 / rate_hz
        self._start_ns = now_ns
        self._count = 1

    def is_due(self, stamp_ns: int) -> bool:
        """Return whether work is due; once per period, and missed periods are not caught up."""
        periods = int((stamp_ns - self._start_ns) / self._period_ns + 1e-6)
        if periods < self._count:
            return False
        self._count = periods + 1
        return True
