"""A scene for clips: static objects, movers over time, and where the truth is known. All sources make scenes.

World frame in metres; time runs from 0 in steps of ``STEP_S``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_worldmodel.core.types import Floats

STEP_S = 0.1
"""Time between two samples of movers."""
SOLID_SPACING_M = 0.04
"""Distance between points on walls; far below a cell, so that few crossed cells are missed."""


@dataclass(frozen=True)
class Raster:
    """Values on square cells; cell [0, 0] has its lower corner at ``origin_m`` (x, y)."""

    values: NDArray[np.generic]
    origin_m: tuple[float, float]
    cell_size_m: float

    def at(self, points: ArrayLike, outside: float) -> NDArray[np.generic]:
        """Return the value (...) of the cell that each point (..., 2) lies in, ``outside`` beyond the raster."""
        cells = np.floor((np.asarray(points) - self.origin_m) / self.cell_size_m).astype(np.int32)
        height, width = self.values.shape
        x, y = cells[..., 0], cells[..., 1]
        inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        found = self.values[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
        return np.where(inside, found, np.asarray(outside, dtype=self.values.dtype))

    def centres(self) -> Floats:
        """Return (height, width, 2), the centre of each cell in metres."""
        height, width = self.values.shape
        x = self.origin_m[0] + (np.arange(width) + 0.5) * self.cell_size_m
        y = self.origin_m[1] + (np.arange(height) + 0.5) * self.cell_size_m
        return np.stack(np.meshgrid(x, y), axis=-1)


@dataclass(frozen=True)
class Statics:
    """Static objects.

    ``segments`` (S, 4) are walls x0, y0, x1, y1; ``pillars`` (D, 3) are discs x, y, radius; ``blocked`` is the
    raster of a recorded map (1 occupied, 2 unknown), if any. ``solid_points`` (n, 2) cover everything that is
    occupied; ``clearance_m`` is the distance to these, 0 outside of free space.
    """

    segments: Floats
    pillars: Floats
    blocked: Raster | None
    solid_points: Floats
    clearance_m: Raster


@dataclass(frozen=True)
class Movers:
    """Movers, sampled every ``STEP_S``; NaN where a mover is absent.

    ``people`` (T, P, 2) are discs of ``radii`` (P,); ``rigid`` (P,) marks those without legs (robots, rolling bins).
    ``boxes`` (T, V, 3) are poses of rectangles with ``box_sizes`` (V, 2), length and width.
    """

    people: Floats
    radii: Floats
    rigid: NDArray[np.bool_]
    boxes: Floats
    box_sizes: Floats

    @property
    def steps(self) -> int:
        """The number of time samples."""
        return len(self.people)


@dataclass(frozen=True)
class TrainingScene:
    """A scene of some seconds.

    ``robots`` (T, R, 3) are poses of robots that people react to; they are also the last R columns of the people.
    ``known`` marks the area where the truth is known; None: everywhere.
    """

    source: str
    statics: Statics
    movers: Movers
    robots: Floats
    known: Raster | None = None

    def without_movers(self) -> TrainingScene:
        """Return the same scene without movers."""
        return replace(self, source=f"static:{self.source}", movers=no_movers(self.movers.steps), robots=no_robots(1))


def no_movers(steps: int) -> Movers:
    """Return an empty set of movers."""
    return Movers(
        np.zeros((steps, 0, 2)), np.zeros(0), np.zeros(0, bool), np.zeros((steps, 0, 3)), np.zeros((0, 2))
    )  # fmt: skip


def no_robots(steps: int) -> Floats:
    """Return an empty array of robot trajectories (steps, 0, 3)."""
    return np.zeros((steps, 0, 3))


def points_on_segments(segments: Floats, spacing_m: float = SOLID_SPACING_M) -> Floats:
    """Return points (n, 2) along segments (S, 4), no farther apart than ``spacing_m``."""
    if len(segments) == 0:
        return np.zeros((0, 2))
    starts, ends = segments[:, :2], segments[:, 2:]
    counts = np.ceil(np.hypot(*(ends - starts).T) / spacing_m).astype(int) + 1
    owner = np.repeat(np.arange(len(segments)), counts)
    rank = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    fraction = rank / np.maximum(counts - 1, 1)[owner]
    points: Floats = starts[owner] + fraction[:, None] * (ends - starts)[owner]
    return points


def points_in_discs(pillars: Floats, spacing_m: float = SOLID_SPACING_M) -> Floats:
    """Return points (n, 2) that fill discs (D, 3)."""
    filled = [np.zeros((0, 2))]
    for x, y, radius in pillars:
        axis = np.linspace(-radius, radius, int(np.ceil(2 * radius / spacing_m)) + 2)
        grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
        # The tolerance keeps points on the rim in spite of rounding.
        filled.append(grid[np.hypot(*grid.T) <= radius + 1e-9] + (x, y))
    return np.concatenate(filled)


def clearance_raster(free: NDArray[np.bool_], origin_m: tuple[float, float], cell_size_m: float) -> Raster:
    """Return the distance (m) of each free cell from the nearest cell that is not free; the outside is not free."""
    padded = np.pad(free.astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return Raster((distance * cell_size_m).astype(np.float32), origin_m, cell_size_m)


def smooth(tracks: Floats, sigma_steps: float) -> Floats:
    """Smooth tracks (T, ...) along time with a Gaussian; end values are repeated."""
    reach = max(1, int(np.ceil(3 * sigma_steps)))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_steps) ** 2)
    padded = np.pad(tracks, [(reach, reach)] + [(0, 0)] * (tracks.ndim - 1), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=0)
    smoothed: Floats = windows @ (kernel / kernel.sum())
    return smoothed


def headings(tracks: Floats, slow_mps: float = 0.1) -> Floats:
    """Return the direction of motion (T, P) in rad of tracks (T, P, 2), kept while a person is at rest."""
    velocity = np.gradient(tracks, STEP_S, axis=0) if len(tracks) > 1 else np.zeros_like(tracks)
    yaw = np.where(np.hypot(velocity[..., 0], velocity[..., 1]) > slow_mps, np.arctan2(*velocity.T[::-1]).T, np.nan)
    index = np.arange(len(yaw))[:, None]
    last = np.maximum.accumulate(np.where(np.isnan(yaw), -1, index), axis=0)
    following = np.minimum.accumulate(np.where(np.isnan(yaw), len(yaw), index)[::-1], axis=0)[::-1]
    # Before the first motion, the first heading is used; without motion, +x.
    pick = np.where(last >= 0, last, np.where(following < len(yaw), following, 0))
    return np.nan_to_num(np.take_along_axis(yaw, pick, axis=0))
