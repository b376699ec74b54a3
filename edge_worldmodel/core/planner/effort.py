"""How much is imagined per tick: less while ticks come late, and back again only when there is room for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_worldmodel.core.config import Config, param

LEVELS = ((1.0, 1.0), (0.5, 1.0), (0.5, 0.5), (0.25, 0.5))
"""Share of futures and of denoising steps at each level, from everything to the least."""
_REMEMBERED = 5
_MOST_PATIENCE = 8


@dataclass(frozen=True)
class EffortConfig(Config):
    """When to imagine less, and when more again."""

    late_ticks: int = param(2, "late ticks of the last five after which less is imagined", minimum=1, maximum=5)
    calm_ticks: int = param(
        30, "ticks in time, in a row, after which more is imagined again", minimum=1, maximum=10_000
    )
    room: float = param(
        0.7, "share of the budget that a tick with more futures must be expected to keep", minimum=0.1, maximum=1.0
    )


@dataclass(frozen=True)
class Effort:
    """What one tick may imagine; ``reason`` is empty when that is everything."""

    level: int = 0
    reason: str = ""

    def futures(self, wanted: int) -> int:
        """Return how many of the wanted futures are imagined."""
        return max(1, math.ceil(LEVELS[self.level][0] * wanted))

    def steps(self, wanted: int) -> int:
        """Return how many of the wanted denoising steps are made."""
        return max(1, math.ceil(LEVELS[self.level][1] * wanted))


EVERYTHING = Effort()


class EffortControl:
    """Chooses the effort of the next tick from how the last ones went; no clock of its own."""

    def __init__(self, config: EffortConfig | None = None) -> None:
        """Begin with everything."""
        self.config = config or EffortConfig()
        self._level = 0
        self._late: list[bool] = []
        self._calm = 0
        self._patience = 1
        self._on_trial = False

    def effort(self, heat_level: int = 0, heat_reason: str = "") -> Effort:
        """Return what the next tick may imagine: the lower of what time and what temperature allow."""
        level = max(self._level, heat_level)
        if level == 0:
            return EVERYTHING
        reasons = ["ticks came late"] * (self._level > 0) + [heat_reason] * (heat_level > 0)
        return Effort(level, f"level {level} of {len(LEVELS) - 1}: {', '.join(reasons)}")

    def ticked(self, duration_s: float, budget_s: float, cut_short: bool = False) -> None:
        """Note how long a tick took, and whether the budget ended it before it was done."""
        late = cut_short or duration_s > budget_s
        self._late = [*self._late[1 - _REMEMBERED :], late]
        self._calm = 0 if late else self._calm + 1
        if self._calm >= self.config.calm_ticks:
            self._on_trial = False
        if sum(self._late) >= self.config.late_ticks and self._level < len(LEVELS) - 1:
            # Less again soon after more was tried: wait longer before the next try.
            self._patience = min(2 * self._patience, _MOST_PATIENCE) if self._on_trial else 1
            self._change(1)
        elif self._level and self._calm >= self._patience * self.config.calm_ticks and self._fits(duration_s, budget_s):
            self._change(-1)

    def _change(self, by: int) -> None:
        self._level, self._late, self._calm, self._on_trial = self._level + by, [], 0, by < 0

    def _fits(self, duration_s: float, budget_s: float) -> bool:
        """Return whether a tick with more can be expected to stay well within the budget."""
        now, then = (math.prod(LEVELS[level]) for level in (self._level, self._level - 1))
        return duration_s * then / now <= self.config.room * budget_s
