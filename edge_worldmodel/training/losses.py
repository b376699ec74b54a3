"""The losses that training minimises."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from edge_worldmodel.core.tensors import HORIZON_STEPS
from edge_worldmodel.training.batches import Batch

MOVING_WEIGHT = 12.0
"""Weight of cells on and next to movers in the reconstruction loss."""
REACH_WEIGHT = 6.0
"""Weight of cells that present movers can reach, in forecast losses."""
PATCH_CELLS = 16
"""Side of the patches that are scored as a whole, 3.2 m."""
_FLAT = 1e-2
"""Keeps the gradient of a length finite where clips are equal."""
UNSEEN_WEIGHT = 0.3
"""Weight of cells that are unknown in the present frame; most of them cannot be forecast."""


def grow(mask: Tensor, cells: int) -> Tensor:
    """Dilate masks (B, C, h, w) by ``cells`` to each side."""
    return functional.max_pool2d(mask, 2 * cells + 1, stride=1, padding=cells)


def reach(present_moving: Tensor) -> Tensor:
    """Return which cells (B, H, 64, 64) the movers of (B, 1, 64, 64) reach by each horizon at 1.5 m/s.

    It depends on the present only. A weight that depended on the future would bias the probabilities.
    """
    masks, mask = [], grow(present_moving, 1)
    for _ in range(HORIZON_STEPS):
        mask = grow(mask, 3)
        masks.append(mask)
    return torch.cat(masks, dim=1)


def _seen_weight(batch: Batch) -> Tensor:
    seen = batch.present.amax(dim=1, keepdim=True)
    return batch.known * (UNSEEN_WEIGHT + (1.0 - UNSEEN_WEIGHT) * grow(seen, 1))


def reconstruction_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Return the weighted binary cross entropy of a reconstructed clip, summed over cells, in nats per clip."""
    near = grow(torch.maximum(batch.moving, batch.present_moving), 1)
    weight = _seen_weight(batch) * (1.0 + (MOVING_WEIGHT - 1.0) * near)
    return _cross_entropy(logits, batch.future, weight)


def forecast_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Return the reach-weighted binary cross entropy of a forecast, summed over cells, one value per clip (B,)."""
    weight = _seen_weight(batch) * (1.0 + (REACH_WEIGHT - 1.0) * reach(batch.present_moving))
    cells = functional.binary_cross_entropy_with_logits(logits.float(), batch.future, reduction="none")
    return (weight * cells).sum(dim=(1, 2, 3))


def ensemble_loss(logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the energy score and the Brier score of an ensemble of imagined clips, (B,) and (B,).

    The energy score (Gneiting and Raftery, 2007) rates each patch as a whole, over all its cells and horizons: it is
    best for clips that are sharp and that differ where the future is open. The Brier score rates the mean of the clips,
    cell by cell. Both are fair (Ferro, 2014): they rate the distribution that the clips are drawn from, so that an
    ensemble of few clips is not penalised because these differ.

    Cells that are unknown in the present count like others: with a smaller weight, futures become overconfident there.

    Args:
        logits: log odds of M >= 2 imagined clips, (B, M, H, 64, 64).
        batch: the clips with the true future.
    """
    weight = batch.known * (1.0 + (REACH_WEIGHT - 1.0) * reach(batch.present_moving))
    imagined, count = torch.sigmoid(logits.float()), logits.shape[1]
    error = imagined - batch.future[:, None]
    pairs = error.sum(dim=1).square() - error.square().sum(dim=1)
    brier = (weight * pairs).sum(dim=(1, 2, 3)) / (count * (count - 1))
    distance = _patch_norm(error, weight[:, None]).mean(dim=1)
    first, second = torch.triu_indices(count, count, offset=1)
    spread = _patch_norm(imagined[:, first] - imagined[:, second], weight[:, None]).mean(dim=1)
    return (distance - 0.5 * spread).sum(dim=(1, 2)), brier


def _patch_norm(difference: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted length of (B, M, H, 64, 64) in each patch, over cells and horizons, (B, M, 4, 4)."""
    cells = (weight * difference.square()).sum(dim=2)
    return (functional.avg_pool2d(cells, PATCH_CELLS) * PATCH_CELLS**2 + _FLAT).sqrt()


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the KL divergence from N(0, 1), summed over the latent, in nats per clip."""
    mean, log_variance = mean.float(), log_variance.float()
    return 0.5 * (mean * mean + log_variance.exp() - 1.0 - log_variance).sum() / len(mean)


def _cross_entropy(logits: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    cells = functional.binary_cross_entropy_with_logits(logits.float(), truth, reduction="none")
    return (weight * cells).sum() / len(truth)
