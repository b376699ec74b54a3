"""CVaR, the mean of the worst outcomes (Rockafellar and Uryasev, 2000).

A plain mean would rate a maneuver as safe that is usually safe and sometimes fatal.
"""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core.types import Floats, Tensor


def cvar_of_worst_moment(probability: Tensor, tail: float) -> Floats:
    """Return the CVaR of the collision probability at the worst moment, over futures and disturbances.

    Args:
        probability: (M, F, D, T + 1) collision probability.
        tail: share of the worst outcomes to average over.

    Returns:
        (M,) in 0..1.
    """
    worst = probability.max(axis=-1).astype(np.float64)
    return cvar(worst.reshape(len(worst), -1), tail)


def cvar(outcomes: Floats, tail: float) -> Floats:
    """Return the mean (M,) of the worst share ``tail`` of outcomes (M, N); a fractional outcome counts in part."""
    worst_first = -np.sort(-outcomes, axis=1)
    share = np.clip(tail * outcomes.shape[1] - np.arange(outcomes.shape[1]), 0.0, 1.0)
    if share.sum() == 0.0:
        share[0] = 1.0
    # No matrix product: its last bit depends on where in memory the numbers lie.
    mean: Floats = (worst_first * (share / share.sum())).sum(axis=1)
    return mean
