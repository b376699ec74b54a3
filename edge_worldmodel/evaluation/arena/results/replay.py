"""A failed episode as compact JSON for the animation that the page draws."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.types import Floats, Points
from edge_worldmodel.evaluation.arena.results.failures import Failure

_ABSENT = -(2**15)
_BORDER_M, _MIN_HALF_M = 2.0, 4.0
_TILES_PER_ROW = 16
_VIOLET = (139, 92, 246)
_LEVELS = 16


def replay(failure: Failure) -> dict[str, Any]:
    """Return the world, the movement and the imagined scenes of an episode; lengths in metres, world frame.

    Arrays are base64 of little-endian int16: ``robot`` (T, 3) in cm and 0.01 rad, ``people`` (T, n, 2) in cm and -32768
    where absent, ``scene`` (T,) the index of the imagined scene or -1, ``plans`` (scenes, n, 2) in cm. ``scenes`` is a
    PNG with the scenes as tiles.
    """
    trace = failure.trace
    centre, half_m = _view(failure)
    return {
        "title": failure.title,
        "centre": centre.round(2).tolist(),
        "half": round(half_m, 2),
        "goal": failure.goal[:2].round(2).tolist(),
        "walls": [outline[~np.isnan(outline[:, 0])].round(2).tolist() for outline in failure.outlines],
        "footprint": failure.footprint.round(3).tolist(),
        "radii": failure.radii_m.round(2).tolist(),
        "times": ((trace.stamps_ns - trace.stamps_ns[0]) * 1e-9).round(2).tolist(),
        "robot": _packed(trace.poses),
        "people": _packed(trace.people),
        **_scenes(failure),
    }


def _view(failure: Failure) -> tuple[Points, float]:
    """Return centre and half the side of a square that holds the driven path and the goal."""
    points = np.concatenate([failure.trace.poses[:, :2], failure.goal[None, :2]])
    low, high = points.min(axis=0) - _BORDER_M, points.max(axis=0) + _BORDER_M
    return (low + high) / 2, max(float((high - low).max()) / 2, _MIN_HALF_M)


def _scenes(failure: Failure) -> dict[str, Any]:
    """Return each imagined scene once, and which one belongs to each moment."""
    trace = failure.trace
    known = ~np.isnan(trace.imagined_poses).any(axis=1)
    if not known.any():
        return {}
    changed = known.copy()
    changed[1:] &= (trace.imagined[1:] != trace.imagined[:-1]).any(axis=(1, 2)) | ~known[:-1]
    return {
        "scene": _packed(np.where(known, np.cumsum(changed) - 1, -1) / 100.0),
        "scenes": _tiles(trace.imagined[changed]),
        "scenePoses": trace.imagined_poses[changed].round(3).tolist(),
        "sceneSize": EGO_GRID.extent_m,
        "plans": _packed(trace.plans[changed]),
        "planLength": trace.plans.shape[1],
    }


def _tiles(cells: NDArray[np.uint8]) -> str:
    """Return the scenes (n, cells, cells) side by side as the opacity of one colour, as a PNG data URL."""
    count, size = len(cells), cells.shape[1]
    rows = -(-count // _TILES_PER_ROW)
    padded = np.zeros((rows * _TILES_PER_ROW, size, size), np.uint8)
    padded[:count] = cells // (256 // _LEVELS)
    tiles = padded.reshape(rows, _TILES_PER_ROW, size, size).swapaxes(1, 2).reshape(rows * size, _TILES_PER_ROW * size)
    picture = Image.fromarray(tiles, "P")
    picture.putpalette(_VIOLET * _LEVELS)
    buffer = io.BytesIO()
    opacity = bytes(round(255 * level / (_LEVELS - 1)) for level in range(_LEVELS))
    picture.save(buffer, "PNG", transparency=opacity, optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _packed(values: Floats) -> str:
    """Return hundredths as base64 of little-endian int16, the smallest number for NaN."""
    hundredths = np.where(np.isnan(values), _ABSENT, np.clip(np.nan_to_num(values) * 100.0, _ABSENT + 1, -_ABSENT - 1))
    return base64.b64encode(np.rint(hundredths).astype("<i2").tobytes()).decode()
