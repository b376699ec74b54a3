"""Signed distance to a simple polygon, for footprints and fences."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.types import Floats


def signed_distance(polygon: Floats, points: Floats) -> Floats:
    """Return the distance (...) in metres of points to a polygon's outline, negative inside.

    Args:
        polygon: corners (n, 2), in either direction, not repeated at the end.
        points: (..., 2) in the same frame.
    """
    start, edge = polygon, np.roll(polygon, -1, axis=0) - polygon
    offset = points[..., None, :] - start
    length2 = np.maximum((edge * edge).sum(axis=-1), 1e-18)
    along = np.clip((offset * edge).sum(axis=-1) / length2, 0.0, 1.0)
    gap = offset - along[..., None] * edge
    distance = np.sqrt((gap * gap).sum(axis=-1).min(axis=-1))
    return np.where(_inside(start, edge, points), -distance, distance)


def _inside(start: Floats, edge: Floats, points: Floats) -> NDArray[np.bool_]:
    """Count the edges that a ray along +x crosses (Jordan curve theorem)."""
    x, y = points[..., 0, None], points[..., 1, None]
    spans = (start[:, 1] > y) != (start[:, 1] + edge[:, 1] > y)
    rise = np.where(edge[:, 1] == 0.0, 1.0, edge[:, 1])
    crossing_x = start[:, 0] + (y - start[:, 1]) * edge[:, 0] / rise
    odd: NDArray[np.bool_] = (spans & (x < crossing_x)).sum(axis=-1) % 2 == 1
    return odd
