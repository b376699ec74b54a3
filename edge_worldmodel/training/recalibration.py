"""Recalibration of probabilities: a gain and an offset of the log odds per horizon (Platt, 1999).

They are fitted on validation clips, on the cells that present movers can reach, and folded into the decoder's weights.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from edge_worldmodel.core.model.context_channels import BLOCK
from edge_worldmodel.core.tensors import HORIZON_STEPS, LATENT
from edge_worldmodel.training import losses
from edge_worldmodel.training.batches import take
from edge_worldmodel.training.data.splits import ClipSet
from edge_worldmodel.training.networks import WorldNetworks

_FUTURES = 8
_CELLS = 300
"""Cells used per clip and horizon."""
_ROUNDS = 60


@torch.no_grad()
def recalibrate(
    networks: WorldNetworks, clips: ClipSet, most: int = 400, *, noise: bool = True
) -> dict[str, list[float]]:
    """Fit gain and offset per horizon, fold them into the decoder, and return both.

    Args:
        networks: changed in place.
        clips: the validation split.
        most: largest number of clips to use, spread evenly.
        noise: False for the regression, which forecasts from zeros.
    """
    futures = _FUTURES if noise else 1
    samples: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(HORIZON_STEPS)]
    order = torch.linspace(0, len(clips) - 1, min(most, len(clips))).long().unique()
    random = torch.Generator().manual_seed(0)
    for indices in order.split(4):
        batch = take(clips, indices.numpy())
        mask = (losses.reach(batch.present_moving) * batch.known) > 0
        context = networks.encoder(batch.history, batch.motion).repeat_interleave(futures, dim=0)
        start = torch.randn(len(context), *LATENT.shape[1:], generator=random) * noise
        maneuver = batch.maneuver.repeat_interleave(futures, dim=0)
        logits = networks.in_one_step(start, context, maneuver).unflatten(0, (len(indices), futures))
        for clip in range(len(indices)):
            for step in range(HORIZON_STEPS):
                cells = mask[clip, step].flatten().nonzero().flatten()
                cells = cells[torch.randperm(len(cells), generator=random)[:_CELLS]]
                truth = batch.future[clip, step].flatten()[cells]
                samples[step].append((logits[clip, :, step].flatten(1)[:, cells], truth))
    fits = [_fit(torch.cat([s[0] for s in step], dim=1), torch.cat([s[1] for s in step])) for step in samples]
    gains, offsets = (torch.tensor(values) for values in zip(*fits, strict=True))
    _fold(networks, gains, offsets)
    return {"gain": [round(float(g), 4) for g in gains], "offset": [round(float(o), 4) for o in offsets]}


@torch.enable_grad()
def _fit(logits: Tensor, truth: Tensor) -> tuple[float, float]:
    """Return the gain and offset that make futures (F, n) the best forecast of ``truth`` (n,).

    Several futures are rated by the fair Brier score (see losses.ensemble_loss), because the score of their mean is
    best when all are equal; a single forecast is rated by its likelihood.
    """
    if truth.min() == truth.max():
        return 1.0, 0.0
    scale = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.LBFGS([scale], max_iter=_ROUNDS, line_search_fn="strong_wolfe")
    count = len(logits)

    def loss() -> Tensor:
        optimizer.zero_grad()
        imagined = torch.sigmoid(scale[0].exp() * logits + scale[1])
        if count == 1:
            value = torch.nn.functional.binary_cross_entropy(imagined[0].clamp(1e-6, 1.0 - 1e-6), truth)
        else:
            error = imagined - truth
            value = (error.sum(dim=0).square() - error.square().sum(dim=0)).mean() / (count * (count - 1))
        value.backward()
        return value

    optimizer.step(loss)
    gain, offset = scale.detach().tolist()
    return math.exp(gain), offset


def _fold(networks: WorldNetworks, gains: Tensor, offsets: Tensor) -> None:
    """Scale the decoder's last layers; channel h * 16 + k of ``out`` is a cell of horizon h."""
    decoder = networks.decoder
    wide = gains.repeat_interleave(BLOCK * BLOCK)
    decoder.out.weight *= wide[:, None, None, None]
    decoder.out.bias *= wide
    decoder.carry.weight *= gains[:, None, None, None]
    decoder.carry.bias.copy_(decoder.carry.bias * gains + offsets)
