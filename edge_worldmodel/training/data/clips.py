"""Renders one clip: the frames that a simulated robot observes over the last second, and the true future."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.errors import InputError
from edge_worldmodel.core.geometry import compose, inverse, relative, transform_points
from edge_worldmodel.core.grid import render
from edge_worldmodel.core.tensors import (
    GRID_CELLS,
    GRID_CHANNELS,
    HISTORY_FRAMES,
    HISTORY_INTERVAL_S,
    HORIZON_STEP_S,
    HORIZON_STEPS,
)
from edge_worldmodel.core.types import Floats
from edge_worldmodel.training.data.drives import BEFORE_STEPS, EgoDrive
from edge_worldmodel.training.data.lidar import Lidar, cast_circles, cast_map, cast_segments, corrupt, to_sweep
from edge_worldmodel.training.data.scenes import STEP_S, Movers, TrainingScene, headings
from edge_worldmodel.training.data.truth import box_cells, disc_cells, known_cells, solid_cells

AGENTS = 24
"""Number of movers whose positions a clip keeps, nearest first."""
HISTORY_TIMES_S: Floats = np.arange(1.0 - HISTORY_FRAMES, 1.0) * HISTORY_INTERVAL_S
FUTURE_TIMES_S: Floats = np.arange(1.0, HORIZON_STEPS + 1.0) * HORIZON_STEP_S
MOVING_M = 0.3
"""A mover that moves less than this during a clip counts as static."""
_NEAR_M = 16.0
_NANOSECONDS = 1e9


@dataclass(frozen=True)
class Clip:
    """One training example; masks are [.., iy, ix] in the ego frame at the reference time.

    history (10, 64, 64), future, future_known, moving (8, 64, 64), present_moving (64, 64) bool;
    maneuver (8, 3) and agents (24, 13, 2) float32, NaN where an agent is absent; reacts: people react to the robot.
    """

    history: NDArray[np.bool_]
    future: NDArray[np.bool_]
    future_known: NDArray[np.bool_]
    moving: NDArray[np.bool_]
    present_moving: NDArray[np.bool_]
    maneuver: NDArray[np.float32]
    agents: NDArray[np.float32]
    reacts: bool


def make_clip(scene: TrainingScene, drive: EgoDrive, lidar: Lidar, rng: np.random.Generator) -> Clip | None:
    """Return a clip, or None if the scanner observes nothing at the reference time.

    Args:
        scene: scene to render.
        drive: motion of the robot.
        lidar: its scanner.
        rng: source of noise and missing frames.
    """
    movers = _around(scene, drive)
    reference = drive.poses[BEFORE_STEPS]
    history = _history(scene, movers, drive, lidar, rng)
    if not history[-GRID_CHANNELS:].any():
        return None
    times_s = np.concatenate((HISTORY_TIMES_S, FUTURE_TIMES_S))
    people = transform_points(np.broadcast_to(inverse(reference), (13, 3)), at_times(movers.people, times_s))
    boxes = relative(reference, at_times(movers.boxes, times_s))
    solid = solid_cells(scene.statics.solid_points, reference)
    now_and_later = slice(HISTORY_FRAMES - 1, None)
    all_movers = _cells(people[now_and_later], boxes[now_and_later], movers)
    is_moving = _moving(movers)
    moving = _cells(people[now_and_later], boxes[now_and_later], movers, is_moving)
    known = np.broadcast_to(known_cells(scene.known, reference), (HORIZON_STEPS, GRID_CELLS, GRID_CELLS))
    maneuver = relative(reference, at_times(drive.poses, FUTURE_TIMES_S))
    positions = np.concatenate((people, boxes[..., :2]), axis=1)
    return Clip(
        history, solid | all_movers[1:], known, moving[1:], moving[0], maneuver.astype(np.float32),
        _nearest(positions), drive.robot is not None,
    )  # fmt: skip


def at_times(samples: Floats, times_s: Floats) -> Floats:
    """Interpolate samples (n, ...) of a drive's window at times (...) relative to its reference; NaN stays NaN."""
    position = np.clip(np.asarray(times_s) / STEP_S + BEFORE_STEPS, 0.0, len(samples) - 1.0)
    before = np.minimum(np.floor(position + 1e-9).astype(int), len(samples) - 2)
    fraction = (position - before).reshape(position.shape + (1,) * (samples.ndim - 1))
    start, end = samples[before], samples[before + 1]
    # Exactly at a sample the next one is not needed; it is NaN when a person leaves.
    exact = np.abs(fraction) < 1e-6
    interpolated: Floats = np.where(exact, start, start + fraction * (end - start))
    return interpolated


def _around(scene: TrainingScene, drive: EgoDrive) -> Movers:
    """Return the movers near the robot in the time window of the drive, without the robot itself."""
    movers = scene.movers
    first = drive.reference_step - BEFORE_STEPS
    window = slice(first, first + len(drive.poses))
    people, boxes = movers.people[window], movers.boxes[window]
    with np.errstate(invalid="ignore"):
        near = (np.abs(people - drive.poses[BEFORE_STEPS, :2]) < _NEAR_M).all(axis=-1).any(axis=0)
    if drive.robot is not None:
        near[len(near) - scene.robots.shape[1] + drive.robot] = False
    return Movers(people[:, near], movers.radii[near], movers.rigid[near], boxes, movers.box_sizes)


def _cells(
    people: Floats, boxes: Floats, movers: Movers, selected: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    selected = np.ones(len(movers.radii) + len(movers.box_sizes), bool) if selected is None else selected
    walkers, vehicles = selected[: len(movers.radii)], selected[len(movers.radii) :]
    discs = disc_cells(people[:, walkers], movers.radii[walkers])
    return discs | box_cells(boxes[:, vehicles], movers.box_sizes[vehicles])


def _moving(movers: Movers) -> NDArray[np.bool_]:
    positions = np.concatenate((movers.people, movers.boxes[..., :2]), axis=1)
    absent = np.isnan(positions)
    lowest = np.where(absent, np.inf, positions).min(axis=0)
    highest = np.where(absent, -np.inf, positions).max(axis=0)
    return np.linalg.norm(np.maximum(highest - lowest, 0.0), axis=-1) > MOVING_M


def _nearest(positions: Floats) -> NDArray[np.float32]:
    """Return the positions (24, 13, 2) of the movers nearest to the robot at present, from (13, P, 2)."""
    away_m = np.linalg.norm(positions, axis=-1)
    present_m = np.where(np.isnan(away_m[HISTORY_FRAMES - 1]), np.inf, away_m[HISTORY_FRAMES - 1])
    ever_near = np.where(np.isnan(away_m), np.inf, away_m).min(axis=0) < _NEAR_M
    order = [i for i in np.argsort(present_m, kind="stable") if ever_near[i]][:AGENTS]
    agents = np.full((AGENTS, positions.shape[0], 2), np.nan, dtype=np.float32)
    agents[: len(order)] = positions[:, order].transpose(1, 0, 2)
    return agents


def _history(
    scene: TrainingScene, movers: Movers, drive: EgoDrive, lidar: Lidar, rng: np.random.Generator
) -> NDArray[np.bool_]:
    # The reference time is the stamp of a scan; earlier frames are the scans nearest to the wanted times.
    period_s = 1.0 / lidar.rate_hz
    times_s = np.rint(HISTORY_TIMES_S / period_s) * period_s
    times_s[:-1] += rng.normal(0.0, 0.002, HISTORY_FRAMES - 1)
    ranges = corrupt(_distances(scene, movers, drive, lidar, times_s, rng), lidar, rng)
    poses = _odometry(drive, times_s, rng)
    missing = _missing_frames(rng)
    frames = np.zeros((HISTORY_FRAMES, GRID_CHANNELS, GRID_CELLS, GRID_CELLS), dtype=bool)
    for index in np.flatnonzero(~missing):
        try:
            sweep = to_sweep(ranges[index], lidar, round((times_s[index] + 1.0) * _NANOSECONDS))
        except InputError:
            continue  # no usable reading in this scan
        frames[index] = render([sweep], poses[index]) > 0.5
    return frames.reshape(-1, GRID_CELLS, GRID_CELLS)


def _missing_frames(rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw which past frames are missing: single scans, or all older ones, as just after the start."""
    missing = rng.random(HISTORY_FRAMES) < 0.01
    if rng.random() < 0.02:
        missing[: rng.integers(1, HISTORY_FRAMES)] = True
    missing[-1] = False
    return missing


def _odometry(drive: EgoDrive, times_s: Floats, rng: np.random.Generator) -> Floats:
    """Return the poses (F, 3) by noisy odometry, in the robot's frame at the reference time."""
    late_s = rng.normal(0.0, 0.01)
    moved = relative(at_times(drive.poses, np.array(late_s)), at_times(drive.poses, times_s + late_s))
    moved[:, :2] *= 1.0 + rng.normal(0.0, 0.02)
    moved[:, 2] = moved[:, 2] * (1.0 + rng.normal(0.0, 0.02)) + rng.normal(0.0, 0.005) * times_s
    is_static = np.ptp(drive.poses[: BEFORE_STEPS + 1], axis=0).max() < 1e-6
    if not is_static:
        moved[:-1] += rng.normal(0.0, 1.0, (len(moved) - 1, 3)) * (0.004, 0.004, 0.002)
    return moved


def _distances(
    scene: TrainingScene, movers: Movers, drive: EgoDrive, lidar: Lidar, times_s: Floats, rng: np.random.Generator
) -> Floats:
    """Return the exact distance (F, B) of the first hit of each ray."""
    delays_s = np.linspace(0.0, lidar.skew_s, lidar.beams)
    base = at_times(drive.poses, times_s[:, None] + delays_s)
    sensor = compose(base, np.asarray(lidar.mount))
    angles = sensor[..., 2] + lidar.angles_rad
    origins, directions = sensor[..., :2], np.stack((np.cos(angles), np.sin(angles)), axis=-1)
    statics = scene.statics
    near = _near_segments(statics.segments, drive.poses[BEFORE_STEPS, :2])
    distances = cast_segments(origins, directions, near)
    boxes = at_times(movers.boxes, times_s)
    distances = np.minimum(distances, cast_segments(origins, directions, _box_edges(boxes, movers.box_sizes)))
    distances = np.minimum(distances, cast_circles(origins, directions, _silhouettes(movers, times_s, lidar, rng)))
    distances = np.minimum(distances, cast_circles(origins, directions, statics.pillars))
    if statics.blocked is not None:
        mapped = cast_map(origins, directions, statics.clearance_m, statics.blocked)
        # NaN means unknown in the map, and counts only where nothing nearer was hit.
        distances = np.where(np.isnan(mapped) & np.isfinite(distances), distances, np.minimum(distances, mapped))
    return distances


def _near_segments(segments: Floats, place: Floats) -> Floats:
    lowest = np.minimum(segments[:, :2], segments[:, 2:]) - place
    highest = np.maximum(segments[:, :2], segments[:, 2:]) - place
    return segments[((lowest < _NEAR_M) & (highest > -_NEAR_M)).all(axis=1)]


def _box_edges(poses: Floats, sizes: Floats) -> Floats:
    """Return the edges (F, 4 V, 4) of rectangles with poses (F, V, 3) and sizes (V, 2)."""
    if len(sizes) == 0:
        return np.zeros((len(poses), 0, 4))
    corners = 0.5 * sizes[:, None] * np.array(((1, 1), (-1, 1), (-1, -1), (1, -1)))
    placed = transform_points(poses, np.broadcast_to(corners, (len(poses), *corners.shape)))
    return np.concatenate((placed, np.roll(placed, -1, axis=-2)), axis=-1).reshape(len(poses), -1, 4)


def _silhouettes(movers: Movers, times_s: Floats, lidar: Lidar, rng: np.random.Generator) -> Floats:
    """Return circles (F, C, 3) for people: their bodies, or two walking legs."""
    people, radii = at_times(movers.people, times_s), movers.radii
    walks = ~movers.rigid & lidar.at_leg_height & (rng.random(len(radii)) < 0.85)
    discs = np.concatenate((people, np.broadcast_to(radii[:, None], (*people.shape[:2], 1))), axis=-1)
    if not walks.any():
        return discs
    tracks = movers.people[:, walks]
    steps_m = np.nan_to_num(np.linalg.norm(np.diff(tracks, axis=0, prepend=tracks[:1]), axis=-1))
    stride_m = rng.uniform(1.1, 1.6, walks.sum())
    phase = 2 * np.pi * (at_times(np.cumsum(steps_m, axis=0), times_s) / stride_m + rng.random(walks.sum()))
    yaw = at_times(np.unwrap(headings(tracks), axis=0), times_s)
    speed_mps = at_times(steps_m / STEP_S, times_s)
    leg_m = rng.uniform(0.05, 0.09, walks.sum())
    # The feet stay near the body's radius, so that hits lie in cells that the true future calls occupied.
    swing_m = np.minimum(0.28 * np.minimum(speed_mps / 1.2, 1.2), radii[walks] - leg_m + 0.05) * np.cos(phase)
    forward = np.stack((np.cos(yaw), np.sin(yaw)), axis=-1)
    left = np.stack((-np.sin(yaw), np.cos(yaw)), axis=-1) * rng.uniform(0.07, 0.12, walks.sum())[:, None]
    feet = [people[:, walks] + sign * (swing_m[..., None] * forward + left) for sign in (1.0, -1.0)]
    legs = [np.concatenate((foot, np.broadcast_to(leg_m[:, None], (*foot.shape[:2], 1))), axis=-1) for foot in feet]
    return np.concatenate((discs[:, ~walks], *legs), axis=1)
