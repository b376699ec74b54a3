"""The effort of a tick: less is imagined while ticks are late or the chip is hot."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_worldmodel.core.config import Config, param

LEVELS = ((1.0, 1.0), (0.5, 1.0), (0.5, 0.5), (0.25, 0.5))
"""Share of futures and of denoising steps at each level, from full effort down."""
_LAST_LEVEL = len(LEVELS) - 1
_WATCHED_TICKS = 5
_LONGEST_WAIT = 8
"""Longest wait before effort is increased, in multiples of ``calm_ticks``."""


@dataclass(frozen=True)
class EffortConfig(Config):
    """When the effort goes down, and when it goes up again."""

    late_ticks: int = param(2, "late ticks among the last five after which less is imagined", minimum=1, maximum=5)
    calm_ticks: int = param(30, "consecutive ticks in time after which more is imagined", minimum=1, maximum=10_000)
    room: float = param(
        0.7,
        "more is imagined only if a tick is then expected to take at most this share of the budget",
        minimum=0.1,
        maximum=1.0,
    )


@dataclass(frozen=True)
class ThermalConfig(Config):
    """When the chip counts as hot."""

    throttle_c: float = param(
        85.0, "temperature at which the chip throttles, if its thermal zones give none", minimum=30.0, maximum=120.0
    )
    margin_c: float = param(
        10.0, "less is imagined from this far below the throttling temperature", minimum=1.0, maximum=50.0
    )
    cooler_c: float = param(
        5.0, "how much cooler the chip must get before more is imagined again", minimum=0.5, maximum=30.0
    )


@dataclass(frozen=True)
class Effort:
    """How much one tick may imagine.

    Attributes:
        level: index into LEVELS; 0 is full effort.
        reason: why the effort is reduced; empty at full effort.
    """

    level: int = 0
    reason: str = ""

    def futures(self, wanted: int) -> int:
        """Return how many of the wanted futures are imagined."""
        return max(1, math.ceil(LEVELS[self.level][0] * wanted))

    def steps(self, wanted: int) -> int:
        """Return how many of the wanted denoising steps are taken."""
        return max(1, math.ceil(LEVELS[self.level][1] * wanted))


FULL_EFFORT = Effort()


class EffortControl:
    """Chooses the effort of the next tick by the durations of the last ones."""

    def __init__(self, config: EffortConfig | None = None) -> None:
        """Begin with full effort."""
        self.config = config or EffortConfig()
        self._level = 0
        self._late: list[bool] = []
        self._calm = 0
        self._wait = 1
        self._on_trial = False

    def effort(self, thermal_level: int = 0, thermal_reason: str = "") -> Effort:
        """Return the effort of the next tick: the lower of those that timing and temperature allow."""
        level = max(self._level, thermal_level)
        if level == 0:
            return FULL_EFFORT
        reasons = ["ticks came late"] * (self._level > 0) + [thermal_reason] * (thermal_level > 0)
        return Effort(level, f"level {level} of {_LAST_LEVEL}: {', '.join(reasons)}")

    def ticked(self, duration_s: float, budget_s: float, cut_short: bool = False) -> None:
        """Note how long a tick took, and whether the budget cut it short."""
        late = cut_short or duration_s > budget_s
        self._late = [*self._late[1 - _WATCHED_TICKS :], late]
        self._calm = 0 if late else self._calm + 1
        if self._calm >= self.config.calm_ticks:
            self._on_trial = False
        if sum(self._late) >= self.config.late_ticks and self._level < _LAST_LEVEL:
            # The last increase made ticks late again: wait twice as long before the next one.
            self._wait = min(2 * self._wait, _LONGEST_WAIT) if self._on_trial else 1
            self._change(1)
        elif self._level and self._calm >= self._wait * self.config.calm_ticks and self._fits(duration_s, budget_s):
            self._change(-1)

    def _change(self, by: int) -> None:
        self._level, self._late, self._calm, self._on_trial = self._level + by, [], 0, by < 0

    def _fits(self, duration_s: float, budget_s: float) -> bool:
        """Return whether a tick with more effort can be expected to stay well within the budget."""
        present, raised = (math.prod(LEVELS[level]) for level in (self._level, self._level - 1))
        return duration_s * raised / present <= self.config.room * budget_s


class ThermalGovernor:
    """Turns temperatures into an effort level, with hysteresis, so that less is imagined before the chip throttles.

    Attributes:
        level: index into LEVELS.
        reason: the temperature that caused the level; empty at level 0.
    """

    def __init__(self, config: ThermalConfig | None = None) -> None:
        """Begin with full effort."""
        self.config = config or ThermalConfig()
        self.level = 0
        self.reason = ""

    def update(self, hottest_c: float | None, throttle_c: float | None = None) -> None:
        """Take the temperature of the hottest zone.

        Args:
            hottest_c: degrees Celsius; None: no zone can be read, and the level stays.
            throttle_c: temperature at which that zone throttles; None: the configured one.
        """
        if hottest_c is None or not math.isfinite(hottest_c):
            return
        limit_c = self.config.throttle_c if throttle_c is None else throttle_c
        step_c = self.config.margin_c / _LAST_LEVEL
        # Level k begins at limit - margin + (k - 1) steps, so the last level begins one step below the limit.
        rising = _level((hottest_c - limit_c + self.config.margin_c) / step_c)
        falling = _level((hottest_c + self.config.cooler_c - limit_c + self.config.margin_c) / step_c)
        self.level = min(max(self.level, rising), falling)
        self.reason = f"{hottest_c:.0f} C of {limit_c:.0f} C" if self.level else ""


def _level(steps: float) -> int:
    return min(max(math.floor(steps) + 1, 0), _LAST_LEVEL)
