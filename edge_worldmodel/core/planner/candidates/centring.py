"""A route through the middle of narrow places: cells are coarser than the room that is left there."""

from __future__ import annotations

import cv2
import numpy as np

from edge_worldmodel.core.planner.guidance.local_map import LocalMap
from edge_worldmodel.core.types import Floats

_SPACING_M = 0.05
_ASIDE_M = np.arange(-0.15, 0.151, 0.025)
"""How far a point may move to the side, each time."""
_TIMES = 3
_SMOOTH = np.ones((9, 1)) / 9.0
"""Points over which the line and its moves are averaged, 0.4 m."""
_STAY = 0.05
"""Room per metre aside that a move must gain."""


def centred(route: Floats, standing: LocalMap, enough_m: float, ahead_m: float) -> Floats:
    """Return a route whose next metres keep to the middle where there is little room.

    Args:
        route: (n, 2) points ahead of the robot, which is at the origin.
        standing: what stands, as finely as it is known.
        enough_m: clearance beyond which more is no better; a route that has it everywhere stays as it is.
        ahead_m: length of the part that is looked at.
    """
    points = np.concatenate([np.zeros((1, 2)), route])
    along_m = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    places_m = np.arange(0.0, min(float(along_m[-1]), ahead_m), _SPACING_M)
    line = np.stack([np.interp(places_m, along_m, points[:, axis]) for axis in (0, 1)], axis=-1)
    if len(line) < len(_SMOOTH) or float(standing.clearance_along(line[None]).min()) >= enough_m:
        return route
    line = _smooth(line)
    for _ in range(_TIMES):
        line = line + _moves(line, standing, enough_m)
    return np.concatenate([line[1:], points[along_m > places_m[-1] + _SPACING_M]])


def _moves(line: Floats, standing: LocalMap, enough_m: float) -> Floats:
    """Return (n, 2) steps to the side, towards more room; none at the robot itself."""
    tangent: Floats = np.asarray(np.gradient(line, axis=0))
    tangent /= np.maximum(np.hypot(*tangent.T), 1e-9)[:, None]
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=-1)
    room = np.minimum(standing.clearance_along(line + _ASIDE_M[:, None, None] * normal), enough_m)
    aside = _ASIDE_M[np.argmax(room - _STAY * np.abs(_ASIDE_M)[:, None], axis=0)]
    aside[0] = 0.0
    steps: Floats = _smooth(aside[:, None]) * normal
    return steps


def _smooth(values: Floats) -> Floats:
    """Return the moving average of (n, k) along n, ends repeated."""
    averaged = np.asarray(cv2.filter2D(values, -1, _SMOOTH, borderType=cv2.BORDER_REPLICATE), np.float64)
    return averaged.reshape(values.shape)
