"""Whether a planner's own risk comes true: how often the robot is in contact within the horizon after each forecast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.types import Floats

HORIZON_S = 3.2
"""Risks are about this time ahead."""
_BINS = 10


@dataclass(frozen=True)
class RiskCounts:
    """Forecasts in ten bins of risk: how many (10,), the sum of their risks (10,), and how many came true (10,)."""

    forecasts: Floats
    risk: Floats
    contacts: Floats

    @classmethod
    def of_episode(cls, times_s: Floats, risks: Floats, contact_s: float | None) -> RiskCounts:
        """Count the forecasts of one episode.

        Args:
            times_s: (n,) times of the forecasts.
            risks: (n,) probabilities of contact within the horizon; NaN where the planner gave none.
            contact_s: time of the contact; None without one. Forecasts whose horizon reaches beyond the end of an
                episode without contact count as not come true.
        """
        known = np.isfinite(risks)
        times_s, risks = times_s[known], np.clip(risks[known], 0.0, 1.0)
        came_true = np.zeros(len(risks), bool) if contact_s is None else contact_s - times_s <= HORIZON_S
        bins = np.minimum((risks * _BINS).astype(int), _BINS - 1)
        counts = [np.bincount(bins, weights, _BINS).astype(float) for weights in (None, risks, came_true.astype(float))]
        return cls(*counts)

    @classmethod
    def total(cls, parts: Sequence[RiskCounts]) -> RiskCounts:
        """Add up the counts of several episodes."""
        columns = [sum((getattr(part, name) for part in parts), np.zeros(_BINS)) for name in cls.__annotations__]
        return cls(*columns)

    @property
    def calibration_error(self) -> float:
        """Expected calibration error (Naeini et al., 2015): mean over forecasts of |risk - frequency| of their bin."""
        count = self.forecasts.sum()
        return float(np.abs(self.risk - self.contacts).sum() / count) if count else float("nan")

    def to_json(self) -> list[list[float]]:
        """Return the three rows as plain lists."""
        return [column.tolist() for column in (self.forecasts, self.risk, self.contacts)]

    @classmethod
    def from_json(cls, rows: Sequence[Sequence[float]]) -> RiskCounts:
        """Return the counts that ``to_json`` was called on."""
        return cls(*(np.asarray(row, float) for row in rows))
