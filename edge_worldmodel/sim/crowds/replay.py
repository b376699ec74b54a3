"""People who move as recorded."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.sim.crowds.crowd import CrowdState
from edge_worldmodel.sim.crowds.tracks import RecordedTracks


class ReplayedCrowd:
    """People who move as recorded; after the last frame all are absent."""

    def __init__(self, tracks: RecordedTracks) -> None:
        """Start at the first frame."""
        self._positions, self._frame_s = tracks.positions, tracks.dt_s
        self._time_s = 0.0
        self.state = self._at(0.0)

    def step(self, dt_s: float, robots: Floats) -> CrowdState:
        """Advance by ``dt_s``; the robots are ignored."""
        self._time_s += dt_s
        self.state = self._at(self._time_s)
        return self.state

    def _at(self, time_s: float) -> CrowdState:
        frame = time_s / self._frame_s
        i = int(frame)
        if i + 1 >= len(self._positions):
            absent = np.full_like(self._positions[0], np.nan)
            return CrowdState(absent, absent)
        change = self._positions[i + 1] - self._positions[i]
        return CrowdState(self._positions[i] + (frame - i) * change, change / self._frame_s)
