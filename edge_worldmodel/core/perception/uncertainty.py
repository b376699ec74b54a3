"""Uncertainty (entropy of the present frame) and surprise (misfit of imagined occupancy), both in bits per cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_worldmodel.core.geometry import relative
from edge_worldmodel.core.grid import resample

# Log odds that one frame adds to a cell that it shows as occupied or as free; unknown cells start at 0.
_LOG_ODDS_OCCUPIED = float(np.log(0.85 / 0.15))
_LOG_ODDS_FREE = float(np.log(0.75 / 0.25))
_MIN_PROBABILITY = 0.01
"""Limits the surprise of one cell to 6.6 bits, so that single wrong cells do not dominate the mean."""


def entropy_bits(frames: NDArray[np.float32]) -> float:
    """Return the mean binary entropy per cell of the occupancy after all frames.

    Args:
        frames: (frames, 2, cells, cells) of occupied and observed free, fused cell by cell as log odds.

    Returns:
        Bits per cell: 1 if nothing was observed, near 0 if all frames agree.
    """
    odds = _LOG_ODDS_OCCUPIED * frames[:, 0].sum(axis=0) - _LOG_ODDS_FREE * frames[:, 1].sum(axis=0)
    occupied = 1.0 / (1.0 + np.exp(-odds.astype(np.float64)))
    free = 1.0 - occupied
    return float(np.mean(-(occupied * np.log2(occupied) + free * np.log2(free))))


def surprise_bits(
    probability: NDArray[np.float32], imagined_pose: ArrayLike, grid: NDArray[np.float32], pose: ArrayLike
) -> float:
    """Return the mean negative log-likelihood of the observed cells under an imagined map.

    Args:
        probability: (cells, cells) imagined occupancy around ``imagined_pose``.
        imagined_pose: (3,) pose of the imagined map in the fixed frame.
        grid: (2, cells, cells) occupied and observed free around ``pose``.
        pose: (3,) pose of ``grid`` in the fixed frame.

    Returns:
        Bits per observed cell within the imagined map; NaN if no cell was observed.
    """
    imagined, inside = resample(np.asarray(probability, np.float32), relative(imagined_pose, pose))
    imagined = np.clip(imagined, _MIN_PROBABILITY, 1.0 - _MIN_PROBABILITY)
    occupied, free = (grid[0] > 0.5) & inside, (grid[1] > 0.5) & inside
    observed = np.count_nonzero(occupied) + np.count_nonzero(free)
    if observed == 0:
        return float("nan")
    return float(-(np.log2(imagined[occupied]).sum() + np.log2(1.0 - imagined[free]).sum()) / observed)
