"""Seeded rooms with posts, seen by a scanner: the scenes on which planner ticks are timed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edge_worldmodel.core.grid import render
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.types import Floats, Pose, Tensor, Twist

_RANGE_M = 10.0
_BEAMS = 360


class SeededRoom(NamedTuple):
    """One scene.

    Attributes:
        grid: occupied and free cells around the robot (2, 64, 64).
        pose: of the robot in odom.
        twist: of the robot in its base frame.
        goal: in odom (2,), in metres.
    """

    grid: Tensor
    pose: Pose
    twist: Twist
    goal: Floats


def draw_room(seed: int) -> SeededRoom:
    """Draw a rectangular room with 3 to 13 posts around the robot; the same seed gives the same room."""
    rng = np.random.default_rng(seed)
    posts = rng.uniform(-6.0, 6.0, (rng.integers(3, 14), 2))
    posts = posts[np.hypot(*posts.T) > 1.2]
    radius_m = rng.uniform(0.2, 0.5, len(posts))
    bearings = np.linspace(-np.pi, np.pi, _BEAMS, endpoint=False)
    rays = np.stack([np.cos(bearings), np.sin(bearings)], axis=-1)
    half_size_m = rng.uniform(3.0, 9.0, 2)
    to_wall_m = (half_size_m / np.maximum(np.abs(rays), 1e-9)).min(axis=1)
    along_m = rays @ posts.T
    miss_m2 = (posts**2).sum(axis=1) - along_m**2
    to_post_m = along_m - np.sqrt(np.maximum(radius_m**2 - miss_m2, 0.0))
    nearest_post_m = np.where((miss_m2 < radius_m**2) & (along_m > 0.0), to_post_m, np.inf).min(axis=1, initial=np.inf)
    ranges_m = np.minimum(np.minimum(to_wall_m, nearest_post_m), _RANGE_M)
    sweep = Sweep(0, np.zeros(2), rays * ranges_m[:, None], ranges_m < _RANGE_M)
    twist = np.array([rng.uniform(0.0, 1.0), 0.0, rng.uniform(-1.0, 1.0)])
    grid = render([sweep], np.zeros((1, 3)))
    return SeededRoom(grid, rng.uniform(-3.0, 3.0, 3), twist, rng.uniform(-10.0, 10.0, 2))
