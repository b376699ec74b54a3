"""Flicker: mean change of the imagined occupancy between consecutive frames of a drive, with the same noise.

People and ego motion change the occupancy equally for every model; a model adds changes of its own, mostly by rounding.
The figure is therefore useful only in comparison with another model on the same drives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from edge_worldmodel.core.geometry import compose
from edge_worldmodel.core.model.world_model import WorldModel
from edge_worldmodel.core.tensors import LATENT
from edge_worldmodel.core.types import Tensor
from edge_worldmodel.training.data.clips import make_clip
from edge_worldmodel.training.data.drives import AFTER_STEPS, BEFORE_STEPS, EgoDrive, draw_drives
from edge_worldmodel.training.data.lidar import draw_lidar
from edge_worldmodel.training.data.scenes import STEP_S, TrainingScene
from edge_worldmodel.training.data.sources import Recordings, SceneSource

FRAMES = 8
"""Consecutive frames of a drive, 0.1 s apart."""
_SPEEDS_MPS = (0.0, 0.4)
_SEED_OF_DRIVES = 771
"""Differs from the seeds of training, validation and test clips."""


@dataclass(frozen=True)
class DriveFrames:
    """Consecutive frames of one drive: histories (T, 10, 64, 64) and the maneuvers (T, 8, 3) driven from each."""

    histories: Tensor
    maneuvers: Tensor


def draw_frames(count: int) -> list[DriveFrames]:
    """Return drives among simulated people: the robot rests in half of them and drives at 0.4 m/s in the others."""
    rng = np.random.default_rng((_SEED_OF_DRIVES, 0))
    source = SceneSource(Recordings())
    drives: list[DriveFrames] = []
    with tqdm(total=count, desc="drives", unit="drive") as progress:
        while len(drives) < count:
            scene = source.draw(rng)
            frames = None if scene is None else _frames(scene, _SPEEDS_MPS[len(drives) % 2], rng)
            if frames is not None:
                drives.append(frames)
                progress.update()
    return drives


def _frames(scene: TrainingScene, speed_mps: float, rng: np.random.Generator) -> DriveFrames | None:
    last = scene.movers.steps - AFTER_STEPS - FRAMES - 1
    started = draw_drives(scene, 1, rng) if last > BEFORE_STEPS and scene.movers.people.shape[1] else []
    if not started or scene.robots.shape[1]:
        return None
    first = int(rng.integers(BEFORE_STEPS, last))
    start = started[0].poses[BEFORE_STEPS]
    away_m = np.arange(-BEFORE_STEPS, FRAMES + AFTER_STEPS) * STEP_S * speed_mps
    poses = compose(start, np.stack([away_m, np.zeros_like(away_m), np.zeros_like(away_m)], axis=1))
    lidar = draw_lidar(rng)
    window = BEFORE_STEPS + 1 + AFTER_STEPS
    drives = [EgoDrive(poses[k : k + window], first + k, None) for k in range(FRAMES)]
    clips = [make_clip(scene, drive, lidar, rng) for drive in drives]
    seen = [clip for clip in clips if clip is not None]
    if len(seen) < FRAMES:
        return None
    histories = np.stack([clip.history for clip in seen]).astype(np.float32)
    return DriveFrames(histories, np.stack([clip.maneuver for clip in seen]))


def flicker(model: WorldModel, drives: Sequence[DriveFrames], steps: int, futures: int) -> float:
    """Return the mean change of the imagined occupancy probability between consecutive frames.

    The probability is the mean over futures; the change is averaged over all cells, horizons, frames and drives. The
    noise is the same in all frames of a drive.
    """
    rng = np.random.default_rng(0)
    changes = []
    for drive in drives:
        noise = rng.standard_normal(LATENT.with_batch(futures)).astype(np.float32)
        imagined = np.stack(
            [_imagine(model, *frame, noise, steps) for frame in zip(drive.histories, drive.maneuvers, strict=True)]
        )
        changes.append(float(np.abs(np.diff(imagined, axis=0)).mean()))
    return float(np.mean(changes))


def _imagine(model: WorldModel, history: Tensor, maneuver: Tensor, noise: Tensor, steps: int) -> Tensor:
    context = model.encode(history[None])
    latents = model.imagine(context, maneuver[None].astype(np.float64), noise, steps=steps).latents
    return model.decode(latents, context).mean(axis=0)
