"""Poses of sensors from real tf: whole, at the time of the reading, and of frames on the robot only."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from geometry_msgs.msg import TransformStamped  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from tf2_msgs.msg import TFMessage  # noqa: E402
from transforms3d.euler import euler2quat  # noqa: E402

from edge_worldmodel.core.errors import ConfigError, InputError  # noqa: E402
from edge_worldmodel.core.safety.inputs.intake import OdometrySample  # noqa: E402
from edge_worldmodel.nodes.ros.convert import stamp_to_msg  # noqa: E402
from edge_worldmodel.nodes.ros.convert_sensors import ignored_times, sweep_from_scan_msg  # noqa: E402
from edge_worldmodel.nodes.ros.frames import Frames, MissingTransformError, NotOnRobotError  # noqa: E402

from ..safety_supervisor.supervised_graph import scan_msg  # noqa: E402

T0_NS = 1_000_000_000_000
MS = 1_000_000


def transform(parent, child, stamp_ns, x_m=0.0, roll=0.0, yaw=0.0, y_m=0.0):
    message = TransformStamped(child_frame_id=child)
    message.header = Header(stamp=stamp_to_msg(stamp_ns), frame_id=parent)
    message.transform.translation.x, message.transform.translation.y = x_m, y_m
    w, x, y, z = euler2quat(roll, 0.0, yaw)
    rotation = message.transform.rotation
    rotation.w, rotation.x, rotation.y, rotation.z = w, x, y, z
    return message


@pytest.fixture
def frames():
    rclpy.init()
    node = rclpy.create_node("frames_test")
    frames = Frames(node, "base_link")
    listener = frames._tf
    listener.receive_static(TFMessage(transforms=[transform("base_link", "inverted", 0, 0.2, math.pi)]))
    yield frames, lambda *transforms: listener.receive(TFMessage(transforms=list(transforms)))
    frames.close()
    node.destroy_node()
    rclpy.shutdown()


def test_a_scanner_upside_down_sees_left_what_is_left(frames):
    frames, _ = frames
    # Seen from below, the angles of an inverted scanner grow to the right: this reading is a wall on the left.
    ranges = [1.0 if angle < 180 else math.inf for angle in range(360)]
    sweep = sweep_from_scan_msg(scan_msg(T0_NS, ranges), frames.mount("inverted", T0_NS))
    hits = sweep.endpoints[sweep.hit]
    assert len(hits) == 180 and (hits[:, 1] > -0.02).all()


def test_a_pan_head_is_looked_up_at_the_time_of_the_reading(frames):
    frames, send = frames
    send(transform("base_link", "head", T0_NS), transform("base_link", "head", T0_NS + 100 * MS, yaw=1.0))
    for after_ms in (25, 75):
        mount = frames.mount("head", T0_NS + after_ms * MS)
        assert math.atan2(mount[1, 0], mount[0, 0]) == pytest.approx(after_ms / 100.0)
    frames.release(1)
    send(transform("base_link", "head", T0_NS + 200 * MS, yaw=3.0))
    mount = frames.mount("head", T0_NS + 150 * MS)
    assert math.atan2(mount[1, 0], mount[0, 0]) == pytest.approx(2.0)


def test_a_reading_waits_for_the_transform_of_its_moving_mount(frames):
    frames, send = frames
    send(transform("base_link", "head", T0_NS))
    taken, refused = [], []

    def offer(after_ms):
        header = Header(stamp=stamp_to_msg(T0_NS + after_ms * MS), frame_id="head")
        frames.with_mount("scan", header, lambda mount: taken.append((after_ms, mount)), refused.append)

    offer(20)
    offer(40)
    assert not taken and not refused
    send(transform("base_link", "head", T0_NS + 10 * MS))
    assert not taken
    send(transform("base_link", "head", T0_NS + 30 * MS, yaw=0.2))
    assert [after_ms for after_ms, _ in taken] == [20] and not refused
    assert taken[0][1][1, 0] == pytest.approx(math.sin(0.1))
    offer(60)
    offer(170)
    assert len(refused) == 1 and "at this time" in str(refused[0])


def test_two_sensors_that_alternate_on_one_topic_are_told_apart_by_their_frames(frames):
    frames, send = frames
    frames._tf.receive_static(TFMessage(transforms=[transform("base_link", "rear", 0, -0.2)]))
    taken, refused = [], []

    def offer(after_ms, frame):
        header = Header(stamp=stamp_to_msg(T0_NS + after_ms * MS), frame_id=frame)
        frames.with_mount("scan", header, lambda mount: taken.append(mount[0, 3]), refused.append)

    for step in range(4):
        offer(100 * step, "inverted")
        offer(100 * step + 50, "rear")
    assert taken == [0.2] * 4 and len(refused) == 4
    assert "two sensors, 'inverted' and 'rear'" in str(refused[0]) and refused[0].kind == "two_sensors_on_topic"
    offer(2400, "rear")
    offer(2500, "rear")
    assert taken[4:] == [-0.2] * 2, "a driver was restarted with another frame"


def test_times_of_beams_are_read_and_left_out_where_they_cannot_be_right():
    message = scan_msg(T0_NS, [1.0] * 100)
    for increment_s, scan_time_s in ((0.001, 0.1), (0.001, 0.0), (-0.001, 0.1)):
        message.time_increment, message.scan_time = increment_s, scan_time_s
        sweep = sweep_from_scan_msg(message, np.eye(4))
        np.testing.assert_allclose(sweep.delays_s, increment_s * np.arange(100), atol=1e-6)
        assert not ignored_times(message, sweep)
    for increment_s, scan_time_s in ((0.1, 0.1), (0.1, 0.0), (0.005, 0.1), (math.nan, 0.1), (math.inf, 0.0)):
        message.time_increment, message.scan_time = increment_s, scan_time_s
        sweep = sweep_from_scan_msg(message, np.eye(4))
        assert sweep.delays_s is None and ignored_times(message, sweep)
    message.time_increment = 0.0
    assert not ignored_times(message, sweep_from_scan_msg(message, np.eye(4)))


@pytest.mark.parametrize("frame", ["odom", "map", "beside"])
def test_a_frame_that_is_not_on_the_robot_is_refused_in_words(frames, frame):
    frames, send = frames
    send(transform("odom", "base_link", T0_NS), transform("map", "odom", T0_NS), transform("odom", "beside", T0_NS))
    with pytest.raises(NotOnRobotError, match=f"'{frame}' is no child of 'base_link'"):
        frames.mount(frame, T0_NS)
    with pytest.raises(MissingTransformError):
        frames.mount("nowhere", T0_NS)
    np.testing.assert_array_equal(frames.mount("base_link", T0_NS), np.eye(4))


def test_a_static_mount_below_others_is_looked_up_once(frames):
    frames, send = frames
    send(transform("odom", "base_link", T0_NS))
    frames._tf.receive_static(TFMessage(transforms=[transform("inverted", "lens", 0, 0.1)]))
    first = frames.mount("lens", T0_NS)
    np.testing.assert_allclose(first[:3, 3], [0.3, 0.0, 0.0])
    assert frames.mount("lens", T0_NS + 10**9) is first
    frames.release(1)
    assert frames._tf is None


@pytest.mark.parametrize("numbers", [(0.1, 0.0), (0.1, 0.0, 0.0, 0.0), (1.0,)])
def test_a_sensor_pose_of_another_length_is_refused(frames, numbers):
    with pytest.raises(ConfigError, match="roll"):
        Frames(rclpy.create_node("other"), "base_link", numbers)
    whole = Frames(rclpy.create_node("another"), "base_link", (0.1, 0.0, 0.3, math.pi, 0.0, 0.0))
    np.testing.assert_allclose(whole.mount("any", 0) @ [0.0, 1.0, 0.0, 1.0], [0.1, -1.0, 0.3, 1.0], atol=1e-9)


def test_the_base_pose_is_passed_on_as_often_as_tf_has_a_newer_one(frames):
    frames, send = frames
    poses = []
    frames.watch_base("odom", lambda stamp_ns, pose: poses.append((stamp_ns - T0_NS, pose[0])))
    send(transform("odom", "elsewhere", T0_NS))
    send(transform("odom", "base_link", T0_NS, 1.0))
    send(transform("odom", "elsewhere", T0_NS + 10 * MS))
    send(transform("odom", "base_link", T0_NS + 20 * MS, 2.0), transform("elsewhere", "camera", T0_NS + 90 * MS))
    assert poses == [(0, 1.0), (20 * MS, 2.0)]
    with pytest.raises(MissingTransformError, match="from 'base_link' to 'world'"):
        frames.newest_base_pose("world")


@pytest.mark.parametrize("size", [0.0, 1e300, math.nan, math.inf, 0.9])
def test_a_transform_that_is_no_pose_is_rejected_before_tf2_sees_it(frames, size):
    frames, send = frames
    bad = transform("base_link", "lens", T0_NS)
    bad.transform.rotation.w = size
    send(bad, transform("base_link", "pan", T0_NS, size if size > 1.0 or size != size else 1e300))
    send(transform("pan", "pan", T0_NS), transform("", "pan", T0_NS), transform("pan", "", T0_NS))
    assert frames._health.rejected["bad_transform"] == 5
    with pytest.raises(MissingTransformError, match="tf has no frame 'lens'"):
        frames.mount("lens", T0_NS)


def test_a_negative_stamp_on_a_moving_mount_is_refused(frames):
    frames, send = frames
    send(transform("base_link", "pan", T0_NS))
    with pytest.raises(InputError, match="is negative"):
        frames.mount("pan", -1)


def test_a_base_that_is_bolted_to_the_floor_has_stamp_zero(frames):
    frames, _ = frames
    poses = []
    frames.watch_base("odom", lambda stamp_ns, pose: poses.append((stamp_ns, pose[0])))
    frames._tf.receive_static(TFMessage(transforms=[transform("odom", "base_link", 0, 3.0)]))
    assert poses == [(0, 3.0)]


@pytest.mark.parametrize("back_s", [3, 500])
def test_a_restarted_driver_whose_stamps_jump_back_counts_again(frames, back_s):
    frames, send = frames
    poses = []
    frames.watch_base("odom", lambda stamp_ns, pose: poses.append(pose[0]))
    send(transform("odom", "base_link", T0_NS, 1.0))
    restart_ns = T0_NS - back_s * 1000 * MS
    send(transform("odom", "base_link", restart_ns, 2.0))
    assert poses == [1.0], "one wrong stamp is no restart"
    for step in (1, 2):
        send(transform("odom", "base_link", restart_ns + 20 * step * MS, 2.0 + step))
    assert poses == [1.0, 3.0, 4.0]
    np.testing.assert_allclose(frames.mount("inverted", restart_ns)[:3, 3], [0.2, 0.0, 0.0])


def sample(child, pose=(1.0, 2.0, math.pi / 2), twist=(0.5, 0.0, 1.0)):
    return OdometrySample(T0_NS, "odom", child, np.array(pose), np.array(twist))


def test_odometry_of_another_frame_of_the_base_becomes_that_of_the_base(frames):
    frames, send = frames
    fixed = [transform("base_footprint", "base_link", 0), transform("base_footprint", "wheels", 0, -0.3, yaw=math.pi)]
    frames._tf.receive_static(TFMessage(transforms=fixed))
    send(transform("odom", "base_footprint", T0_NS), transform("odom", "camera_pose", T0_NS))
    for child in ("base_link", "base_footprint", "/base_footprint", ""):
        same = frames.odometry_of_base(sample(child))
        assert same.child_frame_id == "base_link" or child == "base_link"
        np.testing.assert_allclose([same.pose, same.twist], [sample("").pose, sample("").twist], atol=1e-12)
    moved = frames.odometry_of_base(sample("wheels"))
    # The base is 0.3 m behind the wheels' frame, which looks backwards: a turn moves it sideways.
    np.testing.assert_allclose(moved.pose, [1.0, 2.0 - 0.3, -math.pi / 2], atol=1e-12)
    np.testing.assert_allclose(moved.twist, [-0.5, 0.3, 1.0], atol=1e-12)
    with pytest.raises(NotOnRobotError, match="'camera_pose', which is not fixed to base_frame, 'base_link'"):
        frames.odometry_of_base(sample("camera_pose"))
    with pytest.raises(MissingTransformError, match="set base_frame to 'nowhere'"):
        frames.odometry_of_base(sample("nowhere"))


def test_sensors_on_a_parent_that_is_fixed_to_the_base_are_on_the_robot(frames):
    frames, send = frames
    fixed = [transform("base_footprint", "base_link", 0, 0.1), transform("base_footprint", "laser", 0, 0.3)]
    frames._tf.receive_static(TFMessage(transforms=fixed))
    send(transform("odom", "base_footprint", T0_NS), transform("base_footprint", "head", T0_NS, 0.5))
    np.testing.assert_allclose(frames.mount("laser", T0_NS)[:3, 3], [0.2, 0.0, 0.0])
    np.testing.assert_allclose(frames.mount("head", T0_NS)[:3, 3], [0.4, 0.0, 0.0])
    with pytest.raises(NotOnRobotError):
        frames.mount("odom", T0_NS)


def test_a_twist_in_the_odom_frame_is_turned_into_the_base_frame(frames):
    frames, _ = frames
    for step in range(60):
        pose = 1.0, 0.02 * 0.5 * step, math.pi / 2
        stamped = replace(sample("base_link", pose, (0.0, 0.5, 0.0)), stamp_ns=T0_NS + step * 20 * MS)
        odometry = frames.odometry_of_base(stamped)
    np.testing.assert_allclose(odometry.twist, [0.5, 0.0, 0.0], atol=1e-9)


def test_the_work_of_a_tf_message_is_bounded_however_many_transforms_it_holds(frames):
    frames, send = frames
    many = [transform("base_link", f"link_{index}", T0_NS) for index in range(3000)]
    begin_s = time.thread_time()
    for first in range(0, 3000, 300):
        send(*many[first : first + 300])
        # The same again, with a stamp that jumped back, so that all that is known is put in once more.
        send(*(transform("base_link", each.child_frame_id, MS) for each in many[first : first + 300]))
    assert (time.thread_time() - begin_s) / 20 < 0.06
    rejected = frames._health.rejected
    assert rejected["bad_transform"] > 2000, rejected
    assert frames.mount("link_0", T0_NS)[0, 3] == 0.0
