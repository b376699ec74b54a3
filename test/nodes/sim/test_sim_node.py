"""The simulator node, run as users run it: its topics, its clock, and that it drives and brakes."""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")
pytest.importorskip("mujoco")

from geometry_msgs.msg import PoseStamped, Twist, TwistStamped  # noqa: E402
from nav_msgs.msg import OccupancyGrid, Odometry  # noqa: E402
from rclpy.qos import qos_profile_sensor_data  # noqa: E402
from rclpy.time import Time  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import LaserScan  # noqa: E402
from std_msgs.msg import Bool  # noqa: E402
from tf2_ros import Buffer, TransformListener  # noqa: E402
from visualization_msgs.msg import MarkerArray  # noqa: E402

from edge_worldmodel.nodes.ros.convert import stamp_from_msg  # noqa: E402
from edge_worldmodel.nodes.ros.qos import LATCHED  # noqa: E402

from ..conftest import Probe, running, stop  # noqa: E402

pytestmark = pytest.mark.live

START_S = 30.0


def seconds(stamp) -> float:
    return stamp_from_msg(stamp) / 1e9


def drive(probe: Probe, publisher, message, duration_s: float) -> None:
    """Send one command again and again, as a controller does."""
    end_s = time.monotonic() + duration_s
    while time.monotonic() < end_s:
        publisher.publish(message)
        probe.spin(0.1)


def test_sensors_clock_and_transforms_come_at_their_rates(probe):
    scans = probe.listen(LaserScan, "scan", qos_profile_sensor_data)
    odometry = probe.listen(Odometry, "odom")
    clock = probe.listen(Clock, "/clock")
    people = probe.listen(MarkerArray, "sim/people")
    buffer = Buffer()
    listener = TransformListener(buffer, probe.node)
    with running("sim", world="demo_room"):
        assert probe.wait(lambda: len(scans) > 0, START_S)
        for messages in (scans, odometry, clock, people):
            messages.clear()
        probe.spin(3.0)
        simulated_s = seconds(clock[-1][1].clock) - seconds(clock[0][1].clock)
        assert len(scans) == pytest.approx(10 * simulated_s, abs=2)
        assert len(people) == pytest.approx(10 * simulated_s, abs=2)
        assert len(odometry) == pytest.approx(50 * simulated_s, rel=0.1)
        assert len(clock) == pytest.approx(50 * simulated_s, rel=0.1)
        assert simulated_s == pytest.approx(3.0, rel=0.25)  # other tests may share the cores
        assert buffer.can_transform("odom", "laser", Time())
    scan = scans[0][1]
    assert scan.header.frame_id == "laser" and len(scan.ranges) == 360
    assert scan.angle_increment == pytest.approx(2 * np.pi / 360)
    ranges = np.array(scan.ranges)
    assert np.nanmin(ranges) > 0.1 and np.nanmax(ranges[np.isfinite(ranges)]) < 12.1
    stamps = [stamp_from_msg(m.header.stamp) for _, m in scans]
    assert set(np.diff(stamps)) <= {100_000_000, 200_000_000} and stamps[0] >= 1_000_000_000
    assert odometry[0][1].child_frame_id == "base_link" and odometry[0][1].header.frame_id == "odom"
    assert len(people[0][1].markers) == 6
    listener.unregister()


@pytest.mark.parametrize("stamped", [False, True])
def test_it_drives_when_commanded_and_brakes_on_silence(probe, stamped):
    odometry = probe.listen(Odometry, "odom")
    contact = probe.listen(Bool, "sim/contact", LATCHED)
    kind = TwistStamped if stamped else Twist
    command = kind()
    (command.twist if stamped else command).linear.x = 0.5
    publisher = probe.node.create_publisher(kind, "cmd_vel", 1)
    with running("sim", world="empty", enable_stamped_cmd_vel=stamped, publish_goal=False):
        assert probe.wait(lambda: len(odometry) > 0, START_S)
        probe.spin(0.5)
        assert odometry[-1][1].twist.twist.linear.x == pytest.approx(0.0, abs=1e-6)
        drive(probe, publisher, command, 2.0)
        assert odometry[-1][1].twist.twist.linear.x == pytest.approx(0.5, abs=0.02)
        assert odometry[-1][1].pose.pose.position.x > 0.5
        odometry.clear()
        assert probe.wait(lambda: odometry and odometry[-1][1].twist.twist.linear.x < 0.01, 3.0)
        moving = [m for _, m in odometry if m.twist.twist.linear.x > 0.45]
        silent_s = seconds(moving[-1].header.stamp) - seconds(odometry[0][1].header.stamp)
        assert silent_s < 0.75
        assert [m.data for _, m in contact] == [False]


def test_goal_arrival_and_contact_are_told(probe, tmp_path):
    world = tmp_path / "short.yaml"
    world.write_text(
        "bounds: [-3, -2, 3, 2]\nrobots: [{preset: generic, start: [-1, 0, 1.5707963], goal: [-1, 1.0, 0]}]\n",
        encoding="utf-8",
    )
    goals = probe.listen(PoseStamped, "goal_pose")  # volatile: must be reached all the same
    contact = probe.listen(Bool, "sim/contact", LATCHED)
    reached = probe.listen(Bool, "sim/goal_reached", LATCHED)
    odometry = probe.listen(Odometry, "odom")
    publisher = probe.node.create_publisher(Twist, "cmd_vel", 1)
    forward = Twist()
    forward.linear.x = 0.8
    with running("sim", world=world, goal_tolerance_m=0.3):
        assert probe.wait(lambda: bool(goals and odometry), START_S)
        pose = goals[-1][1].pose
        assert (pose.position.x, pose.position.y) == pytest.approx((1.0, 0.0), abs=1e-6)
        assert goals[-1][1].header.frame_id == "odom"
        drive(probe, publisher, forward, 4.0)
    assert [m.data for _, m in reached] == [False, True]
    assert [m.data for _, m in contact] == [False, True]


def test_a_faster_clock_runs_faster(probe):
    clock = probe.listen(Clock, "/clock")
    with running("sim", world="empty", real_time_factor=4.0):
        assert probe.wait(lambda: len(clock) > 0, START_S)
        clock.clear()
        probe.spin(2.0)
    (first_s, first), (last_s, last) = clock[0], clock[-1]
    factor = (seconds(last.clock) - seconds(first.clock)) / (last_s - first_s)
    assert factor == pytest.approx(4.0, rel=0.15)


def test_it_ends_within_a_second_and_cleanly(probe):
    clock = probe.listen(Clock, "/clock")
    with running("sim", world="demo_room") as process:
        assert probe.wait(lambda: len(clock) > 0, START_S)
        assert stop(process) < 1.5
        assert process.returncode == 0
        assert "Traceback" not in process.stdout.read()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"world": "moon"}, ["'moon'", "demo_room"]),
        ({"real_time_factor": 0.0}, ["real_time_factor"]),
        ({"seed": -5}, ["seed"]),
    ],
)
def test_bad_parameters_end_it_with_a_message(parameters, words):
    with running("sim", **parameters) as process:
        assert process.wait(START_S) != 0
        output = process.stdout.read()
    assert "refused to start" in output and "Traceback" not in output
    for word in words:
        assert word in output


def test_a_depth_camera_and_the_scanner_see_the_same_room(probe, tmp_path):
    """Perception, fed by the camera alone, finds an obstacle where the scanner has one."""
    world = tmp_path / "pillar.yaml"
    world.write_text(
        "name: pillar\nseed: 1\nbounds: [-4, -4, 4, 4]\nwalls: [{cylinder: [1.5, 0.0, 0.3]}]\n"
        "robots: [{preset: camera_rover, start: [0, 0, 0]}]\n"
    )
    grids = probe.listen(OccupancyGrid, "perception/grid", LATCHED)
    seeing = {"use_sim_time": True, "backend": "deterministic", "scan_topics": "['']"}
    with running("sim", world=str(world)), running("perception", depth_topics="[camera/depth/image_raw]", **seeing):
        assert probe.wait(lambda: len(grids) > 3, START_S)
    message = grids[-1][1]
    cells = np.array(message.data).reshape(message.info.height, message.info.width)
    ahead = cells[30:34, 32:]
    found_m = (np.flatnonzero((ahead > 50).any(axis=0))[0] + 0.5) * message.info.resolution
    assert found_m == pytest.approx(1.2, abs=0.3)
    assert (ahead[:, 1:4] == 0).any(), "the floor before it is free"
