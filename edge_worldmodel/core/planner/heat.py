"""The thermal governor: imagine less before the chip throttles, which would slow everything else down as well."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.planner.effort import LEVELS

_MOST = len(LEVELS) - 1


@dataclass(frozen=True)
class HeatConfig(Config):
    """How hot is too hot."""

    throttle_c: float = param(
        85.0, "temperature at which the chip throttles, where its thermal zones do not say", minimum=30.0, maximum=120.0
    )
    margin_c: float = param(10.0, "less is imagined from this far below it on, step by step", minimum=1.0, maximum=50.0)
    cooler_c: float = param(5.0, "how much cooler it must be before more is imagined again", minimum=0.5, maximum=30.0)


class Heat:
    """Turns temperatures into an effort level, with hysteresis."""

    def __init__(self, config: HeatConfig | None = None) -> None:
        """Begin cool."""
        self.config = config or HeatConfig()
        self.level = 0
        self.reason = ""

    def felt(self, hottest_c: float | None, throttle_c: float | None = None) -> None:
        """Take the temperature of the hottest zone; None (no zone can be read) changes nothing.

        Args:
            hottest_c: degrees Celsius.
            throttle_c: at which that zone throttles, None where it does not say.
        """
        if hottest_c is None or not math.isfinite(hottest_c):
            return
        limit_c = self.config.throttle_c if throttle_c is None else throttle_c
        step_c = self.config.margin_c / _MOST
        # Level k begins at the limit less the margin, plus k - 1 steps; the last one step below the limit.
        rising = _level((hottest_c - limit_c + self.config.margin_c) / step_c)
        falling = _level((hottest_c + self.config.cooler_c - limit_c + self.config.margin_c) / step_c)
        self.level = min(max(self.level, rising), falling)
        self.reason = f"{hottest_c:.0f} C of {limit_c:.0f} C" if self.level else ""


def _level(steps: float) -> int:
    return min(max(math.floor(steps) + 1, 0), _MOST)
