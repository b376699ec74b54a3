"""Topics of the simulated depth cameras: image, camera_info and the static tf of each camera."""

from __future__ import annotations

import array

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from tf2_ros import StaticTransformBroadcaster

from edge_worldmodel.nodes.ros import convert
from edge_worldmodel.nodes.ros.qos import SENSOR
from edge_worldmodel.nodes.sim.sim_topics import QUIET
from edge_worldmodel.sim.robots import DepthCameraSpec
from edge_worldmodel.sim.sensors.depth_camera import DepthImage, mount_quaternion
from edge_worldmodel.sim.simulation import Simulation


class DepthTopics:
    """Publishes `camera/depth/image_raw` (32FC1) and `camera/depth/camera_info`; further ones are camera_1, ..."""

    def __init__(self, node: Node, simulation: Simulation, base_frame: str) -> None:
        """Create the publishers and publish the camera poses."""
        specs = simulation.world.robots[0].spec.cameras
        names = ["camera" if i == 0 else f"camera_{i}" for i in range(len(specs))]
        self._images = [
            node.create_publisher(Image, f"{name}/depth/image_raw", SENSOR, event_callbacks=QUIET) for name in names
        ]
        self._infos = [
            node.create_publisher(CameraInfo, f"{name}/depth/camera_info", SENSOR, event_callbacks=QUIET)
            for name in names
        ]
        self._info_messages = [_camera_info(spec, f"{name}_optical") for spec, name in zip(specs, names, strict=True)]
        self._static = StaticTransformBroadcaster(node) if specs else None
        if self._static is not None:
            self._static.sendTransform(
                [
                    _mount(spec, base_frame, f"{name}_optical", simulation.stamp_ns)
                    for spec, name in zip(specs, names, strict=True)
                ]
            )

    def publish(self, index: int, image: DepthImage) -> None:
        """Publish one image of one camera, its camera_info first."""
        info = self._info_messages[index]
        info.header.stamp = convert.stamp_to_msg(image.stamp_ns)
        self._infos[index].publish(info)
        rows, columns = image.depth_m.shape
        message = Image(header=info.header, height=rows, width=columns, encoding="32FC1", step=4 * columns)
        data = array.array("B")
        data.frombytes(image.depth_m.astype("<f4").tobytes())
        message.data = data
        self._images[index].publish(message)


def _camera_info(spec: DepthCameraSpec, frame: str) -> CameraInfo:
    focal, cx, cy = spec.focal_px, spec.cx_px, spec.cy_px
    message = CameraInfo(height=spec.rows, width=spec.columns, distortion_model="plumb_bob")
    message.header.frame_id = frame
    message.d = [0.0] * 5
    message.k = [focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0]
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.p = [focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


def _mount(spec: DepthCameraSpec, base_frame: str, frame: str, stamp_ns: int) -> TransformStamped:
    place = spec.mount_x_m, spec.mount_y_m, spec.mount_height_m
    return convert.transform_to_msg(stamp_ns, base_frame, frame, place, mount_quaternion(spec))
