"""One planar look around: rays from a sensor, ending at an obstacle or where sight ended.

Every sensor is turned into the same Sweep: laser scans here, point clouds in ``cloud``, depth images in ``depth``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_worldmodel.core.rejection import RejectedInputError, RejectionKind

Floats = NDArray[np.float64]

_FAR_M = 100.0
_MAX_BEAMS = 100_000


@dataclass(frozen=True)
class Sweep:
    """Rays of one look, in the base frame at ``stamp_ns``.

    ``origin`` (2,) is the sensor, ``endpoints`` (n, 2) the ends of its rays, all in metres. Where ``hit`` (n,)
    is True an obstacle was seen at the endpoint; where it is False the ray is free up to its endpoint.
    """

    stamp_ns: int
    origin: Floats
    endpoints: Floats
    hit: NDArray[np.bool_]
    beams: int = 0
    """Rays measured, those without a usable reading included; 0 where the sensor has no fixed number."""


def sweep_from_scan(
    stamp_ns: int,
    ranges: ArrayLike,
    angle_min_rad: float,
    angle_increment_rad: float,
    range_min_m: float,
    range_max_m: float,
    sensor_pose: ArrayLike,
) -> Sweep:
    """Turn a planar laser scan into a sweep; ranges mean what REP-117 says.

    Args:
        stamp_ns: time of the scan.
        ranges: (n,) in metres. +inf or at least ``range_max_m``: nothing there, free up to ``range_max_m``.
            NaN, -inf or under ``range_min_m``: no measurement, dropped.
        angle_min_rad: direction of the first ray in the sensor frame.
        angle_increment_rad: angle from one ray to the next, negative for a scanner mounted upside down.
        range_min_m: nearest reading to believe.
        range_max_m: farthest reading to believe; inf is taken as 100 m.
        sensor_pose: (x_m, y_m, yaw_rad) of the scanner in the base frame.

    Raises:
        RejectedInputError: EMPTY, TOO_LARGE, MALFORMED or POSE_NOT_FINITE.
    """
    distances = np.asarray(ranges, dtype=np.float64)
    pose = np.asarray(sensor_pose, dtype=np.float64)
    _check_scan(distances, (angle_min_rad, angle_increment_rad), range_min_m, range_max_m)
    if pose.shape != (3,) or not np.isfinite(pose).all():
        raise RejectedInputError(
            RejectionKind.POSE_NOT_FINITE, f"scanner pose {pose.tolist()}: expected finite x, y, yaw"
        )
    far_m = min(float(range_max_m), _FAR_M)
    measured = distances >= range_min_m  # false for NaN
    seen_m = distances[measured]
    directions = _directions(len(distances), float(pose[2]), angle_min_rad, angle_increment_rad)[measured]
    endpoints = pose[:2] + np.minimum(seen_m, far_m)[:, None] * directions
    return Sweep(stamp_ns, pose[:2].copy(), _some(endpoints, "scan"), seen_m < far_m, beams=len(distances))


def limit_range(sweep: Sweep, max_range_m: float) -> Sweep:
    """Return the sweep seen only up to ``max_range_m`` from its origin; longer rays are free up to there."""
    rays = sweep.endpoints - sweep.origin
    lengths_m = np.hypot(rays[:, 0], rays[:, 1])
    far = lengths_m > max_range_m
    if not far.any():
        return sweep
    scale = np.where(far, max_range_m / np.where(far, lengths_m, 1.0), 1.0)
    return replace(sweep, endpoints=sweep.origin + rays * scale[:, None], hit=sweep.hit & ~far)


def check_sweep(sweep: Sweep) -> None:
    """Raise RejectedInputError (EMPTY, MALFORMED) unless shapes agree and every number is finite."""
    count = len(sweep.endpoints)
    if sweep.origin.shape != (2,) or sweep.endpoints.shape != (count, 2) or sweep.hit.shape != (count,):
        shapes = sweep.origin.shape, sweep.endpoints.shape, sweep.hit.shape
        raise RejectedInputError(RejectionKind.MALFORMED, f"sweep with shapes {shapes}: expected (2,), (n, 2), (n,)")
    if not (np.isfinite(sweep.origin).all() and np.isfinite(sweep.endpoints).all()):
        raise RejectedInputError(RejectionKind.MALFORMED, "sweep with an endpoint that is not finite")
    _some(sweep.endpoints, "sweep")


@lru_cache(maxsize=16)
def _directions(beams: int, yaw_rad: float, angle_min_rad: float, angle_increment_rad: float) -> Floats:
    """Return the unit vectors (beams, 2) of a scanner's rays; the same for all its scans."""
    angles = yaw_rad + angle_min_rad + angle_increment_rad * np.arange(beams)
    directions = np.stack((np.cos(angles), np.sin(angles)), axis=-1)
    directions.flags.writeable = False
    return directions


def _some(endpoints: Floats, what: str) -> Floats:
    if len(endpoints) == 0:
        raise RejectedInputError(RejectionKind.EMPTY, f"{what} without a single usable reading: is the sensor covered?")
    return endpoints


def _check_scan(distances: Floats, angles_rad: tuple[float, float], range_min_m: float, range_max_m: float) -> None:
    if distances.ndim != 1 or distances.size == 0:
        raise RejectedInputError(RejectionKind.EMPTY, f"scan with ranges of shape {distances.shape}: no beams")
    if distances.size > _MAX_BEAMS:
        raise RejectedInputError(
            RejectionKind.TOO_LARGE, f"scan of {distances.size} beams: at most {_MAX_BEAMS} are taken"
        )
    believable = np.all(np.abs(angles_rad) <= 2.0 * np.pi)  # false for NaN
    if not believable or (angles_rad[1] == 0.0 and distances.size > 1):
        raise RejectedInputError(RejectionKind.MALFORMED, f"scan with angle_min, angle_increment {angles_rad} rad")
    if not 0.0 <= range_min_m < range_max_m:
        raise RejectedInputError(RejectionKind.MALFORMED, f"scan with range limits {range_min_m}..{range_max_m} m")
