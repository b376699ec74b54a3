"""A route of cells is moved to the middle of narrow gaps."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core.planner.candidates.pursuit import keep_to_middle
from edge_worldmodel.core.planner.guidance.local_map import local_map

FREE = np.stack([np.zeros((64, 64), np.float32), np.ones((64, 64), np.float32)])


def _gap(middle_m: float, half_m: float) -> np.ndarray:
    """Return points of two walls along x = 1 .. 1.5 m on both sides of a gap."""
    x, beyond = np.meshgrid(np.arange(1.0, 1.5, 0.05), np.arange(0.0, 1.0, 0.05))
    sides = [np.stack([x, middle_m + side * (half_m + beyond)], axis=-1).reshape(-1, 2) for side in (1.0, -1.0)]
    return np.concatenate(sides).astype(np.float32)


def _drawn(points: np.ndarray) -> np.ndarray:
    frame = FREE.copy()
    cells = np.floor(points / 0.2 + 32).astype(int)
    frame[0, cells[:, 1], cells[:, 0]], frame[1, cells[:, 1], cells[:, 0]] = 1.0, 0.0
    return frame


def test_the_line_moves_to_the_middle_of_a_gap() -> None:
    points = _gap(0.07, 0.35)
    static = local_map(_drawn(points), points)
    route = np.stack([np.arange(0.1, 3.0, 0.2), np.full(15, -0.1)], axis=-1)
    line = keep_to_middle(route, static, 0.6, 2.5)
    there = (line[:, 0] > 1.0) & (line[:, 0] < 1.5)
    assert static.clearance_at(route)[(route[:, 0] > 1.0) & (route[:, 0] < 1.5)].min() < 0.2
    assert static.clearance_at(line[there]).min() > 0.28
    assert abs(line[there, 1] - 0.07).max() < 0.06
    assert np.hypot(*line[0]) < 0.15 and (np.diff(line[:, 0]) > 0.0).all(), "from the robot on, and never back"
    np.testing.assert_array_equal(line[-1], route[-1])


def test_where_there_is_room_the_route_stays() -> None:
    static = local_map(FREE)
    route = np.stack([np.arange(0.1, 3.0, 0.2), np.zeros(15)], axis=-1)
    assert keep_to_middle(route, static, 0.6, 2.5) is route
    assert len(keep_to_middle(route[:1], static, 0.6, 2.5)) == 1
