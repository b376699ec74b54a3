"""Depth images of every encoding, byte order and padding, compressed or not, are read; damaged ones are refused."""

from __future__ import annotations

import array
import struct

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from edge_worldmodel.core.errors import ConfigError, InputError  # noqa: E402
from edge_worldmodel.nodes.perception.perception_node import PerceptionTopics, _is_rectified  # noqa: E402
from edge_worldmodel.nodes.ros.convert_depth import calibration_from_msg, depth_from_msg  # noqa: E402

COUNTS = np.arange(12, dtype=np.uint16).reshape(3, 4) * 300
QUANTISATION = 1000.0, 20.0
HEADER = struct.pack("<iff", 0, *QUANTISATION)


def image(encoding="16UC1", big=False, padding=0, last_padding=True):
    kind = np.dtype("f4" if encoding == "32FC1" else "u2")
    pixels = COUNTS.astype(kind.newbyteorder(">" if big else "<"))
    rows = np.pad(pixels.view(np.uint8), ((0, 0), (0, padding)), constant_values=0xEE)
    message = Image(height=3, width=4, encoding=encoding, is_bigendian=big, step=rows.shape[1])
    message.data.frombytes(rows.tobytes()[: None if last_padding else -padding or None])
    return message


def compressed(kind="16UC1; compressedDepth png", pixels=COUNTS, header=HEADER):
    png = cv2.imencode(".png", pixels)[1].tobytes()
    return CompressedImage(format=kind, data=array.array("B", header + png))


@pytest.mark.parametrize("encoding", ["16UC1", "mono16", "32FC1"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(("padding", "last"), [(0, True), (6, True), (6, False)])
def test_pixels_are_read_from_any_layout(encoding, big, padding, last):
    depth = depth_from_msg(image(encoding, big, padding, last))
    np.testing.assert_array_equal(depth, COUNTS)
    assert depth.dtype == (np.float32 if encoding == "32FC1" else np.uint16)


@pytest.mark.parametrize("step", [0, 3, 4, 9999])
def test_a_wrong_step_is_no_obstacle_where_the_data_has_the_size_of_its_rows(step):
    message = image()
    message.step = step
    np.testing.assert_array_equal(depth_from_msg(message), COUNTS)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoding": "rgb8"}, "'rgb8': expected one of"),
        ({"width": 5}, "do not match"),
        ({"height": 0}, "nothing in it"),
        ({"height": 2**31}, "do not match"),
    ],
)
def test_an_image_that_does_not_fit_itself_is_refused(changes, words):
    message = image()
    for name, value in changes.items():
        setattr(message, name, value)
    with pytest.raises(InputError, match=words):
        depth_from_msg(message)


def test_compressed_depth_is_read():
    np.testing.assert_array_equal(depth_from_msg(compressed()), COUNTS)
    np.testing.assert_array_equal(depth_from_msg(compressed("16UC1; png compressed ", header=b"")), COUNTS)
    metres = depth_from_msg(compressed("32FC1; compressedDepth"))
    expected = np.where(COUNTS > 20, QUANTISATION[0] / np.where(COUNTS > 20, COUNTS - 20.0, 1.0), np.nan)
    np.testing.assert_allclose(metres, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (CompressedImage(format="16UC1; compressedDepth rvl", data=array.array("B", bytes(40))), "is no PNG"),
        (CompressedImage(format="bgr8; jpeg compressed bgr8"), "encoding 'bgr8'"),
        (CompressedImage(format="16UC1; compressedDepth"), "is no PNG"),
        (compressed(pixels=COUNTS.astype(np.uint8)), "with 8 bits"),
        (compressed(pixels=np.repeat(COUNTS[..., None], 3, axis=2)), "one channel"),
        (compressed("32FC1; compressedDepth", header=struct.pack("<iff", 0, np.nan, 1.0)), "quantisation"),
        (compressed("32FC1; compressed", header=b""), "without its quantisation"),
    ],
)
def test_another_compression_is_refused_in_words(message, words):
    with pytest.raises(InputError, match=words):
        depth_from_msg(message)


def test_a_png_that_claims_a_huge_size_or_is_cut_is_refused():
    message = compressed()
    cut = CompressedImage(format=message.format, data=message.data[:50])
    with pytest.raises(InputError, match="damaged"):
        depth_from_msg(cut)
    message.data[12 + 16 : 12 + 24] = array.array("B", struct.pack(">II", 2**30, 2**30))
    with pytest.raises(InputError, match="at most"):
        depth_from_msg(message)


def test_the_calibration_has_every_value_of_camera_info():
    roi = RegionOfInterest(x_offset=1, y_offset=2, width=3, height=4)
    message = CameraInfo(
        header=Header(frame_id="optical"), width=8, height=6, binning_x=2, binning_y=3, roi=roi, d=[0.5, 0.25],
        distortion_model="plumb_bob", k=[float(i) for i in range(9)], p=[float(i) for i in range(12)],
    )  # fmt: skip
    calibration = calibration_from_msg(message)
    assert (calibration.frame_id, calibration.size, calibration.model) == ("optical", (8, 6), "plumb_bob")
    assert (calibration.binning, calibration.roi, calibration.distortion) == ((2, 3), (1, 2, 3, 4), (0.5, 0.25))
    assert (calibration.k, calibration.p) == (tuple(range(9)), tuple(range(12)))


@pytest.mark.parametrize(
    ("topic", "info", "rectified"),
    [
        ("depth/image_raw", "depth/camera_info", False),
        ("/camera/depth/image_rect_raw", "/camera/depth/camera_info", True),
        ("camera/depth/image_raw/compressedDepth", "camera/depth/camera_info", False),
        ("depth_rect/image/compressed", "depth_rect/camera_info", True),
        ("image/compressedDepth", "camera_info", False),
        ("image", "camera_info", False),
        ("direct/image", "direct/camera_info", False),
    ],
)
def test_topics_of_a_camera(topic, info, rectified):
    assert PerceptionTopics(depth_topics=(topic,)).camera_infos == {topic: info}
    assert _is_rectified(topic) is rectified


OPTICAL = (0.2, 0.0, 0.5, -1.5708, 0.0, -1.5708)


@pytest.mark.parametrize(
    ("pose", "scans", "words"),
    [
        ((0.2, 0.0, 0.1), ("",), "x, y, z, roll, pitch, yaw"),
        ((0.2, 0.0, 0.5, 0.0, 0.0, 0.0), ("",), "look up"),
        (OPTICAL, ("scan",), "several sensors"),
    ],
)
def test_the_pose_of_a_depth_camera_is_whole_or_refused(pose, scans, words):
    PerceptionTopics(depth_topics=("depth",), scan_topics=("",), sensor_pose=OPTICAL)
    with pytest.raises(ConfigError, match=words):
        PerceptionTopics(depth_topics=("depth",), scan_topics=scans, sensor_pose=pose)
