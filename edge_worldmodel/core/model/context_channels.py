"""The channels of a context: grids are folded without loss into latent cells, 4 x 4 grid cells into 16 channels.

The encoder passes the present frame on in this form, so that the planner and the decoder get exactly what was observed.
The channel order is that of torch's ``pixel_unshuffle``: (frame channel, row in block, column in block).
"""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core import tensors
from edge_worldmodel.core.types import Tensor

BLOCK = tensors.GRID_CELLS // tensors.LATENT_CELLS
"""Grid cells along each side of one latent cell."""
FOLDED_CHANNELS = tensors.GRID_CHANNELS * BLOCK * BLOCK
"""Number of context channels that carry the present frame."""


def fold(frame: Tensor) -> Tensor:
    """Fold a frame (C, 64, 64) into (16 C, 16, 16)."""
    channels = frame.shape[0]
    blocks = frame.reshape(channels, tensors.LATENT_CELLS, BLOCK, tensors.LATENT_CELLS, BLOCK)
    return np.ascontiguousarray(blocks.transpose(0, 2, 4, 1, 3)).reshape(
        channels * BLOCK * BLOCK, tensors.LATENT_CELLS, tensors.LATENT_CELLS
    )


def unfold(folded: Tensor) -> Tensor:
    """Unfold (16 C, 16, 16) into (C, 64, 64), the inverse of ``fold``."""
    channels = folded.shape[0] // (BLOCK * BLOCK)
    blocks = folded.reshape(channels, BLOCK, BLOCK, tensors.LATENT_CELLS, tensors.LATENT_CELLS)
    return np.ascontiguousarray(blocks.transpose(0, 3, 1, 4, 2)).reshape(
        channels, tensors.GRID_CELLS, tensors.GRID_CELLS
    )


def present_frame(context: Tensor) -> Tensor:
    """Return the present frame (2, 64, 64), occupied and observed free, from a context (1, Cc, 16, 16)."""
    tensors.CONTEXT.check(context)
    return unfold(context[0, :FOLDED_CHANNELS])


def motion_frames(context: Tensor) -> Tensor:
    """Return the motion forecast (1 + H, 64, 64), movers now and at each imagined time, from a context."""
    tensors.CONTEXT.check(context)
    return unfold(context[0, tensors.SCENE_CHANNELS :])
