"""Risk: CVaR of the collision probability over imagined futures and drawn disturbances.

CVaR at tail q is the mean of the worst share q of all outcomes (Rockafellar and Uryasev, 2000), so a maneuver
that is usually safe and sometimes fatal is not called safe.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.planner.critics.scene import Scene
from edge_worldmodel.core.planner.guidance.local_map import ROUNDING_M, cells_of, lookup, too_close
from edge_worldmodel.core.planner.guidance.outlook import frames_at, room_beside
from edge_worldmodel.core.planner.robot_limits import DT_S, STEPS
from edge_worldmodel.core.types import Floats, Tensor


def score(scene: Scene) -> tuple[Floats, Floats]:
    """Return (M,) the risk and (M,) the exposure, both in 0..1.

    Risk is what the robot's own motion may cause: at rest it runs into nobody (passive motion safety: Macek et al.,
    2009), so below ``harmless_mps`` a collision counts in proportion to its own speed. Exposure counts every
    collision, being run into as well.
    """
    hit = collision_probability(scene)
    speed_mps = np.hypot(scene.candidates.twists[..., 0], scene.candidates.twists[..., 1])
    own_part = np.clip(speed_mps / scene.harmless_mps, 0.0, 1.0)[:, None, None].astype(np.float32)
    return _tail_of(hit * own_part, scene.tail), _tail_of(hit, scene.tail)


def _tail_of(hit: Tensor, tail: float) -> Floats:
    """Return (M,) the CVaR of the worst moment of each path, from probabilities (M, F, D, T + 1)."""
    worst = hit.max(axis=-1).astype(np.float64)
    return cvar(worst.reshape(len(worst), -1), tail)


def cvar(outcomes: Floats, tail: float) -> Floats:
    """Return (M,) the mean of the worst share ``tail`` of outcomes (M, N), the last one counted in part."""
    worst_first = -np.sort(-outcomes, axis=1)
    share = np.clip(tail * outcomes.shape[1] - np.arange(outcomes.shape[1]), 0.0, 1.0)
    if share.sum() == 0.0:
        share[0] = 1.0
    # Not a matrix product: the last bit of that depends on where in memory the numbers happen to lie.
    mean: Floats = (worst_first * (share / share.sum())).sum(axis=1)
    return mean


def collision_probability(scene: Scene) -> Tensor:
    """Return (M, F, D, T + 1) the probability, pose by pose, that something is where the robot is.

    What lies beyond the time to stop can still be avoided by a later plan, so it counts less and less (``fading``).
    What stands is seen with sharper edges than it is imagined with, so it counts as seen. What moves, or is imagined
    to come from anywhere else, counts as imagined: the frame nearest in time, the present one at first.
    Where the robot already stands closer to something than ``clear_m``, poses that do not get closer only count what
    comes closer than it is now: it must be able to leave, and to see that it has to.
    """
    points = scene.disturbed[..., :2]
    clearance = lookup(scene.ahead.movers_m[0], points).astype(np.float64)
    hit = _hits(scene, points, scene.clear_m)
    nearest_m = float(clearance[..., 0].min())
    if too_close(clearance[..., 0], scene.clear_m).any():
        leaving = _leaving(clearance, scene.clear_m)
        hit = np.where(leaving[:, None], _hits(scene, points, nearest_m - 2.0 * ROUNDING_M), hit)
    hit = np.maximum(hit, _hits_what_stands(scene)[:, None])
    faded: Tensor = (hit * scene.fade).astype(np.float32)
    return faded


def _hits_what_stands(scene: Scene) -> Tensor:
    """Return (M, D, T + 1) 1 where the footprint comes closer to what stands than wanted, and than it is now."""
    room = room_beside(scene.ahead.standing, scene.disturbed, scene.limits)
    touching = too_close(room, scene.wall_margin_m) & (room < room[..., :1] - 2.0 * ROUNDING_M)
    return touching.astype(np.float32)


def fading(sure_s: float, half_life_s: float) -> Floats:
    """Return (T + 1,) how much a collision counts by its time: fully up to ``sure_s``, then half per half-life."""
    late_s = np.maximum(np.arange(STEPS + 1) * DT_S - sure_s, 0.0)
    weight: Floats = 0.5 ** (late_s / half_life_s)
    return weight


def _hits(scene: Scene, points: Floats, clear_m: float) -> Tensor:
    """Return (M, F, D, T + 1) the probability that something is within ``clear_m`` of points (M, D, T + 1, 2)."""
    if clear_m < 0.0:
        return np.zeros((*points.shape[:1], scene.futures.shape[1], *points.shape[1:3]), np.float32)
    iy, ix = cells_of(points)
    kernel = footprint_kernel(clear_m)
    # Only the cells that some path comes near need to be looked at.
    margin = kernel.shape[0] // 2
    top, left = max(int(iy.min()) - margin, 0), max(int(ix.min()) - margin, 0)
    rows = slice(top, int(iy.max()) + margin + 1)
    columns = slice(left, int(ix.max()) + margin + 1)
    iy, ix = iy - top, ix - left
    movers = (scene.ahead.seen.occupied & ~scene.ahead.standing.occupied)[rows, columns]
    present = dilate(movers[None].astype(np.float32), kernel)[0]
    imagined = scene.departures(rows, columns)
    grown = dilate(imagined.reshape(-1, *imagined.shape[-2:]), kernel)
    frame = frames_at(points.shape[2])
    clip = np.arange(imagined.shape[0] * imagined.shape[1]).reshape(*imagined.shape[:2], 1, 1)
    hit: Tensor = grown[clip * imagined.shape[2] + np.maximum(frame - 1, 0), iy[:, None], ix[:, None]]
    return np.where(frame == 0, present[iy, ix][:, None], hit)


def footprint_kernel(radius_m: float) -> NDArray[np.uint8]:
    """Return the disc of cells whose near edge lies within ``radius_m`` of the centre of the middle cell."""
    reach = int(np.ceil(radius_m / EGO_GRID.cell_size_m))
    offset = np.arange(-reach, reach + 1) * EGO_GRID.cell_size_m
    disc = np.hypot(*np.meshgrid(offset, offset)) - 0.5 * EGO_GRID.cell_size_m
    return too_close(disc, radius_m).astype(np.uint8)


def dilate(frames: Tensor, kernel: NDArray[np.uint8]) -> Tensor:
    """Grow occupancy (N, rows, columns) by the kernel, all frames in one call."""
    margin = kernel.shape[0] // 2
    count, rows, columns = frames.shape
    # Frames are stacked into one tall image; empty rows between them keep neighbours apart.
    tall = np.zeros((count, rows + margin, columns), np.float32)
    tall[:, :rows] = frames
    grown: Tensor = cv2.dilate(tall.reshape(-1, columns), kernel).astype(np.float32, copy=False)
    return grown.reshape(count, rows + margin, columns)[:, :rows]


def _leaving(clearance: Floats, clear_m: float) -> NDArray[np.bool_]:
    """Return (M, D, T + 1) whether a path has only gained present clearance since a start too close to something."""
    start = clearance[..., :1]
    gaining = np.logical_and.accumulate(clearance >= start, axis=-1)
    leaving: NDArray[np.bool_] = gaining & too_close(start, clear_m) & too_close(clearance, clear_m)
    return leaving
