"""Training batches from packed clips: unpacked, mirrored and turned at random, repeatable by seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_worldmodel.core.tensors import GRID_CHANNELS, HISTORY_FRAMES, HORIZON_STEPS, MOTION_CHANNELS, OFF_GRID_M
from edge_worldmodel.training.data.shards import unpack
from edge_worldmodel.training.data.splits import ClipSet

ROTATED_SHARE = 0.25
"""Share of the clips turned by 90 degrees; most are not, because robots do not drive sideways."""
DROPPED_SHARE = 0.1
"""Share of the clips without a maneuver."""


@dataclass(frozen=True)
class Batch:
    """Unpacked clips as float32 tensors.

    history (B, 10, 64, 64), motion (B, 9, 64, 64), future, known, moving (B, 8, 64, 64),
    present_moving (B, 1, 64, 64), maneuver (B, 8, 3).
    """

    history: Tensor
    motion: Tensor
    future: Tensor
    known: Tensor
    moving: Tensor
    present_moving: Tensor
    maneuver: Tensor

    def to(self, device: str) -> Batch:
        """Return the batch on another device."""
        return Batch(**{name: getattr(self, name).to(device) for name in self.__dataclass_fields__})

    @property
    def present(self) -> Tensor:
        """Return the present frame, (B, 2, 64, 64)."""
        return self.history[:, -GRID_CHANNELS:]

    @property
    def observed(self) -> Tensor:
        """Return the present frame and the motion forecast, (B, 11, 64, 64)."""
        return torch.cat([self.present, self.motion], dim=1)


def take(clips: ClipSet, indices: NDArray[np.intp]) -> Batch:
    """Return the clips at ``indices``, not augmented."""
    grids, maneuver = _grids(clips, indices)
    return _to_batch(grids, maneuver)


def training_batch(clips: ClipSet, size: int, seed: tuple[int, ...]) -> Batch:
    """Return ``size`` clips, drawn and augmented at random.

    Args:
        clips: the training split.
        size: clips in the batch.
        seed: integers, (seed, stage, step); the same seed gives the same batch.
    """
    rng = np.random.default_rng(seed)
    indices = rng.integers(0, len(clips), size)
    grids, maneuver = _grids(clips, indices)
    mirrored, turned = rng.random(size) < 0.5, rng.random(size) < ROTATED_SHARE
    for clip in range(size):
        if mirrored[clip]:
            grids[clip], maneuver[clip] = mirror(grids[clip], maneuver[clip])
        if turned[clip]:
            grids[clip], maneuver[clip] = turn(grids[clip], maneuver[clip])
    maneuver[rng.random(size) < DROPPED_SHARE] = (OFF_GRID_M, OFF_GRID_M, 0.0)
    return _to_batch(grids, maneuver)


def mirror(grids: NDArray[np.uint8], maneuver: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Swap left and right: grids (C, iy, ix) and poses (H, 3) with y and yaw negated."""
    return grids[:, ::-1].copy(), maneuver * np.array([1.0, -1.0, -1.0], np.float32)


def turn(grids: NDArray[np.uint8], maneuver: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Turn the scene by +90 degrees about the robot, so that the front becomes the left."""
    # Row is y and column is x: new[y, x] = old[-x, y].
    turned = np.ascontiguousarray(grids.transpose(0, 2, 1)[:, :, ::-1])
    poses = np.stack([-maneuver[:, 1], maneuver[:, 0], maneuver[:, 2] + np.float32(np.pi / 2)], axis=1)
    return turned, poses


def _grids(clips: ClipSet, indices: NDArray[np.intp]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    packed = [clips.history[indices], clips.motion[indices], clips.future[indices], clips.future_known[indices]]
    packed += [clips.moving[indices], clips.present_moving[indices][:, None]]
    return unpack(np.concatenate(packed, axis=1)).view(np.uint8), clips.maneuver[indices].copy()


def _to_batch(grids: NDArray[np.uint8], maneuver: NDArray[np.float32]) -> Batch:
    sizes = [GRID_CHANNELS * HISTORY_FRAMES, MOTION_CHANNELS, HORIZON_STEPS, HORIZON_STEPS, HORIZON_STEPS, 1]
    history, motion, future, known, moving, present_moving = torch.from_numpy(grids).float().split(sizes, dim=1)
    return Batch(history, motion, future, known, moving, present_moving, torch.from_numpy(maneuver))
