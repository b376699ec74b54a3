"""Simulated planar scanners: exact ray casting in numpy, and the errors of real scanners."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.geometry import pose_matrix
from edge_worldmodel.core.sweep import Sweep, sweep_from_scan
from edge_worldmodel.core.types import Floats
from edge_worldmodel.training.data.scenes import Raster

FARTHEST_M = 12.0
"""Largest distance that is cast: perception's default range."""
_FOVS_DEG = (180.0, 190.0, 240.0, 270.0, 360.0)
_RATES_HZ = (5.0, 7.5, 10.0, 12.5, 15.0, 20.0, 25.0, 30.0, 40.0)
_RATE_SHARES = (0.05, 0.1, 0.35, 0.12, 0.12, 0.1, 0.05, 0.05, 0.06)
_MARCH_STEPS = 96
_SQRT_2 = np.float32(np.sqrt(2.0))


@dataclass(frozen=True)
class Lidar:
    """One scanner on one robot.

    ``mount`` is its pose in the base frame. ``skew_s`` is the time from the first to the last ray, negative where
    the driver stamps the end of the scan. ``dropout_clears``: lost rays are reported as no-return, not as missing.
    """

    beams: int
    fov_rad: float
    range_min_m: float
    range_max_m: float
    rate_hz: float
    noise_m: float
    dropout: float
    dropout_clears: bool
    mixed_pixels: float
    mount: tuple[float, float, float]
    skew_s: float
    at_leg_height: bool

    @property
    def angles_rad(self) -> Floats:
        """The direction (beams,) of each ray in the sensor frame."""
        # In a full turn, the first direction must not occur twice.
        full_turn = self.fov_rad > 2 * np.pi - 1e-6
        return np.linspace(-self.fov_rad / 2, self.fov_rad / 2, self.beams, endpoint=not full_turn)


def draw_lidar(rng: np.random.Generator) -> Lidar:
    """Return a random scanner, mostly with 180 to 360 degrees and 180 to 720 beams."""
    usual = rng.random() < 0.85
    fov_deg = float(rng.choice(_FOVS_DEG)) if usual else rng.uniform(90.0, 200.0)
    low, high = ((180, 720), (40, 180), (720, 1080))[rng.choice(3, p=(0.75, 0.15, 0.1))]
    rate_hz = float(rng.choice(_RATES_HZ, p=_RATE_SHARES))
    turning_share = fov_deg / 360.0 * float(rng.choice((0.0, 1.0, -1.0), p=(0.4, 0.4, 0.2)))
    forward_m = rng.uniform(-0.2, 0.4)
    return Lidar(
        beams=int(np.exp(rng.uniform(np.log(low), np.log(high)))),
        fov_rad=float(np.deg2rad(fov_deg)),
        range_min_m=rng.uniform(0.05, 0.25),
        range_max_m=float(np.exp(rng.uniform(np.log(4.0), np.log(30.0)))),
        rate_hz=rate_hz,
        noise_m=float(min(rng.exponential(0.015), 0.05)),
        dropout=float(rng.choice((0.0, rng.uniform(0.0, 0.02), rng.uniform(0.02, 0.1)), p=(0.4, 0.4, 0.2))),
        dropout_clears=bool(rng.random() < 0.3),
        mixed_pixels=float(rng.choice((0.0, rng.uniform(0.0, 0.5)))),
        mount=(forward_m, rng.normal(0.0, 0.03), np.pi if rng.random() < 0.04 else rng.normal(0.0, 0.01)),
        skew_s=turning_share / rate_hz,
        at_leg_height=bool(rng.random() < 0.65),
    )


def cast_segments(origins: Floats, directions: Floats, segments: Floats) -> Floats:
    """Return the distance (..., B) along each ray to the nearest segment, inf where there is none.

    Args:
        origins: (..., B, 2) in metres.
        directions: (..., B, 2), unit length.
        segments: (..., S, 4) of x0, y0, x1, y1, with the same leading axes or none.
    """
    if segments.shape[-2] == 0:
        return np.full(origins.shape[:-1], np.inf)
    # Single precision is fine enough for any scanner, and twice as fast.
    origins, directions = origins.astype(np.float32), directions.astype(np.float32)
    segments = segments[..., None, :, :].astype(np.float32)
    along_x, along_y = segments[..., 2] - segments[..., 0], segments[..., 3] - segments[..., 1]
    to_x, to_y = segments[..., 0] - origins[..., None, 0], segments[..., 1] - origins[..., None, 1]
    ray_x, ray_y = directions[..., None, 0], directions[..., None, 1]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        scale = 1.0 / (ray_x * along_y - ray_y * along_x)
        distance = (to_x * along_y - to_y * along_x) * scale
        fraction = (to_x * ray_y - to_y * ray_x) * scale
        distance[~((distance >= 0.0) & (fraction >= 0.0) & (fraction <= 1.0))] = np.inf
    return distance.min(axis=-1).astype(np.float64)


def cast_circles(origins: Floats, directions: Floats, circles: Floats) -> Floats:
    """Return the distance (..., B) along each ray to the nearest circle, inf where there is none.

    Args:
        origins: (..., B, 2) in metres; inside a circle the distance is 0.
        directions: (..., B, 2), unit length.
        circles: (..., C, 3) of x, y, radius, with the same leading axes or none; NaN circles are ignored.
    """
    if circles.shape[-2] == 0:
        return np.full(origins.shape[:-1], np.inf)
    origins, directions = origins.astype(np.float32), directions.astype(np.float32)
    circles = circles[..., None, :, :].astype(np.float32)
    to_x, to_y = circles[..., 0] - origins[..., None, 0], circles[..., 1] - origins[..., None, 1]
    ray_x, ray_y = directions[..., None, 0], directions[..., None, 1]
    ahead = to_x * ray_x + to_y * ray_y
    aside = to_x * ray_y - to_y * ray_x
    half_chord_squared = circles[..., 2] ** 2 - aside**2
    half_chord = np.sqrt(np.maximum(half_chord_squared, 0.0))
    meets = (half_chord_squared >= 0.0) & (ahead + half_chord >= 0.0)
    nearest = np.where(meets, np.maximum(ahead - half_chord, 0.0), np.inf).min(axis=-1)
    return nearest.astype(np.float64)


def cast_map(
    origins: Floats, directions: Floats, clearance_m: Raster, blocked: Raster, farthest_m: float = FARTHEST_M
) -> Floats:
    """Return the distance (..., B) along each ray to the first blocked cell of a map.

    Each step is as long as the distance to the nearest blocked cell (sphere tracing).

    Args:
        origins: (..., B, 2) in metres.
        directions: (..., B, 2), unit length.
        clearance_m: distance of each cell centre from the nearest blocked one, 0 in blocked cells; outside is blocked.
        blocked: 0 free, 1 occupied, 2 unknown, for the same cells.
        farthest_m: largest distance.

    Returns:
        Metres; inf where nothing is hit, NaN where the ray ends in an unknown cell.
    """
    cell_m = clearance_m.cell_size_m
    # A border of blocked cells stops every ray that leaves the map, so that look-ups need no check.
    clearance_cells = np.pad(np.asarray(clearance_m.values, dtype=np.float32), 1)
    clearance_cells /= np.float32(cell_m)
    cells = (origins.reshape(-1, 2) - clearance_m.origin_m) / cell_m + 1.0
    start = np.clip(cells, 0.5, np.array(clearance_cells.shape[::-1]) - 0.5).astype(np.float32)
    travelled, stopped = _march(
        start, directions.reshape(-1, 2).astype(np.float32), clearance_cells, farthest_m / cell_m
    )
    ends = origins.reshape(-1, 2) + (travelled * cell_m)[:, None] * directions.reshape(-1, 2)
    distances = np.where(stopped, np.where(blocked.at(ends, 2) == 1, travelled * cell_m, np.nan), np.inf)
    return distances.reshape(origins.shape[:-1])


def _march(
    start: NDArray[np.float32], heading: NDArray[np.float32], clearance_cells: NDArray[np.float32], farthest: float
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return how far each ray goes, in cells, and whether it is stopped by a blocked cell."""
    width, flat = clearance_cells.shape[1], clearance_cells.ravel()
    travelled, stopped = np.zeros(len(start)), np.zeros(len(start), dtype=bool)
    active, point = np.arange(len(start)), start
    along = np.zeros(len(start), dtype=np.float32)
    for _ in range(_MARCH_STEPS):
        cell = point.astype(np.int32)
        clearance = flat[cell[:, 1] * width + cell[:, 0]]
        travelled[active], stopped[active] = along, clearance <= 0.0
        # Point and obstacle can each be half a diagonal away from the centres of their cells.
        along = along + np.maximum(clearance - _SQRT_2, 0.4)
        going = (clearance > 0.0) & (along < farthest)
        active, along = active[going], along[going]
        if len(active) == 0:
            break
        point = start[active] + along[:, None] * heading[active]
    return travelled, stopped


def corrupt(distances_m: Floats, lidar: Lidar, rng: np.random.Generator) -> Floats:
    """Return the ranges that a scanner reports for exact distances (F, B): with noise, mixed pixels and lost rays."""
    ranges = distances_m + rng.normal(0.0, 1.0, distances_m.shape) * lidar.noise_m
    ranges = _mix_pixels(ranges, lidar, rng)
    ranges[ranges >= lidar.range_max_m] = np.inf
    lost = rng.random(ranges.shape) < lidar.dropout
    ranges[lost] = np.inf if lidar.dropout_clears else np.nan
    return ranges


def _mix_pixels(ranges: Floats, lidar: Lidar, rng: np.random.Generator) -> Floats:
    # A ray at an edge measures a distance between the edge and the surface behind it.
    beside = np.roll(ranges, 1, axis=-1)
    with np.errstate(invalid="ignore"):
        edge = np.isfinite(ranges) & np.isfinite(beside) & (np.abs(ranges - beside) > 0.3)
        mixed = edge & (rng.random(ranges.shape) < lidar.mixed_pixels)
        weight = rng.random(ranges.shape)
        return np.where(mixed, weight * ranges + (1.0 - weight) * beside, ranges)


def to_sweep(ranges_m: Floats, lidar: Lidar, stamp_ns: int) -> Sweep:
    """Return the sweep of one scan (B,), as in perception.

    Raises:
        RejectedInputError: no ray is usable.
    """
    angles = lidar.angles_rad
    increment_rad = float(angles[1] - angles[0])
    range_max_m = min(lidar.range_max_m, FARTHEST_M)
    mount = pose_matrix(lidar.mount)
    return sweep_from_scan(stamp_ns, ranges_m, float(angles[0]), increment_rad, lidar.range_min_m, range_max_m, mount)
