"""Loads the compiled kernels with ctypes and calls them with numpy arrays.

Each function here returns None where the library is missing or a size is beyond its bounds: the caller then computes
the same with its numpy twin. ``EDGE_WORLDMODEL_KERNELS=numpy`` leaves the library aside.
"""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.kernels.build import LIBRARY, NoKernelsError, checkout_library

VERSION = 4
"""EDGE_WORLDMODEL_KERNELS_VERSION of kernels.h."""
_Floats = NDArray[np.float64]
_Rows = NDArray[np.int64]
_Mask = NDArray[np.bool_]


class _Footprint(ctypes.Structure):
    _fields_ = (
        ("outline", ctypes.c_void_p),
        ("corners", ctypes.c_int64),
        ("radius_m", ctypes.c_double),
    )


class _Path(ctypes.Structure):
    _fields_ = (("poses", ctypes.c_void_p), ("count", ctypes.c_int64), ("step_m", ctypes.c_double))


class _Rule(ctypes.Structure):
    _fields_ = (
        ("kept_m", ctypes.c_double),
        ("closer_m", ctypes.c_double),
        ("min_hits", ctypes.c_int64),
        ("wants_clearance", ctypes.c_int64),
    )


class _Bins(ctypes.Structure):
    _fields_ = (("starts", ctypes.c_void_p), ("count", ctypes.c_int64))


class _Looks(ctypes.Structure):
    _fields_ = (
        ("looks", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("tolerance_m", ctypes.c_double),
        ("bodies", ctypes.c_void_p),
        ("body_count", ctypes.c_int64),
        ("body_tolerance_m", ctypes.c_double),
    )


class _Views(ctypes.Structure):
    _fields_ = (("views", ctypes.c_void_p), ("count", ctypes.c_int64), ("around", ctypes.c_int64))


class _Cloud(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), *((name, ctypes.c_int64) for name in ("count", "step", "x", "y", "z")))


class _View(ctypes.Structure):
    _fields_ = (("mount", ctypes.c_void_p), *((name, ctypes.c_double) for name in ("own_place_m", "low_m", "high_m")))


class Loaded(NamedTuple):
    """Outcome of loading.

    Attributes:
        library: the library, or None.
        text: for people: which implementation runs and why.
    """

    library: ctypes.CDLL | None
    text: str


@functools.cache
def load() -> Loaded:
    """Load the library once per process: from beside this module, or in a source checkout from build/kernels/."""
    if os.environ.get("EDGE_WORLDMODEL_KERNELS") == "numpy":
        return Loaded(None, "numpy (EDGE_WORLDMODEL_KERNELS is set)")
    # Not resolved: in an install space that links to the sources, the library lies beside the link.
    beside = Path(__file__).parent / LIBRARY
    try:
        path = beside if beside.is_file() else checkout_library(Path(__file__).resolve().parent)
        return Loaded(_open(path), f"compiled ({path})")
    except (NoKernelsError, OSError, AttributeError) as error:
        return Loaded(None, f"numpy, slower: {error}")


def _open(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    library.edge_kernels_version.restype = ctypes.c_int64
    if (version := library.edge_kernels_version()) != VERSION:
        raise NoKernelsError(f"{path} has version {version}, expected {VERSION}; build the package again")
    integer, real, pointer = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
    library.edge_sweep_footprint.argtypes = (pointer, pointer, pointer, pointer, integer, pointer, pointer)
    library.edge_nearest_by_direction.argtypes = (pointer, pointer, integer, integer, pointer, pointer, pointer)
    library.edge_nearest_in_cloud.argtypes = (pointer, pointer, pointer, integer, pointer, pointer)
    library.edge_mark_near.argtypes = (
        pointer, pointer, integer, pointer, integer, pointer, integer, real, pointer,
    )  # fmt: skip
    library.edge_rays.argtypes = (pointer, pointer, pointer, integer, pointer, pointer, pointer)
    library.edge_looked_at.argtypes = (pointer, pointer, pointer, pointer, integer, pointer)
    library.edge_compare_views.argtypes = (pointer, pointer, pointer, integer, pointer, pointer)
    return library


def sweep_footprint(
    outline: _Floats,
    radius_m: float,
    poses: _Floats,
    step_m: float,
    points: _Floats,
    kept_m: float,
    closer_m: float,
    min_hits: int,
    wants_clearance: bool,
) -> tuple[int, float] | None:
    """Find the first blocked pose of a path and its smallest clearance; twin: ``core.safety.motion.braking``.

    Args:
        outline: corners (c, 2) of the footprint; empty for a circle.
        radius_m: radius of the circle.
        poses: (t, 4) as x, y, cos(yaw), sin(yaw).
        step_m: how far a point of the footprint moves at most between two poses.
        points: obstacles (n, 2).
        kept_m: distance nearer than which a point blocks.
        closer_m: a point blocks only if it is nearer by more than this than at the first pose.
        min_hits: number of points that block together.
        wants_clearance: whether to find the clearance, too.

    Returns:
        Index of the first blocked pose or -1, and the smallest clearance in metres or NaN.
    """
    library = load().library
    if library is None:
        return None
    outline, poses, points = _contiguous(outline), _contiguous(poses), _contiguous(points)
    footprint = _Footprint(outline.ctypes.data, len(outline), radius_m)
    path, rule = _Path(poses.ctypes.data, len(poses), step_m), _Rule(kept_m, closer_m, min_hits, wants_clearance)
    blocked, clearance_m = ctypes.c_int64(), ctypes.c_double()
    if library.edge_sweep_footprint(
        ctypes.byref(footprint),
        ctypes.byref(path),
        ctypes.byref(rule),
        points.ctypes.data,
        len(points),
        ctypes.byref(blocked),
        ctypes.byref(clearance_m),
    ):
        return None
    return blocked.value, clearance_m.value


def nearest_by_direction(offsets: _Floats, obstacle: _Mask, directions: int) -> tuple[_Rows, int] | None:
    """Choose one point in each direction; twin: ``core.safety.inputs.cloud_slab``.

    Args:
        offsets: points (n, 2) as seen from the sensor.
        obstacle: (n,) whether a point is an obstacle.
        directions: number of directions.

    Returns:
        Rows of the chosen points, obstacles first, and the number of obstacles among them.
    """
    library = load().library
    if library is None:
        return None
    offsets, obstacle = _contiguous(offsets), np.ascontiguousarray(obstacle, dtype=np.bool_)
    chosen = np.empty(2 * directions, dtype=np.int64)
    hits, total = ctypes.c_int64(), ctypes.c_int64()
    if library.edge_nearest_by_direction(
        offsets.ctypes.data,
        obstacle.ctypes.data,
        len(offsets),
        directions,
        chosen.ctypes.data,
        ctypes.byref(hits),
        ctypes.byref(total),
    ):
        return None
    return chosen[: total.value], hits.value


def nearest_in_cloud(
    records: NDArray[np.void],
    mount: _Floats,
    own_body: _Floats,
    own_place_m: float,
    slab_m: tuple[float, float],
    directions: int,
) -> _Rows | None:
    """Choose one point of a cloud in each direction, as ``nearest_by_direction`` does, before it is converted.

    Args:
        records: (n,) points as they arrived, with the fields x, y and z.
        mount: 4 x 4 pose of the sensor in the base frame.
        own_body: outline (m, 2) in the base frame whose inside is left out; may be empty.
        own_place_m: points as near as this to the sensor along all axes are left out.
        slab_m: heights in the base frame between which a point is an obstacle.
        directions: number of directions.

    Returns:
        Rows of the chosen points, obstacles first; None also for other numbers than little-endian 32-bit floats.
    """
    library = load().library
    fields = records.dtype.fields
    if library is None or fields is None or any(fields[axis][0] != np.dtype("<f4") for axis in "xyz"):
        return None
    records, mount, own_body = np.ascontiguousarray(records), _contiguous(mount[:3]), _contiguous(own_body)
    chosen, total = np.empty(2 * directions, dtype=np.int64), ctypes.c_int64()
    offsets = (int(fields[axis][1]) for axis in "xyz")
    if library.edge_nearest_in_cloud(
        ctypes.byref(_Cloud(records.ctypes.data, len(records), records.dtype.itemsize, *offsets)),
        ctypes.byref(_View(mount.ctypes.data, own_place_m, *slab_m)),
        ctypes.byref(_Footprint(own_body.ctypes.data, len(own_body), 0.0)),
        directions,
        chosen.ctypes.data,
        ctypes.byref(total),
    ):
        return None
    return chosen[: total.value]


def mark_near(
    points: _Floats, starts: _Rows, others: _Floats, corner: _Floats, columns: int, radius_m: float
) -> _Mask | None:
    """Mark the points that lie near any of the others; twin: ``core.safety.motion.path_gate``.

    Args:
        points: (k, 2), sorted by cell.
        starts: (cells + 1,) first point of each cell iy * columns + ix; the last entry is k.
        others: (n, 2) in the same frame, none in a cell of the border.
        corner: (2,) where the first cell begins.
        columns: number of cells in a row; the number of cells is a multiple of it.
        radius_m: distance that counts as near, and size of a cell.

    Returns:
        (k,) whether a point is near.
    """
    library = load().library
    if library is None:
        return None
    points, others, corner = _contiguous(points), _contiguous(others), _contiguous(corner)
    starts = np.ascontiguousarray(starts, dtype=np.int64)
    near = np.zeros(len(points), dtype=np.bool_)
    if library.edge_mark_near(
        points.ctypes.data,
        starts.ctypes.data,
        len(starts) - 1,
        others.ctypes.data,
        len(others),
        corner.ctypes.data,
        columns,
        radius_m,
        near.ctypes.data,
    ):
        return None
    return near


def rays(origin: _Floats, ends: _Floats, bin_starts: _Floats) -> tuple[_Floats, _Rows, _Floats] | None:
    """Measure the rays of a sweep by their directions; twin: ``core.safety.sight.bearings``.

    Args:
        origin: (2,) where the rays begin.
        ends: (n, 2) where they end.
        bin_starts: (bins,) diamond angle from the direction -x at which each bin of direction begins.

    Returns:
        Lengths (n,), bins (n,), and the second longest ray (bins,) in each bin and its neighbours.
    """
    library = load().library
    if library is None:
        return None
    origin, ends, bin_starts = _contiguous(origin), _contiguous(ends), _contiguous(bin_starts)
    lengths_m, bins = np.empty(len(ends)), np.empty(len(ends), dtype=np.int64)
    reach_m = np.empty(len(bin_starts))
    if library.edge_rays(
        ctypes.byref(_Bins(bin_starts.ctypes.data, len(bin_starts))),
        origin.ctypes.data,
        ends.ctypes.data,
        len(ends),
        lengths_m.ctypes.data,
        bins.ctypes.data,
        reach_m.ctypes.data,
    ):
        return None
    return lengths_m, bins, reach_m


def looked_at(
    outline: _Floats,
    radius_m: float,
    bin_starts: _Floats,
    looks: _Floats,
    tolerance_m: float,
    bodies: _Floats,
    body_tolerance_m: float,
    places: _Floats,
) -> _Mask | None:
    """Mark the places within the reach of a look or beside a body; twin: ``core.safety.sight.coverage``.

    Args:
        outline: corners (c, 2) of the footprint; empty for a circle.
        radius_m: radius of the circle.
        bin_starts: (bins,) as for ``rays``.
        looks: (k, 7 + bins) as x, y, cos(yaw), sin(yaw) of the base, position x, y of the sensor in it, the largest
            reach and the reach in each bin.
        tolerance_m: a look goes so far beyond its reach.
        bodies: (b, 4) poses of the footprint as x, y, cos(yaw), sin(yaw).
        body_tolerance_m: a place is beside a body up to this distance.
        places: (n, 2).

    Returns:
        (n,) whether a place was looked at.
    """
    library = load().library
    if library is None:
        return None
    outline, bin_starts, looks = _contiguous(outline), _contiguous(bin_starts), _contiguous(looks)
    bodies, places = _contiguous(bodies), _contiguous(places)
    seen = np.zeros(len(places), dtype=np.bool_)
    if library.edge_looked_at(
        ctypes.byref(_Footprint(outline.ctypes.data, len(outline), radius_m)),
        ctypes.byref(_Bins(bin_starts.ctypes.data, len(bin_starts))),
        ctypes.byref(
            _Looks(looks.ctypes.data, len(looks), tolerance_m, bodies.ctypes.data, len(bodies), body_tolerance_m)
        ),
        places.ctypes.data,
        len(places),
        seen.ctypes.data,
    ):
        return None
    return seen


def compare_views(bin_starts: _Floats, views: _Floats, around: int, places: _Floats) -> tuple[_Mask, _Mask] | None:
    """Tell which places were occupied or seen free in earlier views; twin: ``core.safety.sight.static_returns``.

    Args:
        bin_starts: (bins,) as for ``rays``.
        views: (v, 6 + 2 * (bins + 2 * around) + bins) as x, y, cos(yaw), sin(yaw) of the base, position x, y of the
            sensor in it, nearest and farthest range of what lies in each bin, beginning ``around`` bins before the
            first, and the range up to which the rays passed each bin.
        around: bins to either side that are compared, too.
        places: (n, 2).

    Returns:
        (v, n) whether a place was occupied, and whether it was seen free.
    """
    library = load().library
    if library is None:
        return None
    bin_starts, views, places = _contiguous(bin_starts), _contiguous(views), _contiguous(places)
    occupied, seen_free = (np.zeros((len(views), len(places)), dtype=np.bool_) for _ in range(2))
    if library.edge_compare_views(
        ctypes.byref(_Bins(bin_starts.ctypes.data, len(bin_starts))),
        ctypes.byref(_Views(views.ctypes.data, len(views), around)),
        places.ctypes.data,
        len(places),
        occupied.ctypes.data,
        seen_free.ctypes.data,
    ):
        return None
    return occupied, seen_free


def _contiguous(values: _Floats) -> _Floats:
    return np.ascontiguousarray(values, dtype=np.float64)
