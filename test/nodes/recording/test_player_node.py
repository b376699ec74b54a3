"""The player node, run as users run it: our topics, the recorded stamps, the clock, and how it ends."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from geometry_msgs.msg import PoseStamped  # noqa: E402
from nav_msgs.msg import Odometry  # noqa: E402
from rclpy.qos import qos_profile_sensor_data  # noqa: E402
from rclpy.time import Time  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import LaserScan  # noqa: E402
from tf2_ros import Buffer, TransformListener  # noqa: E402

from edge_worldmodel import msg  # noqa: E402
from edge_worldmodel.nodes.ros.convert import stamp_from_msg  # noqa: E402
from edge_worldmodel.nodes.ros.qos import LATCHED  # noqa: E402

from ..conftest import running  # noqa: E402

pytestmark = pytest.mark.live

START_S = 60.0
SCANS, PERIOD_S, BEGIN_S = 20, 0.1, 1000.0


@pytest.fixture
def log(tmp_path):
    """A CARMEN log of a robot that drives at 0.5 m/s, its laser 0.2 m ahead."""
    lines = []
    for index in range(SCANS):
        x_m, stamp = 0.05 * index, f"{BEGIN_S + PERIOD_S * index:.3f} host 0.0"
        lines.append(f"FLASER 181 {' '.join(['2.5'] * 181)} {x_m + 0.2} 0 0 {x_m} 0 0 {stamp}")
    path = tmp_path / "log.clf"
    path.write_text("\n".join(lines) + "\n")
    return path


def listen(probe):
    """Return what the player says, by topic, with the newest clock at each receipt."""
    return (
        probe.listen(LaserScan, "scan", qos_profile_sensor_data),
        probe.listen(Odometry, "odom", qos_profile_sensor_data),
        probe.listen(Clock, "/clock"),
        probe.listen(PoseStamped, "goal_pose", LATCHED),
    )


def test_a_recording_is_played_to_its_end_with_its_own_stamps(probe, log):
    scans, odometry, clock, goals = listen(probe)
    buffer = Buffer()
    listener = TransformListener(buffer, probe.node)
    probe.node.create_publisher(msg.Plan, "planner/plan", 1)  # what the player takes for a planner that is ready
    with running("player", file=log, rate=2.0, wait_for_subscribers=1) as process:
        assert probe.wait(lambda: process.poll() is not None, START_S)
        assert process.returncode == 0, process.stdout.read()
    stamps_s = [stamp_from_msg(message.header.stamp) * 1e-9 for _, message in scans]
    np.testing.assert_allclose(stamps_s, BEGIN_S + PERIOD_S * np.arange(SCANS), atol=1e-6)
    took_s = scans[-1][0] - scans[0][0]
    assert took_s == pytest.approx((stamps_s[-1] - stamps_s[0]) / 2.0, rel=0.3)
    times_ns = [stamp_from_msg(message.clock) for _, message in clock]
    assert times_ns == sorted(times_ns)
    assert odometry[-1][1].pose.pose.position.x == pytest.approx(0.05 * (SCANS - 1))
    assert odometry[-1][1].twist.twist.linear.x == pytest.approx(0.5, rel=0.01)
    mount = buffer.lookup_transform("base_link", scans[0][1].header.frame_id, Time()).transform.translation
    assert mount.x == pytest.approx(0.2)
    assert buffer.can_transform("odom", "base_link", Time())
    ahead_m = goals[-1][1].pose.position.x - odometry[-1][1].pose.pose.position.x
    assert 1.0 < ahead_m <= 5.0
    del listener


def test_nothing_is_played_before_the_graph_listens(probe, log):
    scans, _, clock, _ = listen(probe)
    with running("player", file=log, wait_for_subscribers=2):
        assert probe.wait(lambda: len(clock) > 5, START_S)
        probe.spin(1.0)
        assert not scans
        assert len({stamp_from_msg(message.clock) for _, message in clock}) == 1


@pytest.mark.parametrize(
    ("content", "status", "told"),
    [
        (None, 1, "cannot be opened"),
        ("nonsense\n", 1, "is neither a ROS 1 bag"),
        ("whole", 0, "end of the recording"),
        ("damaged", 3, "scans could be read"),
    ],
)
def test_the_exit_status_tells_a_damaged_recording_from_a_whole_one(probe, log, content, status, told):
    if content is None:
        log.unlink()
    elif content == "damaged":
        log.write_text(log.read_text()[:-200])
    elif content != "whole":
        log.write_text(content)
    with running("player", file=log, rate=20.0, wait_for_subscribers=0) as process:
        assert probe.wait(lambda: process.poll() is not None, START_S)
        output = process.stdout.read()
    assert process.returncode == status, output
    assert told in output
    assert "Traceback" not in output
