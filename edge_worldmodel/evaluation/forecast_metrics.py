"""Scores of occupancy forecasts: per clip and horizon, summed so that they can be bootstrapped.

Masks, the same for every method:
- moving: known cells that something moving occupies at that horizon or occupies now. It depends on what happened,
  so it shows how well motion is foreseen and cannot be used to tune a probability.
- reach: known cells within 1.5 m/s of what moves now. It depends on the present only, so scores on it are proper:
  calibration, average precision and IoU are measured there.
- all: every known cell.
Of the known cells that were free, ``free_called_occupied`` is the share with a probability of a half or more; of
those where something stands now and then, ``walls_lost`` is the share with less.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.tensors import CELL_SIZE_M, GRID_CELLS, HORIZON_STEP_S, HORIZON_STEPS

PROBABILITY_FLOOR = 1e-3
"""Probabilities are clipped to [floor, 1 - floor] for the log likelihood, or one hard miss would decide it."""
REACH_SPEED_MPS = 1.5
_BINS = 200
_ECE_BINS = 10

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """What happened in one clip, each (H, 64, 64).

    ``movers`` are the cells of what moves at that horizon alone, ``standing`` those that are occupied now and still.
    """

    occupied: Bools
    known: Bools
    moving: Bools
    reach: Bools
    movers: Bools
    standing: Bools


def make_truth(occupied: Bools, known: Bools, moving: Bools, present_moving: Bools, present: Bools) -> Truth:
    """Build the masks of one clip from (H, 64, 64) arrays and the cells (64, 64) that move and are occupied now."""
    reach = reachable(present_moving) & known
    standing = occupied & known & ~moving & present & ~present_moving
    return Truth(occupied, known, (moving | present_moving) & known, reach, moving, standing)


def reachable(present_moving: Bools) -> Bools:
    """Return (H, 64, 64), the cells within REACH_SPEED_MPS of what moves now (64, 64)."""
    if not present_moving.any():
        return np.zeros((HORIZON_STEPS, GRID_CELLS, GRID_CELLS), bool)
    distance_m = cv2.distanceTransform((~present_moving).astype(np.uint8), cv2.DIST_L2, 5) * CELL_SIZE_M
    times_s = HORIZON_STEP_S * np.arange(1, HORIZON_STEPS + 1)
    return np.asarray(distance_m[None] <= (REACH_SPEED_MPS * times_s + CELL_SIZE_M)[:, None, None])


def _sums(values: Floats, mask: Bools) -> Floats:
    return np.where(mask, values, 0.0).sum(axis=(1, 2))


@dataclass
class Scores:
    """Collects the sums of one method over clips; each list entry is one clip's (H,) sums."""

    sums: dict[str, list[Floats]] = field(default_factory=dict)
    histogram: Floats = field(default_factory=lambda: np.zeros((HORIZON_STEPS, _BINS, 3)))

    def add(self, probability: NDArray[np.float32], truth: Truth) -> None:
        """Score one clip's forecast (H, 64, 64)."""
        p, y = probability.astype(np.float64), truth.occupied
        square = (p - y) ** 2
        clipped = np.clip(p, PROBABILITY_FLOOR, 1.0 - PROBABILITY_FLOOR)
        nll = -np.log(np.where(y, clipped, 1.0 - clipped))
        for name, mask in (("moving", truth.moving), ("reach", truth.reach), ("all", truth.known)):
            self._put(f"square_{name}", _sums(square, mask))
            self._put(f"cells_{name}", mask.sum(axis=(1, 2)).astype(float))
        self._put("nll_moving", _sums(nll, truth.moving))
        free = truth.known & ~y
        self._put("invented", ((p >= 0.5) & free).sum(axis=(1, 2)).astype(float))
        self._put("free", free.sum(axis=(1, 2)).astype(float))
        self._put("lost", ((p < 0.5) & truth.standing).sum(axis=(1, 2)).astype(float))
        self._put("standing", truth.standing.sum(axis=(1, 2)).astype(float))
        called = (p >= 0.5) & truth.reach
        self._put("both", (called & y).sum(axis=(1, 2)).astype(float))
        self._put("either", ((called | y) & truth.reach).sum(axis=(1, 2)).astype(float))
        self._count(p, truth)

    def add_futures(self, futures: NDArray[np.float32], truth: Truth) -> None:
        """Score several futures (N, H, 64, 64) of one clip on its moving cells: the best whole clip and the mean."""
        error = np.where(truth.moving, (futures - truth.occupied) ** 2, 0.0).sum(axis=(2, 3))
        best = int(np.argmin(error.sum(axis=1)))
        self._put("square_best", error[best].astype(float))
        self._put("square_each", error.mean(axis=0).astype(float))
        # Two drawn futures differ where the method is unsure: the spread of its imagination.
        spread = np.where(truth.moving, futures.var(axis=0), 0.0)
        self._put("spread", spread.sum(axis=(1, 2)).astype(float))

    def add_joint(self, path_error: Floats, paths: Floats, energy: Floats) -> None:
        """Keep the scores of whole futures of one clip, each (H,); see joint_scores."""
        self._put("path_error", path_error)
        self._put("paths", paths)
        self._put("energy", energy)
        self._put("clips", np.ones(HORIZON_STEPS))

    def _put(self, name: str, value: Floats) -> None:
        self.sums.setdefault(name, []).append(value)

    def _count(self, p: Floats, truth: Truth) -> None:
        index = np.minimum((p * _BINS).astype(int), _BINS - 1)
        for step in range(HORIZON_STEPS):
            mask = truth.reach[step]
            cells, hits = index[step][mask], truth.occupied[step][mask]
            self.histogram[step, :, 0] += np.bincount(cells, minlength=_BINS)
            self.histogram[step, :, 1] += np.bincount(cells, weights=hits, minlength=_BINS)
            self.histogram[step, :, 2] += np.bincount(cells, weights=p[step][mask], minlength=_BINS)


_RATIOS = {
    "brier_moving": ("square_moving", "cells_moving"),
    "brier_reach": ("square_reach", "cells_reach"),
    "brier_all": ("square_all", "cells_all"),
    "nll_moving": ("nll_moving", "cells_moving"),
    "iou": ("both", "either"),
    "best_of_n": ("square_best", "cells_moving"),
    "each_of_n": ("square_each", "cells_moving"),
    "path_brier": ("path_error", "paths"),
    "energy": ("energy", "clips"),
    "free_called_occupied": ("invented", "free"),
    "walls_lost": ("lost", "standing"),
    "spread_moving": ("spread", "cells_moving"),
}


def summarise(scores: Scores, groups: NDArray[np.intp], draws: int, seed: int = 0) -> dict[str, list[float]]:
    """Return every metric, one value per horizon, with the bounds of a 95 % interval as ``<metric>_low/_high``.

    Args:
        scores: sums of all clips.
        groups: (clips,) recording or world of each clip; the bootstrap draws whole groups.
        draws: bootstrap draws; 0 leaves the intervals out.
        seed: of the bootstrap.
    """
    result: dict[str, list[float]] = {}
    names, index = np.unique(groups, return_inverse=True)
    weights = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    for metric, (above, below) in _RATIOS.items():
        if above not in scores.sums:
            continue
        totals = [_by_group(np.stack(scores.sums[part]), index, len(names)) for part in (above, below)]
        result[metric] = _ratio(totals[0].sum(axis=0), totals[1].sum(axis=0)).tolist()
        if draws:
            drawn = _ratio(weights @ totals[0], weights @ totals[1])
            low, high = _interval(drawn)
            result[f"{metric}_low"], result[f"{metric}_high"] = low.tolist(), high.tolist()
    result["ap"] = [average_precision(table) for table in scores.histogram]
    result["ece"] = [calibration_error(table) for table in scores.histogram]
    return result


def average_precision(table: Floats) -> float:
    """Return the area under precision over recall from a (bins, 3) table of cells, hits and probability."""
    cells, hits = table[::-1, 0].cumsum(), table[::-1, 1].cumsum()
    if hits[-1] == 0:
        return float("nan")
    precision = hits / np.maximum(cells, 1.0)
    return float((precision * np.diff(hits, prepend=0.0)).sum() / hits[-1])


def calibration_error(table: Floats) -> float:
    """Return the mean gap between probability and frequency over ten bins, weighted by cells."""
    cells, hits, probability = table.reshape(_ECE_BINS, -1, 3).sum(axis=1).T
    return float(np.abs(probability - hits).sum() / max(1.0, cells.sum()))


def _interval(drawn: Floats) -> tuple[Floats, Floats]:
    """Return the bounds (H,) of 95 % of the draws (D, H), NaN where no draw had a cell."""
    some = np.isfinite(drawn).any(axis=0)
    low, high = np.nanpercentile(np.where(some, drawn, 0.0), [2.5, 97.5], axis=0)
    return np.where(some, low, np.nan), np.where(some, high, np.nan)


def _by_group(values: Floats, index: NDArray[np.intp], count: int) -> Floats:
    totals = np.zeros((count, values.shape[1]))
    np.add.at(totals, index, values)
    return totals


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
