"""The perception node on real topics: every sensor gives frames, every bad input is counted and survived."""

from __future__ import annotations

import math

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2, PointField
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

from edge_worldmodel import msg
from edge_worldmodel.core import tensors
from edge_worldmodel.nodes.ros import convert
from edge_worldmodel.nodes.ros.convert_sensors import occupancy_from_msg
from edge_worldmodel.nodes.ros.qos import LATCHED

from ..conftest import Probe, running

pytestmark = pytest.mark.live

STEP_NS = 100_000_000
FIXED = {"backend": "deterministic", "ego_motion": "fixed", "sensor_pose": "[0.0, 0.0, 0.0]"}


def scan(stamp_ns: int, ranges: np.ndarray, frame: str = "laser") -> LaserScan:
    message = LaserScan(
        range_min=0.1, range_max=10.0, angle_min=-math.pi, angle_increment=2 * math.pi / max(len(ranges), 1)
    )
    message.header = Header(stamp=convert.stamp_to_msg(stamp_ns), frame_id=frame)
    message.ranges.frombytes(ranges.astype(np.float32).tobytes())
    return message


def rejected(probe: Probe, diagnostics: list) -> dict[str, int]:
    """Counts by cause of the newest report."""
    probe.spin(1.3)
    values = {value.key: value.value for value in diagnostics[-1][1].status[0].values}
    return {key: int(value) for key, value in values.items() if key.startswith("rejected")}


def connected(probe: Probe, publisher: object) -> None:
    """Wait until the node listens and is active."""
    assert probe.wait(lambda: publisher.get_subscription_count() > 0, 20.0)
    probe.wait_active("perception")


def test_a_scan_becomes_a_frame_and_a_grid(probe):
    frames = probe.listen(msg.LatentFrame, "perception/latent")
    grids = probe.listen(OccupancyGrid, "perception/grid", LATCHED)
    scans = probe.node.create_publisher(LaserScan, "scan", qos_profile_sensor_data)
    with running("perception", **FIXED):
        connected(probe, scans)
        now_ns = probe.node.get_clock().now().nanoseconds
        for step in range(6):
            scans.publish(scan(now_ns + step * STEP_NS, np.full(360, 3.0)))
            probe.spin(0.1)
        assert probe.wait(lambda: len(frames) >= 5 and len(grids) >= 5, 5.0)
    frame = convert.latent_frame_from_msg(frames[-1][1])
    assert frame.tensor.shape == tensors.CONTEXT.shape and 0.0 < frame.entropy_bits < 1.0
    assert [m.sequence for _, m in frames] == list(range(1, len(frames) + 1))
    occupied, _, _ = occupancy_from_msg(grids[-1][1])
    rows, columns = np.nonzero(occupied == 1.0)
    distance_m = np.hypot((rows - 31.5) * 0.2, (columns - 31.5) * 0.2)
    assert len(rows) > 50 and np.abs(distance_m - 3.0).max() < 0.3


def test_bad_scans_are_counted_by_cause_and_survived(probe):
    frames = probe.listen(msg.LatentFrame, "perception/latent")
    diagnostics = probe.listen(DiagnosticArray, "/diagnostics")
    scans = probe.node.create_publisher(LaserScan, "scan", qos_profile_sensor_data)
    with running("perception", **FIXED) as process:
        connected(probe, scans)
        good = np.full(360, 3.0)
        now_ns = probe.node.get_clock().now().nanoseconds
        bad = [
            scan(now_ns, good),
            scan(now_ns, good),
            scan(now_ns - STEP_NS, good),
            scan(now_ns + STEP_NS, np.zeros(0)),
            scan(now_ns + 2 * STEP_NS, np.full(360, np.nan)),
            scan(now_ns + 3 * STEP_NS, np.full(17, np.inf)),
        ]
        for message in bad:
            scans.publish(message)
            probe.spin(0.05)
        counts = rejected(probe, diagnostics)
        assert counts.get("rejected_duplicate_stamp") == 1
        assert counts.get("rejected_out_of_order") == 1
        assert counts.get("rejected_empty", 0) >= 1
        before = len(frames)
        scans.publish(scan(now_ns + 10 * STEP_NS, good))
        assert probe.wait(lambda: len(frames) > before, 3.0), "no frame after bad input"
        assert process.poll() is None


def test_missing_tf_and_missing_odometry_are_named(probe):
    diagnostics = probe.listen(DiagnosticArray, "/diagnostics")
    scans = probe.node.create_publisher(LaserScan, "scan", qos_profile_sensor_data)
    with running("perception", backend="deterministic"):
        connected(probe, scans)
        scans.publish(scan(probe.node.get_clock().now().nanoseconds, np.full(360, 3.0), "nowhere"))
        counts = rejected(probe, diagnostics)
    assert counts.get("rejected_missing_tf") == 1


def test_odometry_moves_the_frame_and_a_foreign_frame_is_refused(probe):
    frames = probe.listen(msg.LatentFrame, "perception/latent")
    diagnostics = probe.listen(DiagnosticArray, "/diagnostics")
    scans = probe.node.create_publisher(LaserScan, "scan", qos_profile_sensor_data)
    odometry = probe.node.create_publisher(Odometry, "odom", qos_profile_sensor_data)
    with running("perception", backend="deterministic", sensor_pose="[0.0, 0.0, 0.0]"):
        connected(probe, scans)
        connected(probe, odometry)
        now_ns = probe.node.get_clock().now().nanoseconds
        for step in range(5):
            message = Odometry(child_frame_id="base_link")
            message.header = Header(stamp=convert.stamp_to_msg(now_ns + step * STEP_NS), frame_id="odom")
            message.pose.pose = convert.pose_to_msg(np.array([0.1 * step, 0.0, 0.0]))
            message.twist.twist.linear.x = 1.0
            odometry.publish(message)
            probe.spin(0.02)
            scans.publish(scan(now_ns + step * STEP_NS, np.full(360, 3.0)))
            probe.spin(0.08)
        message.header.frame_id = "elsewhere"
        odometry.publish(message)
        counts = rejected(probe, diagnostics)
    assert convert.latent_frame_from_msg(frames[-1][1]).pose[0] > 0.3
    assert counts["rejected_inputs"] == 1


def test_frames_come_although_tf_is_always_older_than_the_scan(probe):
    """tf of a driver that is 60, then 180 ms late: extrapolated, then waited for."""
    frames = probe.listen(msg.LatentFrame, "perception/latent")
    scans = probe.node.create_publisher(LaserScan, "scan", qos_profile_sensor_data)
    broadcaster = TransformBroadcaster(probe.node)
    with running("perception", backend="deterministic", ego_motion="tf", sensor_pose="[0.0, 0.0, 0.0]"):
        connected(probe, scans)
        begin_ns = probe.node.get_clock().now().nanoseconds
        for late_ms in (60, 180):
            before = len(frames)
            for step in range(100):
                now_ns = probe.node.get_clock().now().nanoseconds
                stamp_ns = now_ns - late_ms * 1_000_000
                place = 1e-9 * (stamp_ns - begin_ns) * 0.5, 0.0, 0.0
                pose = convert.transform_to_msg(stamp_ns, "odom", "base_link", place, (0.0, 0.0, 0.0, 1.0))
                broadcaster.sendTransform(pose)
                if step % 5 == 0:
                    scans.publish(scan(now_ns, np.full(360, 3.0)))
                probe.spin(0.02)
            assert len(frames) - before >= 8, f"tf {late_ms} ms late"
            newest = convert.latent_frame_from_msg(frames[-1][1])
            assert abs(newest.pose[0] - 1e-9 * (newest.stamp_ns - begin_ns) * 0.5) < 0.02


def test_a_scanner_with_another_clock_is_refused_and_its_offset_shown(probe):
    diagnostics = probe.listen(DiagnosticArray, "/diagnostics")
    scans = probe.node.create_publisher(LaserScan, "scan", qos_profile_sensor_data)
    with running("perception", **FIXED):
        connected(probe, scans)
        for _ in range(25):
            scans.publish(scan(probe.node.get_clock().now().nanoseconds - 20 * 10**9, np.full(360, 3.0)))
            probe.spin(0.05)
        assert rejected(probe, diagnostics)["rejected_other_clock"] >= 5
        values = {value.key: value.value for value in diagnostics[-1][1].status[0].values}
    assert 19.9 < float(values["clock_offset_s scan"]) < 21.0


def test_a_cloud_becomes_a_frame(probe):
    frames = probe.listen(msg.LatentFrame, "perception/latent")
    clouds = probe.node.create_publisher(PointCloud2, "points", qos_profile_sensor_data)
    angles = np.linspace(-math.pi, math.pi, 720, endpoint=False)
    wall = [np.stack([3 * np.cos(angles), 3 * np.sin(angles), np.full(720, z)], 1) for z in (0.4, 0.8)]
    floor = [np.stack([r * np.cos(angles), r * np.sin(angles), np.zeros(720)], 1) for r in (1.0, 2.0)]
    points = np.concatenate([*wall, *floor]).astype(np.float32)
    fields = [PointField(name=n, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, n in enumerate("xyz")]
    with running("perception", **FIXED, scan_topics="['']", cloud_topics="['points']"):
        connected(probe, clouds)
        header = Header(stamp=probe.node.get_clock().now().to_msg(), frame_id="lidar")
        clouds.publish(point_cloud2.create_cloud(header, fields, points))
        assert probe.wait(lambda: len(frames) >= 1, 5.0)


def test_a_depth_image_becomes_a_frame_once_its_intrinsics_are_known(probe):
    frames = probe.listen(msg.LatentFrame, "perception/latent")
    diagnostics = probe.listen(DiagnosticArray, "/diagnostics")
    images = probe.node.create_publisher(Image, "depth/image", qos_profile_sensor_data)
    infos = probe.node.create_publisher(CameraInfo, "depth/camera_info", qos_profile_sensor_data)
    info = CameraInfo()
    info.k = [100.0, 0.0, 80.0, 0.0, 100.0, 60.0, 0.0, 0.0, 1.0]
    pixels = np.full((120, 160), 2000, np.uint16)
    image = Image(height=120, width=160, encoding="16UC1", step=320)
    image.data.frombytes(pixels.tobytes())
    image.header.frame_id = "camera"
    # optical frame (x right, y down, z forward) half a metre above the floor, looking ahead (REP-103)
    mount = TransformStamped(child_frame_id="camera", header=Header(frame_id="base_link"))
    mount.transform.translation.z = 0.5
    q = mount.transform.rotation
    q.x, q.y, q.z, q.w = -0.5, 0.5, -0.5, 0.5
    StaticTransformBroadcaster(probe.node).sendTransform(mount)
    topics = {"scan_topics": "['']", "depth_topics": "['depth/image']"}
    with running("perception", backend="deterministic", ego_motion="fixed", **topics):
        connected(probe, images)
        connected(probe, infos)
        probe.spin(1.0)
        images.publish(image)
        infos.publish(info)
        probe.spin(0.3)
        image.header.stamp = probe.node.get_clock().now().to_msg()
        images.publish(image)
        assert probe.wait(lambda: len(frames) >= 1, 5.0)
        counts = rejected(probe, diagnostics)
    assert counts["rejected_inputs"] == 1, "the image that came before its intrinsics"
