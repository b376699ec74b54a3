"""Scores of whole futures: is a path hit, and how far are the imagined clips from the truth?

Scores of single cells do not depend on which events are imagined together; these do.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.tensors import CELL_SIZE_M, HORIZON_STEP_S, HORIZON_STEPS
from edge_worldmodel.core.types import Floats, Mask
from edge_worldmodel.training.validation.metrics import PathForecast, Truth

PATHS = 32
"""Random paths per clip."""
_RADIUS_M = 0.3
_SPEED_MPS = (0.2, 1.5)
_YAW_RATE_RADPS = 0.8
_SIDE = 2 * round(_RADIUS_M / CELL_SIZE_M) + 1
_FOOTPRINT = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_SIDE, _SIDE))


def random_paths(rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the cells (PATHS, H, 2) as (iy, ix) of random arcs that start at the robot in any direction."""
    times_s = HORIZON_STEP_S * np.arange(1, HORIZON_STEPS + 1)
    speed = rng.uniform(*_SPEED_MPS, (PATHS, 1))
    yaw_rate = rng.uniform(-_YAW_RATE_RADPS, _YAW_RATE_RADPS, (PATHS, 1)) + 1e-6
    heading = rng.uniform(-np.pi, np.pi, (PATHS, 1))
    turned = heading + yaw_rate * times_s
    x = speed / yaw_rate * (np.sin(turned) - np.sin(heading))
    y = speed / yaw_rate * (np.cos(heading) - np.cos(turned))
    cells = EGO_GRID.world_to_cell(np.stack([x, y], axis=-1))
    on_grid: NDArray[np.intp] = np.clip(cells, 0, EGO_GRID.cells - 1)[..., ::-1]
    return on_grid


def path_forecast(futures: NDArray[np.float32], truth: Truth, present: Mask, paths: NDArray[np.intp]) -> PathForecast:
    """Return the probability that something comes onto each path by each horizon, and whether it did.

    The probability within one future is that of the worst cell so far, as in the planner; over futures it is the mean.
    Only paths that are clear now are scored.

    Args:
        futures: (N, H, 64, 64); N = 1 for a forecast of cell probabilities.
        truth: occupancy that happened; a path is not scored from its first unknown cell on.
        present: (64, 64) occupied now.
        paths: (P, H, 2) cells.
    """
    steps = np.arange(HORIZON_STEPS)
    rows, columns = paths[..., 0], paths[..., 1]
    hit = np.logical_or.accumulate(_grown(truth.occupied)[steps, rows, columns], axis=1)
    unknown = np.logical_or.accumulate(_grown(~truth.known)[steps, rows, columns], axis=1)
    clear = ~_grown(present[None])[0][rows, columns].any(axis=1)
    worst = np.stack([_grown(future)[steps, rows, columns] for future in futures])
    probability = np.maximum.accumulate(worst, axis=2).mean(axis=0)
    return PathForecast(probability.astype(float), hit, clear[:, None] & ~unknown)


def energy_scores(futures: NDArray[np.float32], truth: Truth) -> Floats:
    """Return the energy score (H,) of futures (N, H, 64, 64) over the cells that movers can reach; lower is better.

    The mean distance from the truth minus half the mean distance among the futures (Gneiting and Raftery, 2007); the
    score of a single future is its distance.
    """
    scores = np.zeros(HORIZON_STEPS)
    for step, mask in enumerate(truth.reach):
        clips = futures[:, step][:, mask].astype(np.float64)
        from_truth = np.linalg.norm(clips - truth.occupied[step][mask], axis=1).mean()
        squares = (clips**2).sum(axis=1)
        among = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2.0 * clips @ clips.T, 0.0)).mean()
        scores[step] = from_truth - 0.5 * among
    return scores


def _grown(grids: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return grids (H, 64, 64) in which each cell holds the highest value under the footprint there."""
    kind = bool if grids.dtype == bool else np.float32
    return np.stack([cv2.dilate(grid.astype(np.float32), _FOOTPRINT) for grid in grids]).astype(kind)
