"""Odometry to its message and back."""

import math

import numpy as np
import pytest
from transforms3d.euler import euler2quat

pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from edge_worldmodel.core.errors import InputError  # noqa: E402
from edge_worldmodel.core.safety.inputs.intake import OdometrySample  # noqa: E402
from edge_worldmodel.nodes.ros.convert_sensors import odometry_from_msg, odometry_to_msg  # noqa: E402


def odometry(**changes):
    pose, twist = np.array([1.5, -2.0, 0.7]), np.array([0.4, 0.1, -0.3])
    fields = {"stamp_ns": 12_345_678_901, "frame_id": "odom", "child_frame_id": "base_link"}
    return OdometrySample(**{**fields, "pose": pose, "twist": twist, **changes})


def test_round_trip():
    given, back = odometry(), odometry_from_msg(odometry_to_msg(odometry()))
    assert (back.stamp_ns, back.frame_id, back.child_frame_id) == (given.stamp_ns, "odom", "base_link")
    np.testing.assert_allclose(back.pose, given.pose, atol=1e-12)
    np.testing.assert_allclose(back.twist, given.twist)


@pytest.mark.parametrize("field", ["pose", "twist"])
def test_numbers_that_are_none_are_refused(field):
    with pytest.raises(InputError):
        odometry_from_msg(odometry_to_msg(odometry(**{field: np.array([math.nan, 0.0, 0.0])})))


@pytest.mark.parametrize("yaw", [0.0, 1.3, -2.8])
@pytest.mark.parametrize(("roll", "pitch"), [(0.0, 0.1), (0.2, 0.0), (-0.1, 0.15)])
def test_the_slope_comes_from_the_whole_orientation(yaw, roll, pitch):
    message = odometry_to_msg(odometry())
    w, x, y, z = euler2quat(yaw, pitch, roll, "rzyx")
    for name, value in (("w", w), ("x", x), ("y", y), ("z", z)):
        setattr(message.pose.pose.orientation, name, 1.01 * value)
    back = odometry_from_msg(message)
    assert back.downhill == pytest.approx((math.sin(pitch), -math.sin(roll) * math.cos(pitch)))
    assert back.pose[2] == pytest.approx(yaw)
    assert odometry_from_msg(odometry_to_msg(odometry())).downhill == (0.0, 0.0)
