"""Recalibration: a gain and an offset of the log odds per horizon, folded into the decoder's weights.

Platt scaling (Platt, 1999), fitted so that the share of imagined futures is a good probability, on validation
clips and on the cells that movers can reach by what the present shows. The networks stay as they are in size.
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
"""Cells that are kept per clip and horizon."""
_ROUNDS = 60


@torch.no_grad()
def recalibrate(
    networks: WorldNetworks, clips: ClipSet, most: int = 400, *, noise: bool = True
) -> dict[str, list[float]]:
    """Fit gain and offset per horizon on validation clips and fold them in; returns both for the record.

    Args:
        networks: changed in place.
        clips: the validation split.
        most: clips used, spread evenly.
        noise: False for the plain regression, whose one forecast starts from nothing.
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
    """Return gain and offset with which the futures (F, n) forecast ``truth`` (n,) best.

    By the Brier score of what the futures are drawn from (``losses.ensemble_loss``), not of their mean, which
    would have them agree; one forecast alone by its likelihood.
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
    """Scale what the decoder's last layers give; channel h * 16 + k of the first is a cell of horizon h."""
    decoder = networks.decoder
    wide = gains.repeat_interleave(BLOCK * BLOCK)
    decoder.out.weight *= wide[:, None, None, None]
    decoder.out.bias *= wide
    decoder.carry.weight *= gains[:, None, None, None]
    decoder.carry.bias.copy_(decoder.carry.bias * gains + offsets)
