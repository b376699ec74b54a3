"""Scores of occupancy forecasts, per clip and horizon, kept as sums so that they can be bootstrapped.

Masks, the same for every method:

- moving: known cells that a mover occupies at that horizon or occupies now. The mask depends on the future: it shows
  how well motion is forecast, but must not be used to tune probabilities.
- reach: known cells that present movers can reach at 1.5 m/s. The mask depends on the present only, so that scores on
  it are proper. Calibration, average precision and IoU are measured on it.
- all: every known cell.

Static cells: ``free_called_occupied`` is the share of known free cells with a probability of at least 0.5.
``always_free_called_occupied`` counts only cells that are occupied at no horizon, because a cell at the edge of a wall
is hit by one scan and free in the next. ``walls_lost`` is the share of static occupied cells with less than 0.5.

Reliability tables hold, per horizon and bin of probability: the number of cells (or paths), the number of hits, and the
sum of the probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.tensors import CELL_SIZE_M, GRID_CELLS, HORIZON_STEP_S, HORIZON_STEPS
from edge_worldmodel.core.types import Floats, Mask

PROBABILITY_FLOOR = 1e-3
"""For the log likelihood, probabilities are clipped to [floor, 1 - floor], or a single hard miss would dominate it."""
REACH_SPEED_MPS = 1.5
_BINS = 200
"""Bins of probability of the stored tables: fine for average precision, merged into RELIABILITY_BINS for reports."""
RELIABILITY_BINS = 10


@dataclass(frozen=True)
class Truth:
    """The true future of one clip, each (H, 64, 64).

    ``occupied`` and ``known`` cells; the masks ``moving`` and ``reach``; ``movers``: cells of movers at that horizon;
    ``static``: cells that are occupied now and at that horizon, and not by a mover.
    """

    occupied: Mask
    known: Mask
    moving: Mask
    reach: Mask
    movers: Mask
    static: Mask


@dataclass(frozen=True)
class PathForecast:
    """Random paths, each (P, H): probability of a hit by each horizon, whether it happened, whether it is scored."""

    probability: Floats
    hit: Mask
    scored: Mask

    def errors(self) -> tuple[Floats, Floats]:
        """Return the sum of squared errors over paths (H,) and the number of scored paths (H,)."""
        square = np.where(self.scored, (self.probability - self.hit) ** 2, 0.0)
        return square.sum(axis=0), self.scored.sum(axis=0).astype(float)


def make_truth(occupied: Mask, known: Mask, moving: Mask, present_moving: Mask, present: Mask) -> Truth:
    """Return the masks of a clip from (H, 64, 64) arrays and the present (64, 64): cells of movers, occupied cells."""
    reach = reachable(present_moving) & known
    static = occupied & known & ~moving & present & ~present_moving
    return Truth(occupied, known, (moving | present_moving) & known, reach, moving, static)


def reachable(present_moving: Mask) -> Mask:
    """Return the cells (H, 64, 64) that movers of the present (64, 64) reach at REACH_SPEED_MPS."""
    if not present_moving.any():
        return np.zeros((HORIZON_STEPS, GRID_CELLS, GRID_CELLS), bool)
    distance_m = cv2.distanceTransform((~present_moving).astype(np.uint8), cv2.DIST_L2, 5) * CELL_SIZE_M
    times_s = HORIZON_STEP_S * np.arange(1, HORIZON_STEPS + 1)
    # One cell more, because a mover is somewhere within its cell.
    return np.asarray(distance_m[None] <= (REACH_SPEED_MPS * times_s + CELL_SIZE_M)[:, None, None])


def _sums(values: Floats, mask: Mask) -> Floats:
    return np.where(mask, values, 0.0).sum(axis=(1, 2))


@dataclass
class Scores:
    """Sums of one method over clips; each list has one entry per clip.

    ``sums`` are (H,), ``cells`` reliability tables (H, 200, 3) over reach, ``paths`` (H, 10, 3) over random paths.
    """

    sums: dict[str, list[Floats]] = field(default_factory=dict)
    cells: list[NDArray[np.float32]] = field(default_factory=list)
    paths: list[NDArray[np.float32]] = field(default_factory=list)

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
        always = free & ~y.any(axis=0)
        self._put("invented_always", ((p >= 0.5) & always).sum(axis=(1, 2)).astype(float))
        self._put("free_always", always.sum(axis=(1, 2)).astype(float))
        self._put("lost", ((p < 0.5) & truth.static).sum(axis=(1, 2)).astype(float))
        self._put("static", truth.static.sum(axis=(1, 2)).astype(float))
        called = (p >= 0.5) & truth.reach
        self._put("both", (called & y).sum(axis=(1, 2)).astype(float))
        self._put("either", ((called | y) & truth.reach).sum(axis=(1, 2)).astype(float))
        self.cells.append(_tables(p, truth.occupied, truth.reach, _BINS))

    def add_futures(self, futures: NDArray[np.float32], truth: Truth) -> None:
        """Score futures (N, H, 64, 64) of one clip on its moving cells: the best future, and the mean over futures."""
        error = np.where(truth.moving, (futures - truth.occupied) ** 2, 0.0).sum(axis=(2, 3))
        best = int(np.argmin(error.sum(axis=1)))
        self._put("square_best", error[best].astype(float))
        self._put("square_each", error.mean(axis=0).astype(float))
        # The variance over futures shows where the method is uncertain.
        spread = np.where(truth.moving, futures.var(axis=0), 0.0)
        self._put("spread", spread.sum(axis=(1, 2)).astype(float))

    def add_joint(self, paths: PathForecast, energy: Floats) -> None:
        """Add the scores of random paths and the energy score (H,) of one clip; see joint_scores."""
        error, count = paths.errors()
        self._put("path_error", error)
        self._put("paths", count)
        self._put("energy", energy)
        self._put("clips", np.ones(HORIZON_STEPS))
        self.paths.append(_tables(paths.probability.T, paths.hit.T, paths.scored.T, RELIABILITY_BINS))

    def _put(self, name: str, value: Floats) -> None:
        self.sums.setdefault(name, []).append(value)


def _tables(probability: Floats, hit: Mask, scored: Mask, bins: int) -> NDArray[np.float32]:
    """Return one clip's reliability table (H, bins, 3) of values (H, ...)."""
    index = np.minimum((probability * bins).astype(int), bins - 1)
    table = np.zeros((HORIZON_STEPS, bins, 3), np.float32)
    for step, mask in enumerate(scored):
        cells = index[step][mask]
        table[step, :, 0] = np.bincount(cells, minlength=bins)
        table[step, :, 1] = np.bincount(cells, weights=hit[step][mask], minlength=bins)
        table[step, :, 2] = np.bincount(cells, weights=probability[step][mask], minlength=bins)
    return table


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
    "always_free_called_occupied": ("invented_always", "free_always"),
    "walls_lost": ("lost", "static"),
    "spread_moving": ("spread", "cells_moving"),
}


def summarise(scores: Scores, groups: NDArray[np.intp], draws: int) -> dict[str, list[float]]:
    """Return every metric, one value per horizon, with the bounds of a 95 % interval as ``<metric>_low/_high``.

    Args:
        scores: sums of all clips.
        groups: (clips,) recording or world of each clip; the bootstrap draws whole groups.
        draws: bootstrap draws; 0: no intervals.
    """
    result: dict[str, list[float]] = {}
    names, index = np.unique(groups, return_inverse=True)
    weights = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    for metric, (above, below) in _RATIOS.items():
        if above not in scores.sums:
            continue
        totals = [by_group(np.stack(scores.sums[part]), index, len(names)) for part in (above, below)]
        result[metric] = ratio(totals[0].sum(axis=0), totals[1].sum(axis=0)).tolist()
        if draws:
            drawn = ratio(weights @ totals[0], weights @ totals[1])
            low, high = _interval(drawn)
            result[f"{metric}_low"], result[f"{metric}_high"] = low.tolist(), high.tolist()
    cells, paths = by_group(np.stack(scores.cells), index, len(names)), None
    if scores.paths:
        paths = by_group(np.stack(scores.paths), index, len(names))
    for metric, tables, measure in (
        ("ap", cells, average_precision), ("ece", cells, calibration_error), ("path_ece", paths, calibration_error)
    ):  # fmt: skip
        if tables is not None:
            result[metric] = measure(tables.sum(axis=0)).tolist()
            if draws:
                drawn = np.stack([measure(np.tensordot(weight, tables, axes=1)) for weight in weights])
                low, high = _interval(drawn)
                result[f"{metric}_low"], result[f"{metric}_high"] = low.tolist(), high.tolist()
    return result


def reliability(scores: Scores) -> dict[str, list[list[list[float]]]]:
    """Return reliability tables (H, 10, 3) of cells in reach and of paths, summed over clips."""
    found = {"cells": _coarse(np.sum(scores.cells, axis=0, dtype=float))}
    if scores.paths:
        found["paths"] = np.sum(scores.paths, axis=0, dtype=float)
    return {name: np.round(table, 3).tolist() for name, table in found.items()}


def average_precision(table: Floats) -> Floats:
    """Return the area (...) under precision over recall from reliability tables (..., bins, 3)."""
    cells, hits = (table[..., ::-1, column].cumsum(axis=-1) for column in (0, 1))
    area = (hits / np.maximum(cells, 1.0) * np.diff(hits, prepend=0.0)).sum(axis=-1)
    return ratio(area, hits[..., -1])


def calibration_error(table: Floats) -> Floats:
    """Return the mean gap (...) between probability and frequency over ten bins of (..., bins, 3), by cells."""
    cells, hits, probability = np.moveaxis(_coarse(table), -1, 0)
    return np.asarray(np.abs(probability - hits).sum(axis=-1) / np.maximum(1.0, cells.sum(axis=-1)))


def _coarse(table: Floats) -> Floats:
    """Merge the bins of tables (..., bins, 3) to ten."""
    return table.reshape(*table.shape[:-2], RELIABILITY_BINS, -1, 3).sum(axis=-2)


def _interval(drawn: Floats) -> tuple[Floats, Floats]:
    """Return the bounds (H,) of 95 % of the draws (D, H), NaN where no draw had a cell."""
    some = np.isfinite(drawn).any(axis=0)
    low, high = np.nanpercentile(np.where(some, drawn, 0.0), [2.5, 97.5], axis=0)
    return np.where(some, low, np.nan), np.where(some, high, np.nan)


def by_group(values: Floats, index: NDArray[np.intp], count: int) -> Floats:
    """Return the sums (count, ...) of values (n, ...) over the groups that ``index`` (n,) names."""
    totals = np.zeros((count, *values.shape[1:]))
    np.add.at(totals, index, values)
    return totals


def ratio(above: Floats, below: Floats) -> Floats:
    """Return the quotient, NaN where ``below`` is 0."""
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
