"""Point clouds to sweeps: the floor is fitted and removed, then the nearest obstacle in each direction is kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_worldmodel.core.perception.config import PerceptionConfig
from edge_worldmodel.core.rejection import RejectedInputError, RejectionKind
from edge_worldmodel.core.sweep import Sweep, clear_sweep
from edge_worldmodel.core.types import Floats, Mask

_MAX_POINTS = 5_000_000
# Polar raster around the sensor; the floor is fitted through the lowest point of each of its patches.
_SECTORS = 36
_RING_M = 0.5
_MIN_PATCHES = 6
# A coarse raster of tilts and heights is tried, then the best planes of it are refined.
_TILTS = 7
_OFFSETS = 5
_REFINED_PLANES = 8
_REFINEMENTS = 3


def sweep_from_cloud(
    stamp_ns: int,
    points: ArrayLike,
    origin: ArrayLike,
    config: PerceptionConfig,
    delays_s: Floats | None = None,
) -> Sweep:
    """Turn a point cloud into a sweep.

    Args:
        stamp_ns: time of the cloud.
        points: (n, 3) in metres in the base frame, z up from the nominal floor; points that are not finite are
            dropped.
        origin: (3,) position of the sensor in the base frame, metres.
        config: obstacle heights, floor tolerance, range, number of directions.
        delays_s: (n,) time of measurement of each point after the stamp; None if it is not known.

    Returns:
        For each direction one ray to the nearest obstacle; without an obstacle, a free ray up to the farthest floor
        point. Directions with neither stay unknown: all of them in a cloud without points, as filters send it that
        let obstacles pass only.

    Raises:
        RejectedInputError: EMPTY, TOO_LARGE, MALFORMED or POSE_NOT_FINITE.
    """
    cloud, sensor = np.asarray(points, dtype=np.float64), np.asarray(origin, dtype=np.float64)
    if cloud.ndim != 2 or cloud.shape[1] != 3:
        raise RejectedInputError(RejectionKind.MALFORMED, f"cloud of shape {cloud.shape}: expected (n, 3)")
    if len(cloud) > _MAX_POINTS:
        raise RejectedInputError(
            RejectionKind.TOO_LARGE, f"cloud of {len(cloud)} points: at most {_MAX_POINTS} are taken"
        )
    if sensor.shape != (3,) or not np.isfinite(sensor).all():
        raise RejectedInputError(RejectionKind.POSE_NOT_FINITE, f"sensor at {sensor.tolist()}: expected finite x, y, z")
    offsets = cloud[:, :2] - sensor[:2]
    ranges_m = np.hypot(offsets[:, 0], offsets[:, 1])
    if len(cloud) and not np.isfinite(cloud).all(axis=1).any():
        raise RejectedInputError(
            RejectionKind.EMPTY, f"cloud of {len(cloud)} points without a single measurement: is the sensor covered?"
        )
    near = (ranges_m < config.max_range_m) & np.isfinite(cloud[:, 2])  # false for NaN
    if not near.any():
        return clear_sweep(stamp_ns, sensor[:2])
    cloud, offsets, ranges_m = cloud[near], offsets[near], ranges_m[near]
    azimuths = np.arctan2(offsets[:, 1], offsets[:, 0])
    plane = fit_floor(cloud, azimuths, ranges_m, config)
    heights_m = cloud[:, 2] - (cloud[:, :2] @ plane[:2] + plane[2])
    bins = np.minimum((azimuths + np.pi) * (config.azimuth_bins / (2.0 * np.pi)), config.azimuth_bins - 1).astype(int)
    chosen, hits = _nearest(heights_m, bins, ranges_m, config)
    return Sweep(
        stamp_ns=stamp_ns,
        origin=sensor[:2].copy(),
        endpoints=cloud[chosen, :2],
        hit=np.arange(len(chosen)) < hits,
        delays_s=None if delays_s is None else delays_s[near][chosen],
    )


def fit_floor(cloud: Floats, azimuths: Floats, ranges_m: Floats, config: PerceptionConfig) -> Floats:
    """Return the floor (a, b, c), z = a x + b y + c, in the base frame; (0, 0, 0) if no floor is found.

    Args:
        cloud: (n, 3) finite points.
        azimuths: (n,) direction of each point from the sensor, rad.
        ranges_m: (n,) distance of each point from the sensor.
        config: floor tolerance and steepest floor.
    """
    slope = np.tan(config.ground_tilt_max_rad)
    reach_m = np.hypot(cloud[:, 0], cloud[:, 1])
    is_low = np.abs(cloud[:, 2]) <= 2.0 * config.ground_tolerance_m + slope * reach_m
    low = cloud[is_low]
    sector = ((azimuths[is_low] + np.pi) * (_SECTORS / (2.0 * np.pi))).astype(int)
    patch = sector * (int(config.max_range_m / _RING_M) + 2) + (ranges_m[is_low] / _RING_M).astype(int)
    lowest = np.full(patch.max(initial=0) + 1, np.inf)
    np.minimum.at(lowest, patch, low[:, 2])
    seeds = low[low[:, 2] == lowest[patch]]
    if len(seeds) < _MIN_PATCHES:
        return np.zeros(3)
    planes = [_refined(plane, seeds, config) for plane in _coarse_planes(seeds, slope, config.ground_tolerance_m)]
    plane = max(planes, key=lambda plane: _support(plane, seeds, config.ground_tolerance_m))
    plane = _least_squares(_close_to(plane, low, config))  # lowest points lie below the floor by the noise
    plausible = np.hypot(plane[0], plane[1]) <= 1.5 * slope and abs(plane[2]) <= 6.0 * config.ground_tolerance_m
    return plane if plausible and len(_close_to(plane, seeds, config)) >= _MIN_PATCHES else np.zeros(3)


def _coarse_planes(seeds: Floats, slope: float, tolerance_m: float) -> Floats:
    """Return the level plane and the best-supported planes (n, 3) of a raster of tilts and heights."""
    tilts = np.linspace(-slope, slope, _TILTS)
    offsets = np.linspace(-4.0, 4.0, _OFFSETS) * tolerance_m
    planes = np.stack(np.meshgrid(tilts, tilts, offsets), axis=-1).reshape(-1, 3)
    band_m = tolerance_m + slope / (_TILTS - 1) * np.hypot(seeds[:, 0], seeds[:, 1])
    best = np.argsort(_support(planes, seeds, band_m), kind="stable")[-_REFINED_PLANES:]
    return np.concatenate((np.zeros((1, 3)), planes[best]))


def _support(planes: Floats, seeds: Floats, band_m: ArrayLike) -> NDArray[np.int_]:
    """Return the number of seeds on each plane (..., 3) minus those under it, because no point is under a floor."""
    errors_m = seeds[:, 2] - (planes[..., :2] @ seeds[:, :2].T + planes[..., 2:])
    on_plane, under_plane = np.abs(errors_m) <= band_m, errors_m < -np.asarray(band_m)
    support: NDArray[np.int_] = on_plane.sum(axis=-1) - under_plane.sum(axis=-1)
    return support


def _refined(plane: Floats, seeds: Floats, config: PerceptionConfig) -> Floats:
    for _ in range(_REFINEMENTS):
        plane = _least_squares(_close_to(plane, seeds, config))
    return plane


def _close_to(plane: Floats, points: Floats, config: PerceptionConfig) -> Floats:
    return points[np.abs(points[:, 2] - _plane_z(plane, points)) <= 1.5 * config.ground_tolerance_m]


def _least_squares(points: Floats) -> Floats:
    design = np.column_stack((points[:, :2], np.ones(len(points))))
    # Regularised towards a level floor, because points on one line do not determine a tilt.
    normal = design.T @ design + np.diag((1e-2, 1e-2, 1e-6))
    return np.linalg.solve(normal, design.T @ points[:, 2])


def _plane_z(plane: Floats, points: Floats) -> Floats:
    z: Floats = points[:, :2] @ plane[:2] + plane[2]
    return z


def _nearest(
    heights_m: Floats, bins: NDArray[np.int_], ranges_m: Floats, config: PerceptionConfig
) -> tuple[NDArray[np.int_], int]:
    """Return the rows of the points that end a ray, obstacles first, and the number of obstacles."""
    obstacle = (heights_m >= config.obstacle_height_min_m) & (heights_m <= config.obstacle_height_max_m)
    nearest = np.full(config.azimuth_bins, np.inf)
    np.minimum.at(nearest, bins[obstacle], ranges_m[obstacle])
    floor = (np.abs(heights_m) <= config.ground_tolerance_m) & np.isinf(nearest)[bins]
    farthest = np.full(config.azimuth_bins, -np.inf)
    np.maximum.at(farthest, bins[floor], ranges_m[floor])
    at_obstacle = _one_each(bins, obstacle & (ranges_m == nearest[bins]), config.azimuth_bins)
    on_floor = _one_each(bins, floor & (ranges_m == farthest[bins]), config.azimuth_bins)
    return np.concatenate((at_obstacle, on_floor)), len(at_obstacle)


def _one_each(bins: NDArray[np.int_], chosen: Mask, count: int) -> NDArray[np.int_]:
    """Return one index per bin among the chosen points, of which several may be equally near."""
    winner = np.full(count, -1)
    indices = np.flatnonzero(chosen)
    winner[bins[indices]] = indices
    return winner[winner >= 0]
