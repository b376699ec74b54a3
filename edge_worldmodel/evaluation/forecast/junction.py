"""A scene with two equally likely outcomes: a person walks up to a T-junction and has to turn left or right.

Nothing in the past tells which. A forecaster that draws futures should draw both turns, in different futures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.grid import EGO_GRID, render
from edge_worldmodel.core.sweep import sweep_from_scan
from edge_worldmodel.core.tensors import HISTORY_FRAMES, HISTORY_INTERVAL_S, HORIZON_STEP_S, HORIZON_STEPS
from edge_worldmodel.core.types import Floats, Mask
from edge_worldmodel.training.data.lidar import cast_circles, cast_segments

OCCUPIED_FROM = 0.5
"""Probability from which a future counts as having a person in a branch."""
_BEAMS = 720
_RANGE_M = 15.0
_NOISE_M = 0.01
_PERSON_M = 0.25
_LATE = slice(4, HORIZON_STEPS)
"""Horizons from 2.0 s on, at which the person has turned."""
_CLEAR_M = 0.4
_FAR_M = 20.0


@dataclass(frozen=True)
class Junction:
    """One scene.

    Attributes:
        history: of the ego grid (10, 64, 64).
        left: cells of the left branch (64, 64).
        right: cells of the right branch (64, 64).
        walks: cells of the person's body (2, H, 64, 64) if they turn left, and if they turn right.
    """

    history: NDArray[np.float32]
    left: Mask
    right: Mask
    walks: Mask


def draw_junction(rng: np.random.Generator) -> Junction:
    """Draw a T-junction; the robot waits at the head of the T and faces the stem, in which the person comes."""
    bar_m, stem_m = rng.uniform(2.0, 3.0), rng.uniform(1.6, 2.4)
    near, far = -0.6, bar_m - 0.6
    half = 0.5 * stem_m
    walls = np.array([
        (near, -_FAR_M, near, _FAR_M), (far, half, far, _FAR_M), (far, -_FAR_M, far, -half),
        (far, half, _FAR_M, half), (far, -half, _FAR_M, -half),
    ])  # fmt: skip
    speed_mps, start_m, side_m = rng.uniform(1.0, 1.4), far + rng.uniform(0.2, 1.0), rng.uniform(-0.2, 0.2)
    ages_s = HISTORY_INTERVAL_S * np.arange(HISTORY_FRAMES - 1, -1, -1)
    places = np.stack([start_m + speed_mps * ages_s, np.full_like(ages_s, side_m)], axis=-1)
    history = np.concatenate([_frame(walls, place, rng) for place in places])
    x, y = np.moveaxis(EGO_GRID.cell_centres(), -1, 0)
    bar = (x > near + _CLEAR_M) & (x < far - _CLEAR_M)
    walks = np.stack([_walk(speed_mps, start_m, side_m, 0.5 * (near + far), turn) for turn in (1.0, -1.0)])
    return Junction(history, bar & (y > half + _CLEAR_M), bar & (y < -half - _CLEAR_M), walks)


def covers_both(futures: NDArray[np.float32], junction: Junction) -> bool:
    """Return whether some futures (N, H, 64, 64) have the person in the left branch only, others in the right only."""
    late = futures[:, _LATE].max(axis=1)
    left, right = (late[:, branch].max(axis=1) >= OCCUPIED_FROM for branch in (junction.left, junction.right))
    return bool((left & ~right).any() and (right & ~left).any())


def choice_errors(futures: NDArray[np.float32], junction: Junction) -> tuple[float, float]:
    """Return the squared error per cell of the best of the futures (N, H, 64, 64), and of their mean.

    Each turn is taken as the truth once, and only cells of either walk count. If both turns are among the futures, the
    best one is right each time; their mean never is.
    """
    cells = junction.walks.any(axis=0)
    errors = np.stack([((futures - walk) ** 2)[:, cells].mean(axis=1) for walk in junction.walks])
    mean = futures.mean(axis=0)
    of_mean = [((mean - walk) ** 2)[cells].mean() for walk in junction.walks]
    return float(errors.min(axis=1).mean()), float(np.mean(of_mean))


def waiting_maneuver() -> NDArray[np.float32]:
    """Return the maneuver (H, 3) of a robot that waits."""
    return np.zeros((HORIZON_STEPS, 3), np.float32)


def _walk(speed_mps: float, start_m: float, side_m: float, turn_m: float, turn: float) -> Mask:
    """Return the cells (H, 64, 64) of a person who walks straight to x = ``turn_m``, then left (1) or right (-1)."""
    gone_m = speed_mps * HORIZON_STEP_S * np.arange(1, HORIZON_STEPS + 1)
    straight_m = np.minimum(gone_m, start_m - turn_m)
    places = np.stack([start_m - straight_m, side_m + turn * (gone_m - straight_m)], axis=-1)
    away = np.linalg.norm(EGO_GRID.cell_centres()[None] - places[:, None, None], axis=-1)
    cells: Mask = away <= _PERSON_M
    return cells


def _frame(walls: Floats, place: Floats, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return occupied and free cells (2, 64, 64) from a simulated scan all around."""
    angles = np.linspace(-np.pi, np.pi, _BEAMS, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=-1)[None]
    origins = np.zeros_like(directions)
    person = np.array([[[*place, _PERSON_M]]])
    ranges = np.minimum(cast_segments(origins, directions, walls), cast_circles(origins, directions, person))[0]
    ranges = ranges + rng.normal(0.0, _NOISE_M, _BEAMS)
    sweep = sweep_from_scan(0, ranges, -np.pi, 2.0 * np.pi / _BEAMS, 0.05, _RANGE_M, np.eye(4))
    return render([sweep], np.zeros((1, 3)))
