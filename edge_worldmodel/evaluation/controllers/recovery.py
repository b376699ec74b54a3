"""Recovery of the baselines when they are stuck: back up, then turn on the spot, as Nav2's recovery behaviours."""

from __future__ import annotations

import math

import numpy as np

from edge_worldmodel.core.geometry import compose, wrap_angle
from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.controllers.controller import Command
from edge_worldmodel.evaluation.controllers.costmap.costmap import Costmap
from edge_worldmodel.evaluation.controllers.costmap.footprint import FootprintDiscs

_PROGRESS_M = 0.3
_STUCK_AFTER_S = 4.0
_BACK_UP_S = 2.0
_BACK_UP_MPS = 0.2
_SPIN_S = 3.0
_SPIN_RADPS = 0.8
_CHECK_BEHIND_M = 0.15
_MARGIN_M = 0.0


class BaselineRecovery:
    """Detects missing progress of one robot and takes over its commands."""

    def __init__(self, footprint: FootprintDiscs, max_reverse_mps: float) -> None:
        """Start with the beginning of an episode."""
        self._footprint = footprint
        self._back_up_mps = min(_BACK_UP_MPS, max_reverse_mps)
        self._progress_s: float | None = None
        self._position = np.zeros(2)
        self._until_s = -math.inf
        self._backing = False

    def command(self, now_s: float, pose: Floats, path: Floats, costmap: Costmap) -> Command | None:
        """Return the command of a recovery; None while the robot makes progress."""
        if now_s < self._until_s:
            return self._act(pose, path, costmap)
        moved = np.hypot(*(pose[:2] - self._position)) > _PROGRESS_M
        if self._progress_s is None or moved:
            self._progress_s, self._position = now_s, pose[:2].copy()
            if moved:
                self._backing = False
        if now_s - self._progress_s < _STUCK_AFTER_S:
            return None
        self._backing = not self._backing  # back up and spin in turns
        self._until_s = now_s + (_BACK_UP_S if self._backing else _SPIN_S)
        self._progress_s = self._until_s
        return self._act(pose, path, costmap)

    def _act(self, pose: Floats, path: Floats, costmap: Costmap) -> Command:
        if self._backing:
            behind = compose(
                pose, np.stack([-np.linspace(0.05, _CHECK_BEHIND_M, 3), np.zeros(3), np.zeros(3)], axis=-1)
            )
            free_m = costmap.distance_at(self._footprint.discs(behind)).min()
            return Command(-self._back_up_mps if free_m > self._footprint.radius_m + _MARGIN_M else 0.0, 0.0)
        ahead = path[min(len(path) - 1, 20)] - pose[:2] if len(path) else np.array([math.cos(pose[2]), 0.0])
        turn = float(wrap_angle(math.atan2(ahead[1], ahead[0]) - pose[2]))
        wanted = math.copysign(min(_SPIN_RADPS, 2.0 * abs(turn)), turn)
        turned = compose(pose, np.array([[0.0, 0.0, 0.15 * np.sign(turn)], [0.0, 0.0, 0.3 * np.sign(turn)]]))
        free = costmap.distance_at(self._footprint.discs(turned)).min() > self._footprint.radius_m
        return Command(0.0, wanted if free else 0.0)
