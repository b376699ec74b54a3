"""Records of a recording to the messages that the player publishes."""

from __future__ import annotations

import array

import numpy as np
from geometry_msgs.msg import PoseStamped, TransformStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import LaserScan, PointCloud2, PointField

from edge_worldmodel.core.types import Pose, Twist
from edge_worldmodel.nodes.ros.convert import pose_to_msg, stamp_to_msg, twist_to_msg
from edge_worldmodel.recordings.records import Cloud, Pose3D, Scan


def scan_to_msg(stamp_ns: int, scan: Scan) -> LaserScan:
    """Scan to LaserScan with the ranges as recorded, including NaN and inf."""
    message = LaserScan()
    message.header.stamp = stamp_to_msg(stamp_ns)
    message.header.frame_id = scan.frame_id
    message.angle_min = scan.angle_min_rad
    message.angle_increment = scan.angle_increment_rad
    message.angle_max = scan.angle_min_rad + scan.angle_increment_rad * max(len(scan.ranges_m) - 1, 0)
    message.range_min = scan.range_min_m
    message.range_max = scan.range_max_m
    ranges = array.array("f")
    ranges.frombytes(np.ascontiguousarray(scan.ranges_m, dtype=np.float32).tobytes())
    message.ranges = ranges
    return message


def cloud_to_msg(stamp_ns: int, cloud: Cloud) -> PointCloud2:
    """Cloud to PointCloud2 with the bytes as recorded."""
    message = PointCloud2(height=cloud.height, width=cloud.width, is_bigendian=cloud.is_bigendian)
    message.header.stamp = stamp_to_msg(stamp_ns)
    message.header.frame_id = cloud.frame_id
    message.fields = [
        PointField(name=field.name, offset=field.offset, datatype=field.datatype, count=field.count)
        for field in cloud.fields
    ]
    message.point_step, message.row_step = cloud.point_step, cloud.row_step
    message.is_dense = cloud.is_dense
    data = array.array("B")
    data.frombytes(cloud.data)
    message.data = data
    return message


def odometry_to_msg(stamp_ns: int, frame_id: str, child_frame_id: str, pose: Pose, twist: Twist) -> Odometry:
    """Planar pose and base twist to Odometry."""
    message = Odometry(child_frame_id=child_frame_id)
    message.header.stamp = stamp_to_msg(stamp_ns)
    message.header.frame_id = frame_id
    message.pose.pose = pose_to_msg(pose)
    message.twist.twist = twist_to_msg(twist)
    return message


def base_transform_to_msg(stamp_ns: int, frame_id: str, child_frame_id: str, pose: Pose) -> TransformStamped:
    """Planar pose to a transform."""
    message = TransformStamped(child_frame_id=child_frame_id)
    message.header.stamp = stamp_to_msg(stamp_ns)
    message.header.frame_id = frame_id
    planar = pose_to_msg(pose)
    message.transform.translation.x, message.transform.translation.y = planar.position.x, planar.position.y
    message.transform.rotation = planar.orientation
    return message


def mount_to_msg(stamp_ns: int, base_frame: str, sensor_frame: str, mount: Pose3D) -> TransformStamped:
    """Sensor pose in the base frame to a transform."""
    message = TransformStamped(child_frame_id=sensor_frame)
    message.header.stamp = stamp_to_msg(stamp_ns)
    message.header.frame_id = base_frame
    translation, rotation = message.transform.translation, message.transform.rotation
    translation.x, translation.y, translation.z = mount.translation
    rotation.x, rotation.y, rotation.z, rotation.w = mount.rotation
    return message


def goal_to_msg(stamp_ns: int, frame_id: str, goal: Pose) -> PoseStamped:
    """Planar goal pose to PoseStamped."""
    message = PoseStamped(pose=pose_to_msg(goal))
    message.header.stamp = stamp_to_msg(stamp_ns)
    message.header.frame_id = frame_id
    return message
