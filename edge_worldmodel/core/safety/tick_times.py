"""How punctual a periodic task is."""

from __future__ import annotations

from collections import deque

import numpy as np


class TickTimes:
    """Jitter of the last few hundred ticks: how far each interval was from the period.

    Args:
        period_s: intended time between two ticks.
        remembered: number of intervals that count.
    """

    def __init__(self, period_s: float, remembered: int = 1000) -> None:
        self._period_s = period_s
        self._every = max(1, round(1.0 / period_s))
        self._errors_s: deque[float] = deque(maxlen=remembered)
        self._last_ns: int | None = None
        self._count = 0

    def add(self, steady_ns: int, early: bool = False) -> None:
        """Note a tick; one that came early on purpose only says from when on the next one is due."""
        if self._last_ns is not None and not early:
            self._errors_s.append(abs((steady_ns - self._last_ns) * 1e-9 - self._period_s))
        self._last_ns = steady_ns
        self._count += 1

    def due(self) -> bool:
        """Return True about once a second, when the figures are worth a look."""
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
