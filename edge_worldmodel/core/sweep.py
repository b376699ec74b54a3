"""Sweeps: the planar rays of one sensor reading, each ending at an obstacle or at the end of the sensor's range.

All sensors are converted to sweeps: laser scans here, point clouds in ``perception.cloud``, depth images in
``perception.depth``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import ArrayLike

from edge_worldmodel.core.geometry import transform_points
from edge_worldmodel.core.polygon import is_within
from edge_worldmodel.core.rejection import RejectedInputError, RejectionKind
from edge_worldmodel.core.types import Floats, Mask, Points, Twist

_FAR_M = 100.0
_MAX_BEAMS = 100_000
_SLAB_MARGIN_M = 0.02
"""The height slab extends this far beyond a scanner outside it, so that a level ray does not leave it by rounding."""


@dataclass(frozen=True)
class Sweep:
    """Rays of one sensor reading, in the base frame at ``stamp_ns``.

    Attributes:
        origin: (2,) position of the sensor in metres.
        endpoints: (n, 2) ends of the usable rays in metres.
        hit: (n,) whether an obstacle is at the endpoint; if not, the ray is free up to there.
        beams: number of rays measured, usable or not; 0 if the sensor has no fixed number.
        echo: (n,) whether something came back, an obstacle or the floor; None if it did for every ray. The sensor
            says no more than "nothing within range" for the others.
        range_min_m: shortest range of the sensor; it is blind to what is nearer.
        delays_s: (n,) time of measurement of each ray after ``stamp_ns``; None if all were measured at the stamp, or
            if it is not known. The endpoints are then in the base frame at these times; see ``deskewed``.
    """

    stamp_ns: int
    origin: Points
    endpoints: Points
    hit: Mask
    beams: int = 0
    echo: Mask | None = None
    range_min_m: float = 0.0
    delays_s: Floats | None = None

    @cached_property
    def hits(self) -> Points:
        """Ends (k, 2) of the rays that end at an obstacle."""
        hits: Points = self.endpoints[self.hit]
        return hits


def sweep_from_scan(
    stamp_ns: int,
    ranges: ArrayLike,
    angle_min_rad: float,
    angle_increment_rad: float,
    range_min_m: float,
    range_max_m: float,
    mount: ArrayLike,
    slab_m: tuple[float, float] = (-math.inf, math.inf),
    *,
    hit_below_range_min: bool = True,
    time_increment_s: float = 0.0,
) -> Sweep:
    """Convert a planar laser scan to a sweep, with ranges as in REP-117.

    Args:
        stamp_ns: stamp of the scan.
        ranges: (n,) in metres. +inf or at least ``range_max_m``: no obstacle, free up to ``range_max_m``. -inf or
            between 0 and ``range_min_m``: too close to measure, an obstacle at ``range_min_m``. NaN, 0 or any other
            negative number: no measurement, dropped.
        angle_min_rad: direction of the first ray in the sensor frame.
        angle_increment_rad: angle from one ray to the next.
        range_min_m: shortest valid range.
        range_max_m: longest valid range; at most 100 m is used.
        mount: (4, 4) pose of the scanner in the base frame, in any orientation.
        hit_below_range_min: False for drivers that mark missing readings by ranges below ``range_min_m``; these are
            dropped then.
        slab_m: lowest and highest z in the base frame at which a reading is an obstacle. A ray is free only as far as
            it stays between them. A scanner outside extends the slab to its own height.
        time_increment_s: time from one ray to the next, the first one being measured at the stamp.

    Raises:
        RejectedInputError: EMPTY, TOO_LARGE, MALFORMED or POSE_NOT_FINITE.
    """
    distances = np.asarray(ranges, dtype=np.float64)
    pose = np.asarray(mount, dtype=np.float64)
    _check_scan(distances, (angle_min_rad, angle_increment_rad), range_min_m, range_max_m)
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise RejectedInputError(
            RejectionKind.POSE_NOT_FINITE, f"scanner pose {pose.tolist()}: expected a finite 4 x 4 matrix"
        )
    far_m = min(float(range_max_m), _FAR_M)
    directions, exits_m = _rays(len(distances), angle_min_rad, angle_increment_rad, pose.tobytes(), slab_m)
    too_close = (distances < range_min_m) & ((distances > 0.0) | (distances == -np.inf))
    usable = (distances >= range_min_m) & (distances > 0.0)  # false for NaN
    if hit_below_range_min:
        distances, usable = np.where(too_close, range_min_m, distances), usable | too_close
    seen_m, ends_m = distances[usable], np.minimum(exits_m, far_m)[usable]
    endpoints = pose[:2, 3] + np.minimum(seen_m, ends_m)[:, None] * directions[usable]
    hit = (seen_m < far_m) & (seen_m <= ends_m)
    return Sweep(
        stamp_ns=stamp_ns,
        origin=pose[:2, 3].copy(),
        endpoints=_not_empty(endpoints, "scan"),
        hit=hit,
        beams=len(distances),
        echo=seen_m < far_m,
        range_min_m=range_min_m,
        delays_s=time_increment_s * np.flatnonzero(usable).astype(np.float64) if time_increment_s else None,
    )


def clear_sweep(stamp_ns: int, origin: Points) -> Sweep:
    """Return a sweep without rays: the sensor at ``origin`` (2,) has looked, and reports no obstacle."""
    return Sweep(stamp_ns, origin.copy(), np.empty((0, 2)), np.empty(0, dtype=np.bool_))


def deskewed(sweep: Sweep, twist: Twist) -> Sweep:
    """Place each ray's endpoint where it is seen from the base frame at the stamp.

    Args:
        sweep: sweep whose rays were measured one after the other.
        twist: (3,) of the robot during the sweep, taken as constant.
    """
    if sweep.delays_s is None:
        return sweep
    if not np.any(twist):
        return replace(sweep, delays_s=None)
    turn = twist[2] * sweep.delays_s
    # sin(turn) / turn and (1 - cos(turn)) / turn: the way along an arc, also for a turn of zero
    along, across = np.sinc(turn / np.pi), 0.5 * turn * np.sinc(0.5 * turn / np.pi) ** 2
    x = (along * twist[0] - across * twist[1]) * sweep.delays_s
    y = (across * twist[0] + along * twist[1]) * sweep.delays_s
    places = np.stack((x, y, turn), axis=-1)
    endpoints = transform_points(places, sweep.endpoints[:, None])[:, 0]
    return replace(sweep, endpoints=endpoints, delays_s=None)


def without_self(sweep: Sweep, outline: Points) -> Sweep:
    """Leave out the rays that end at an obstacle inside an outline (m, 2) in the base frame: the robot's own body.

    Raises:
        RejectedInputError: EMPTY, no ray is left.
    """
    own = sweep.hit & is_within(outline, sweep.endpoints)
    if not own.any():
        return sweep
    kept = ~own
    if not kept.any():
        raise RejectedInputError(
            RejectionKind.EMPTY,
            f"all {len(own)} returns lie on the robot itself, inside the outline of self_filters_m: is the sensor"
            " covered, or is its pose or the outline wrong?",
        )
    return replace(
        sweep,
        endpoints=sweep.endpoints[kept],
        hit=sweep.hit[kept],
        echo=None if sweep.echo is None else sweep.echo[kept],
        delays_s=None if sweep.delays_s is None else sweep.delays_s[kept],
    )


def limit_range(sweep: Sweep, max_range_m: float) -> Sweep:
    """Shorten all rays of a sweep to ``max_range_m``; a shortened ray is free."""
    rays = sweep.endpoints - sweep.origin
    lengths_m = np.hypot(rays[:, 0], rays[:, 1])
    far = lengths_m > max_range_m
    if not far.any():
        return sweep
    scale = np.where(far, max_range_m / np.where(far, lengths_m, 1.0), 1.0)
    return replace(sweep, endpoints=sweep.origin + rays * scale[:, None], hit=sweep.hit & ~far)


def check_sweep(sweep: Sweep) -> None:
    """Check the shapes and numbers of a sweep.

    Raises:
        RejectedInputError: MALFORMED, or EMPTY where the sensor measures a fixed number of rays.
    """
    count = len(sweep.endpoints)
    if sweep.origin.shape != (2,) or sweep.endpoints.shape != (count, 2) or sweep.hit.shape != (count,):
        shapes = sweep.origin.shape, sweep.endpoints.shape, sweep.hit.shape
        raise RejectedInputError(RejectionKind.MALFORMED, f"sweep with shapes {shapes}: expected (2,), (n, 2), (n,)")
    if not (np.isfinite(sweep.origin).all() and np.isfinite(sweep.endpoints).all()):
        raise RejectedInputError(RejectionKind.MALFORMED, "sweep with an endpoint that is not finite")
    if sweep.beams:
        _not_empty(sweep.endpoints, "sweep")


@lru_cache(maxsize=16)
def _rays(
    beams: int, angle_min_rad: float, angle_increment_rad: float, mount: bytes, slab_m: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Return the rays of a scanner, which are the same for all scans from one mount.

    Returns:
        Horizontal part (beams, 2) of the unit vectors in the base frame, and the range (beams,) at which each ray
        leaves the slab.
    """
    matrix = np.frombuffer(mount).reshape(4, 4)
    angles = angle_min_rad + angle_increment_rad * np.arange(beams)
    directions = np.stack((np.cos(angles), np.sin(angles)), axis=-1) @ matrix[:3, :2].T
    height_m, climb = matrix[2, 3], directions[:, 2]
    low_m, high_m = min(slab_m[0], height_m - _SLAB_MARGIN_M), max(slab_m[1], height_m + _SLAB_MARGIN_M)
    bound_m = np.where(climb > 0.0, high_m, low_m)
    with np.errstate(over="ignore"):
        exits_m = np.divide(bound_m - height_m, climb, out=np.full(beams, np.inf), where=climb != 0.0)
    planar = np.ascontiguousarray(directions[:, :2])
    planar.flags.writeable = exits_m.flags.writeable = False
    return planar, exits_m


def _not_empty(endpoints: Points, source: str) -> Points:
    if len(endpoints) == 0:
        raise RejectedInputError(RejectionKind.EMPTY, f"{source} without a usable ray: is the sensor covered?")
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
