"""Odometry to its message and back."""

import math

import numpy as np
import pytest

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
