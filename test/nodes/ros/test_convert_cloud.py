"""Clouds of any layout are read, and no claim in a message makes reading one expensive."""

from __future__ import annotations

import array
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from sensor_msgs.msg import PointCloud2, PointField  # noqa: E402

from edge_worldmodel.core.errors import InputError  # noqa: E402
from edge_worldmodel.core.geometry import pose_matrix  # noqa: E402
from edge_worldmodel.core.safety.inputs.cloud_slab import sweep_from_points  # noqa: E402
from edge_worldmodel.kernels import library  # noqa: E402
from edge_worldmodel.nodes.ros.convert import stamp_to_msg  # noqa: E402
from edge_worldmodel.nodes.ros.convert_sensors import ignored_times, points_from_cloud_msg  # noqa: E402

POINTS = np.array([[1.0, 2.0, 0.5], [-3.0, 0.25, 1.5], [4.0, -1.0, 0.0], [0.5, 0.5, 2.0]])
TYPES = {"f4": PointField.FLOAT32, "f8": PointField.FLOAT64}


def cloud(kind="f4", big=False, height=1, padding=0):
    """A cloud with an intensity before its coordinates, and rows longer than their points."""
    order, size = ">" if big else "<", np.dtype(kind).itemsize
    names, offsets = ["x", "y", "z"], [4 + i * size for i in range(3)]
    point = {"names": names, "formats": [order + kind] * 3, "offsets": offsets, "itemsize": 4 + 3 * size}
    records = np.zeros(len(POINTS), np.dtype(point))
    for axis, name in enumerate(names):
        records[name] = POINTS[:, axis]
    width = len(POINTS) // height
    rows = records.view(np.uint8).reshape(height, -1)
    message = PointCloud2(height=height, width=width, point_step=point["itemsize"], is_bigendian=big)
    message.row_step = rows.shape[1] + padding
    message.fields.append(PointField(name="intensity", offset=0, datatype=PointField.FLOAT32, count=1))
    for name, offset in zip(names, offsets, strict=True):
        message.fields.append(PointField(name=name, offset=offset, datatype=TYPES[kind], count=1))
    message.data.frombytes(np.pad(rows, ((0, 0), (0, padding))).tobytes())
    return message


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(("height", "padding"), [(1, 0), (2, 0), (2, 5)])
def test_points_are_read_from_any_layout(kind, big, height, padding):
    assert points_of(cloud(kind, big, height, padding)) == pytest.approx(POINTS)


@pytest.mark.parametrize("height", [1, 2])
@pytest.mark.parametrize("row_step", [0, 1, 3, 4, 16, 65, 2**32 - 1])
def test_a_wrong_row_step_does_not_matter_where_the_points_fit_the_data(height, row_step):
    message = cloud(height=height)
    message.row_step = row_step
    assert points_of(message) == pytest.approx(POINTS)


def test_the_last_row_may_end_without_padding():
    message = cloud(height=2, padding=5)
    del message.data[-5:]
    assert points_of(message) == pytest.approx(POINTS)


@pytest.mark.parametrize(("height", "width"), [(0, 0), (1, 0), (0, 5), (4, 0)])
def test_a_cloud_without_points_is_a_look_that_found_nothing(height, width):
    points, delays_s = points_from_cloud_msg(PointCloud2(height=height, width=width), np.eye(4))
    assert points.shape == (0, 3) and delays_s is None


def test_a_cloud_of_no_measurement_or_of_the_own_body_only_is_refused_in_words():
    message = cloud()
    own = np.array([[9.0, 9.0], [-9.0, 9.0], [-9.0, -9.0], [9.0, -9.0]])
    with pytest.raises(InputError, match="all 4 points lie on the robot itself"):
        points_from_cloud_msg(message, np.eye(4), own)
    message.data[:] = array.array("B", np.full(16, np.nan, "<f4").tobytes())
    with pytest.raises(InputError, match="4 points without a measurement"):
        points_of(message)


T0_S = 1_700_000_000.25


@pytest.mark.parametrize(
    ("name", "kind", "unit_s", "origin_s"),
    [
        ("t", "u4", 1e-9, 0.0),
        ("offset_time", "u4", 1e-9, 0.0),
        ("time", "f4", 1.0, 0.0),
        ("time", "f8", 1.0, 0.0),
        ("timestamp", "f8", 1.0, T0_S),
        ("timestamp", "f8", 1e-6, T0_S),
        ("timeStamp", "f8", 1e-9, T0_S),
    ],
)
def test_times_of_points_are_read_in_the_units_of_drivers(name, kind, unit_s, origin_s):
    delays_s = np.array([0.0, 0.02, 0.05, 0.1])
    points, read_s = points_from_cloud_msg(timed(name, kind, (delays_s + origin_s) / unit_s), np.eye(4))
    assert points == pytest.approx(POINTS) and read_s == pytest.approx(delays_s, abs=1e-6)


@pytest.mark.parametrize("times", [[0.0, 50.0, 3.0, 4.0], [np.nan] * 4, [-1e12] * 4])
def test_times_that_cannot_be_right_are_not_used(times):
    message = timed("time", "f8", np.array(times))
    points, read_s = points_from_cloud_msg(message, np.eye(4))
    assert points == pytest.approx(POINTS) and read_s is None
    assert ignored_times(message, sweep_from_points(0, points, np.zeros(3), -1.0, 3.0))


def timed(name, kind, times):
    """The cloud with the time of each point in place of its intensity."""
    point = {"names": ["x", "y", "z", name], "formats": ["<f4"] * 3 + ["<" + kind], "offsets": [0, 4, 8, 12]}
    records = np.zeros(len(POINTS), np.dtype({**point, "itemsize": 24}))
    for axis, key in enumerate("xyz"):
        records[key] = POINTS[:, axis]
    records[name] = times
    message = PointCloud2(height=1, width=len(POINTS), point_step=24, row_step=24 * len(POINTS))
    message.header.stamp = stamp_to_msg(round(T0_S * 1e9))
    codes = {"f4": PointField.FLOAT32, "f8": PointField.FLOAT64, "u4": PointField.UINT32}
    for key, offset, code in zip(["x", "y", "z", name], [0, 4, 8, 12], ["f4", "f4", "f4", kind], strict=True):
        message.fields.append(PointField(name=key, offset=offset, datatype=codes[code], count=1))
    message.data.frombytes(records.tobytes())
    return message


def points_of(message, mount=None, own_body=()):
    return points_from_cloud_msg(message, np.eye(4) if mount is None else mount, np.reshape(own_body, (-1, 2)))[0]


def test_points_that_are_no_numbers_are_left_out_and_the_mount_counts():
    message, mount = cloud(), np.eye(4)
    mount[:3, 3] = 1.0, 0.0, -1.0
    message.data[4:8] = type(message.data)("B", np.array([np.nan], "<f4").tobytes())
    assert points_of(message, mount) == pytest.approx(POINTS[1:] + mount[:3, 3])


def test_points_at_the_sensors_own_place_and_the_robots_body_are_left_out():
    message, mount = cloud(), np.eye(4)
    mount[:3, 3] = 1.0, 0.0, -1.0
    message.data[4:16] = type(message.data)("B", np.zeros(3, "<f4").tobytes())
    assert points_of(message, mount) == pytest.approx(POINTS[1:] + mount[:3, 3])
    body = np.array([[1.6, 0.6], [1.4, 0.6], [1.4, 0.4], [1.6, 0.4]])
    assert points_of(message, mount, body) == pytest.approx(POINTS[1:3] + mount[:3, 3])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: setattr(m, "width", 5),
        lambda m: setattr(m, "height", 0),
        lambda m: setattr(m, "width", 2**32 - 1),
        lambda m: setattr(m, "point_step", 0),
        lambda m: setattr(m, "point_step", 2**31),
        lambda m: (setattr(m, "row_step", 3), m.data.append(0)),
        lambda m: (setattr(m, "height", 2), setattr(m, "width", 2), m.data.pop()),
        lambda m: setattr(m, "fields", m.fields[:3]),
        lambda m: setattr(m.fields[1], "offset", 2**32 - 1),
        lambda m: setattr(m.fields[1], "datatype", 77),
    ],
)
def test_a_cloud_that_does_not_fit_itself_is_refused(spoil):
    message = cloud()
    spoil(message)
    with pytest.raises(InputError):
        points_from_cloud_msg(message, np.eye(4))


def test_a_field_of_four_billion_elements_takes_no_time():
    message = cloud()
    message.fields[0].count = 2**32 - 1
    begin_s = time.process_time()
    points_from_cloud_msg(message, np.eye(4))
    assert time.process_time() - begin_s < 1.0


@pytest.mark.skipif(library.load().library is None, reason=library.load().text)
@pytest.mark.parametrize("own_body", [np.empty((0, 2)), np.array([[0.6, 0.5], [-0.6, 0.5], [-0.6, -0.5], [0.6, -0.5]])])
@pytest.mark.parametrize("padding", [0, 7])
def test_a_cloud_is_thinned_to_the_points_that_the_supervisor_would_choose(own_body, padding):
    draw = np.random.default_rng(3)
    records = np.zeros(
        20_000, np.dtype({"names": list("xyz"), "formats": ["<f4"] * 3, "offsets": [1, 5, 9], "itemsize": 14})
    )
    for axis, scale_m in zip("xyz", (3.0, 3.0, 1.5), strict=True):
        records[axis] = draw.normal(0.0, scale_m, len(records))
    records["x"][::50], records["y"][1::50], records["x"][2::50] = np.nan, np.inf, 0.0
    records["y"][2::50] = records["z"][2::50] = 0.0
    message = PointCloud2(height=1, width=len(records), point_step=14, row_step=14 * len(records) + padding)
    for index, axis in enumerate("xyz"):
        message.fields.append(PointField(name=axis, offset=1 + 4 * index, datatype=PointField.FLOAT32, count=1))
    message.data.frombytes(records.tobytes() + bytes(padding))
    mount = pose_matrix([0.3, -0.1, 0.6, 0.2, -0.1, 0.7])
    sweeps = []
    for slab_m in (None, (0.1, 1.8)):
        points, _ = points_from_cloud_msg(message, mount, own_body, slab_m)
        sweeps.append(sweep_from_points(0, points, mount[:3, 3], 0.1, 1.8))
    assert len(points) <= 1024
    np.testing.assert_array_equal(sweeps[0].hit, sweeps[1].hit)
    np.testing.assert_allclose(sweeps[0].endpoints, sweeps[1].endpoints, atol=1e-9)
