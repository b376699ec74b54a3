"""Clouds of any layout are read, and no claim in a message makes reading one expensive."""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from sensor_msgs.msg import PointCloud2, PointField  # noqa: E402

from edge_worldmodel.core.errors import InputError  # noqa: E402
from edge_worldmodel.nodes.ros.convert_sensors import points_from_cloud_msg  # noqa: E402

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
    assert points_from_cloud_msg(cloud(kind, big, height, padding), np.eye(4)) == pytest.approx(POINTS)


def test_a_row_step_that_nobody_set_is_no_obstacle():
    message = cloud()
    message.row_step = 0
    assert points_from_cloud_msg(message, np.eye(4)) == pytest.approx(POINTS)


def test_points_that_are_no_numbers_are_left_out_and_the_mount_counts():
    message, mount = cloud(), np.eye(4)
    mount[:3, 3] = 1.0, 0.0, -1.0
    message.data[4:8] = type(message.data)("B", np.array([np.nan], "<f4").tobytes())
    assert points_from_cloud_msg(message, mount) == pytest.approx(POINTS[1:] + mount[:3, 3])


def test_points_at_the_sensors_own_place_and_the_robots_body_are_left_out():
    message, mount = cloud(), np.eye(4)
    mount[:3, 3] = 1.0, 0.0, -1.0
    message.data[4:16] = type(message.data)("B", np.zeros(3, "<f4").tobytes())
    assert points_from_cloud_msg(message, mount) == pytest.approx(POINTS[1:] + mount[:3, 3])
    body = np.array([[1.6, 0.6], [1.4, 0.6], [1.4, 0.4], [1.6, 0.4]])
    assert points_from_cloud_msg(message, mount, body) == pytest.approx(POINTS[1:3] + mount[:3, 3])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: setattr(m, "width", 5),
        lambda m: setattr(m, "height", 0),
        lambda m: setattr(m, "width", 2**32 - 1),
        lambda m: setattr(m, "point_step", 0),
        lambda m: setattr(m, "point_step", 2**31),
        lambda m: setattr(m, "row_step", 3),
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
