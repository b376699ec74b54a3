"""Sensor messages to arrays and sweeps: LaserScan, PointCloud2, Odometry, OccupancyGrid."""

from __future__ import annotations

import array
import math

import numpy as np
from geometry_msgs.msg import Quaternion
from nav_msgs.msg import OccupancyGrid
from nav_msgs.msg import Odometry as OdometryMsg
from numpy.typing import NDArray
from sensor_msgs.msg import LaserScan, PointCloud2, PointField

from edge_worldmodel.core.errors import InputError
from edge_worldmodel.core.geometry import compose
from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.packed_rows import packed_rows
from edge_worldmodel.core.polygon import is_within
from edge_worldmodel.core.rejection import RejectedInputError, RejectionKind
from edge_worldmodel.core.safety.inputs.cloud_slab import CLOUD_DIRECTIONS
from edge_worldmodel.core.safety.inputs.intake import OdometrySample
from edge_worldmodel.core.sweep import Sweep, sweep_from_scan
from edge_worldmodel.core.types import Floats, Mask, Points, Pose, Tensor
from edge_worldmodel.kernels.library import nearest_in_cloud
from edge_worldmodel.nodes.ros.convert import (
    as_floats,
    pose_from_msg,
    pose_to_msg,
    stamp_from_msg,
    stamp_to_msg,
    twist_from_msg,
    twist_to_msg,
)

_POINT_FORMATS = {
    PointField.INT8: "i1",
    PointField.UINT8: "u1",
    PointField.INT16: "i2",
    PointField.UINT16: "u2",
    PointField.INT32: "i4",
    PointField.UINT32: "u4",
    PointField.FLOAT32: "f4",
    PointField.FLOAT64: "f8",
}
_TIME_FIELDS = ("t", "time", "timestamp", "time_stamp", "timeStamp", "offset_time")
"""Names that drivers give to the time of a point: Ouster, Velodyne, Hesai, RoboSense, Livox."""
_LONGEST_SCAN_S = 1.0
IGNORED_TIMES = (
    "the times of beams or points make no sense, so all count as measured at the stamp; check time_increment and"
    " scan_time of the scan, or the time field of the cloud"
)
"""Why times were not used, for people."""
_UNKNOWN = -1
_OWN_PLACE_M = 0.01
_NO_BODY = np.empty((0, 2))


def sweep_from_scan_msg(
    message: LaserScan,
    mount: Floats,
    slab_m: tuple[float, float] = (-math.inf, math.inf),
    hit_below_range_min: bool = True,
) -> Sweep:
    """Return the sweep of a scan; for arguments and errors see ``sweep_from_scan``."""
    return sweep_from_scan(
        stamp_from_msg(message.header.stamp),
        as_floats(message.ranges),
        message.angle_min,
        message.angle_increment,
        message.range_min,
        message.range_max,
        mount,
        slab_m,
        hit_below_range_min=hit_below_range_min,
        time_increment_s=_time_increment_s(message),
    )


def ignored_times(message: LaserScan | PointCloud2, sweep: Sweep) -> bool:
    """Return whether a message has times of its beams or points that cannot be right, and that were not used."""
    has_times = message.time_increment != 0.0 if isinstance(message, LaserScan) else _time_field(message) is not None
    return has_times and sweep.delays_s is None and len(sweep.endpoints) > 0


def _time_increment_s(message: LaserScan) -> float:
    """Return the time from beam to beam; 0 where the scan would last longer than a scanner can take."""
    lasts_s = abs(message.time_increment) * max(len(message.ranges) - 1, 1)
    longest_s = min(_LONGEST_SCAN_S, 2.0 * message.scan_time) if message.scan_time > 0.0 else _LONGEST_SCAN_S
    return float(message.time_increment) if lasts_s <= longest_s else 0.0  # false for NaN


def scan_to_msg(
    stamp_ns: int,
    frame_id: str,
    ranges_m: Tensor,
    angles_rad: tuple[float, float],
    limits_m: tuple[float, float],
    time_increment_s: float = 0.0,
) -> LaserScan:
    """Return a scan message with the ranges (n,) as they are, including NaN and inf.

    Args:
        stamp_ns: time of the scan.
        frame_id: frame of the scanner.
        ranges_m: one range per beam.
        angles_rad: angle of the first beam, and angle between beams.
        limits_m: shortest and longest range.
        time_increment_s: time from beam to beam.
    """
    message = LaserScan(time_increment=time_increment_s)
    message.header.stamp = stamp_to_msg(stamp_ns)
    message.header.frame_id = frame_id
    message.angle_min, message.angle_increment = angles_rad
    message.angle_max = angles_rad[0] + angles_rad[1] * max(len(ranges_m) - 1, 0)
    message.range_min, message.range_max = limits_m
    message.ranges = array.array("f", np.ascontiguousarray(ranges_m, np.float32).tobytes())
    return message


def odometry_from_msg(message: OdometryMsg) -> OdometrySample:
    """Return pose, twist and frames; raises InputError when a number is not finite."""
    return OdometrySample(
        stamp_ns=stamp_from_msg(message.header.stamp),
        frame_id=message.header.frame_id,
        child_frame_id=message.child_frame_id,
        pose=pose_from_msg(message.pose.pose),
        twist=twist_from_msg(message.twist.twist),
        height_m=message.pose.pose.position.z,
        climb_mps=message.twist.twist.linear.z,
        downhill=_downhill(message.pose.pose.orientation),
    )


def _downhill(turn: Quaternion) -> tuple[float, float]:
    """Return how steeply the x and y axis of the base point downwards, as sines."""
    scale = 2.0 / (turn.x**2 + turn.y**2 + turn.z**2 + turn.w**2)
    return scale * (turn.w * turn.y - turn.x * turn.z), -scale * (turn.y * turn.z + turn.w * turn.x)


def odometry_to_msg(odometry: OdometrySample) -> OdometryMsg:
    """Odometry to its message, covariances left empty."""
    message = OdometryMsg(child_frame_id=odometry.child_frame_id)
    message.header.stamp = stamp_to_msg(odometry.stamp_ns)
    message.header.frame_id = odometry.frame_id
    message.pose.pose = pose_to_msg(odometry.pose)
    message.twist.twist = twist_to_msg(odometry.twist)
    message.pose.pose.position.z = float(odometry.height_m)
    message.twist.twist.linear.z = float(odometry.climb_mps)
    return message


def points_from_cloud_msg(
    message: PointCloud2, mount: Floats, own_body: Points = _NO_BODY, slab_m: tuple[float, float] | None = None
) -> tuple[Floats, Floats | None]:
    """Return the points (n, 3) of a cloud in the base frame, and the time (n,) of each after the stamp, if known.

    Points that are not finite or at the sensor's own place are no measurements and left out; organised clouds have
    them. A cloud without any point is a look that found nothing, as filters send it that let obstacles pass only.

    sensor_msgs_py is not used: it loops over as many elements of a field as the message claims to have.

    Args:
        message: cloud with fields x, y and z.
        mount: 4 x 4 pose of the sensor in the base frame.
        own_body: outline (m, 2) in the base frame; points inside are the robot itself and left out.
        slab_m: heights in the base frame between which a point is an obstacle. If given, only the points that
            ``sweep_from_points`` would choose are returned, in a fraction of the time.

    Raises:
        InputError: no x, y, z fields, sizes that do not match, no measurement among the points, or none beside the
            robot's own body.
    """
    if message.width * message.height == 0 and len(message.data) == 0:
        return np.empty((0, 3)), None
    content = f"cloud of {message.height} x {message.width} points of {message.point_step} bytes"
    rows = packed_rows(message.data, message.height, message.width * message.point_step, message.row_step, content)
    records = np.ascontiguousarray(rows).view(_point_type(message)).ravel()
    if slab_m is not None:
        chosen = nearest_in_cloud(records, mount, own_body, _OWN_PLACE_M, slab_m, CLOUD_DIRECTIONS)
        # With none the check of all points below says why.
        records = records[chosen] if chosen is not None and len(chosen) else records
    x, y, z = (as_floats(records[axis]) for axis in "xyz")
    # A sum is finite only if all its parts are; asking for each point costs several times as much.
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.isfinite(x + y + z)
    measured = finite & (np.maximum(np.maximum(np.abs(x), np.abs(y)), np.abs(z)) > _OWN_PLACE_M)
    points = np.stack((x, y, z), axis=-1)
    if not measured.any():
        raise RejectedInputError(
            RejectionKind.EMPTY,
            f"cloud of {len(records)} points without a measurement: is the sensor covered? A filter must leave points"
            " out, not set them to NaN",
        )
    if not measured.all():
        points, records = points[measured], records[measured]
    points = points @ mount[:3, :3].T + mount[:3, 3]
    if len(own_body):
        outside = ~is_within(own_body, points[:, :2])
        if not outside.any():
            raise RejectedInputError(
                RejectionKind.EMPTY,
                f"all {len(points)} points lie on the robot itself, inside the outline of self_filters_m: is the sensor"
                " covered, or is its pose or the outline wrong?",
            )
        points, records = points[outside], records[outside]
    return points, _delays_s(message, records)


def _time_field(message: PointCloud2) -> PointField | None:
    """Return the field with the time of a point, if there is one."""
    return next((field for field in message.fields if field.name in _TIME_FIELDS), None)


def _delays_s(message: PointCloud2, records: NDArray[np.void]) -> Floats | None:
    """Return the time (n,) of each point after the stamp; None without a time, or if no unit makes sense of it.

    Drivers give integers in nanoseconds after the stamp, or numbers in seconds after it, or the time of the point
    itself in seconds, microseconds or nanoseconds.
    """
    if "time" not in (records.dtype.names or ()):
        return None
    times = as_floats(records["time"])
    stamp_s = stamp_from_msg(message.header.stamp) * 1e-9
    if np.issubdtype(records["time"].dtype, np.integer):
        candidates = [(1e-9, 0.0)]
    else:
        candidates = [(1.0, 0.0), (1.0, stamp_s), (1e-6, stamp_s), (1e-9, stamp_s)]
    for unit_s, origin_s in candidates:
        delays_s: Floats = times * unit_s - origin_s
        if (np.abs(delays_s) <= _LONGEST_SCAN_S).all():  # false for NaN
            return delays_s
    return None


def _point_type(message: PointCloud2) -> np.dtype[np.void]:
    """Return the dtype of one point of a cloud: its fields x, y and z, and "time" if it has one."""
    order = ">" if message.is_bigendian else "<"
    fields = {field.name: field for field in message.fields if field.name in ("x", "y", "z")}
    if len(fields) < 3 or not all(field.datatype in _POINT_FORMATS for field in fields.values()):
        raise InputError(
            f"cloud with fields {[field.name for field in message.fields][:12]}: x, y and z are needed as numbers"
        )
    time = _time_field(message)
    if time is not None and time.datatype in _POINT_FORMATS:
        fields["time"] = time
    formats = [order + _POINT_FORMATS[field.datatype] for field in fields.values()]
    offsets = [int(field.offset) for field in fields.values()]
    if any(at + np.dtype(kind).itemsize > message.point_step for at, kind in zip(offsets, formats, strict=True)):
        raise InputError(f"cloud with fields at {offsets} in points of {message.point_step} bytes is malformed")
    return np.dtype({"names": list(fields), "formats": formats, "offsets": offsets, "itemsize": message.point_step})


def occupancy_to_msg(
    probability: NDArray[np.floating],
    known: Mask,
    ego_pose: Pose,
    stamp_ns: int,
    frame_id: str,
) -> OccupancyGrid:
    """Return a grid message with occupancy in percent, -1 where unknown.

    Args:
        probability: (rows y, columns x) in 0..1, in the ego frame.
        known: (rows, columns) cells that are known.
        ego_pose: pose of the ego frame in ``frame_id``.
        stamp_ns: time of the grid.
        frame_id: frame of the message.
    """
    message = OccupancyGrid()
    message.header.stamp = stamp_to_msg(stamp_ns)
    message.header.frame_id = frame_id
    message.info.map_load_time = message.header.stamp
    message.info.resolution = EGO_GRID.cell_size_m
    message.info.width = message.info.height = EGO_GRID.cells
    corner = np.array([-EGO_GRID.extent_m / 2, -EGO_GRID.extent_m / 2, 0.0])
    message.info.origin = pose_to_msg(compose(ego_pose, corner))
    cells = np.where(known, np.rint(np.clip(probability, 0.0, 1.0) * 100.0), _UNKNOWN).astype(np.int8)
    message.data.frombytes(np.ascontiguousarray(cells).tobytes())
    return message


def occupancy_from_msg(message: OccupancyGrid) -> tuple[Tensor, Pose, int]:
    """Return (probability, ego pose, stamp_ns) of a grid that ``occupancy_to_msg`` made; unknown cells are 0.5.

    Raises:
        InputError: the grid has another size than the ego grid.
    """
    size = (int(message.info.height), int(message.info.width))
    cells = EGO_GRID.cells
    if size != (cells, cells) or len(message.data) != cells**2:
        raise InputError(f"occupancy grid of {size} cells in {len(message.data)} bytes: expected {cells} square")
    percent = np.frombuffer(message.data, dtype=np.int8).reshape(size)
    probability = np.where(percent == _UNKNOWN, 0.5, percent / 100.0).astype(np.float32)
    centre = np.array([EGO_GRID.extent_m / 2, EGO_GRID.extent_m / 2, 0.0])
    return probability, compose(pose_from_msg(message.info.origin), centre), stamp_from_msg(message.header.stamp)
