"""An episode as an MCAP of ROS 2 messages for rosbag2, Foxglove and `edge-worldmodel replay`; made without ROS."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_typestore

from edge_worldmodel.core.geometry import compose, quaternion_from_yaw, relative
from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.arena.outcome import Trace
from edge_worldmodel.evaluation.arena.scenario import EpisodeCase
from edge_worldmodel.recordings.mcap_file import McapFile
from edge_worldmodel.sim.mjcf import PERSON_HEIGHT_M
from edge_worldmodel.sim.robots import ScannerSpec
from edge_worldmodel.sim.shapes import Cylinder, Solid

_GREY, _BLUE = (0.6, 0.6, 0.6, 1.0), (0.2, 0.45, 0.85, 0.9)
_LATCHED_TOPICS = ("tf_static", "world", "goal_pose")
_LATCHED = "- history: 1\n  depth: 1\n  reliability: 1\n  durability: 1\n"


@lru_cache(maxsize=1)
def _store() -> Any:
    """Return the message definitions, made once: rosbags compiles each message at its first use."""
    return get_typestore(Stores.ROS2_JAZZY)


class _Messages:
    """Makes messages from the ROS 2 Jazzy definitions in rosbags."""

    def __init__(self) -> None:
        self.store = _store()

    def make(self, kind: str, **values: Any) -> Any:
        return self.store.types[kind.replace("/", "/msg/", 1)](**values)

    def definition(self, type_name: str) -> str:
        return str(self.store.generate_msgdef(type_name, ros_version=2)[0])

    def header(self, stamp_ns: int, frame: str) -> Any:
        seconds, nanoseconds = divmod(int(stamp_ns), 10**9)
        stamp = self.make("builtin_interfaces/Time", sec=seconds, nanosec=nanoseconds)
        return self.make("std_msgs/Header", stamp=stamp, frame_id=frame)

    def vector(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Any:
        return self.make("geometry_msgs/Vector3", x=float(x), y=float(y), z=float(z))

    def quaternion(self, yaw_rad: float) -> Any:
        x, y, z, w = (float(v) for v in quaternion_from_yaw(yaw_rad))
        return self.make("geometry_msgs/Quaternion", x=x, y=y, z=z, w=w)

    def pose(self, pose: Any, z_m: float = 0.0) -> Any:
        position = self.make("geometry_msgs/Point", x=float(pose[0]), y=float(pose[1]), z=z_m)
        return self.make("geometry_msgs/Pose", position=position, orientation=self.quaternion(float(pose[2])))

    def twist(self, twist: Any) -> Any:
        linear, angular = self.vector(twist[0], twist[1]), self.vector(z=twist[-1])
        return self.make("geometry_msgs/Twist", linear=linear, angular=angular)

    def transform(self, stamp_ns: int, parent: str, child: str, pose: Any, z_m: float = 0.0) -> Any:
        """Return a TransformStamped from a pose (3,) in its parent frame and a height ``z_m``."""
        transform = self.make(
            "geometry_msgs/Transform", translation=self.vector(pose[0], pose[1], z_m),
            rotation=self.quaternion(float(pose[2])),
        )  # fmt: skip
        header = self.header(stamp_ns, parent)
        return self.make("geometry_msgs/TransformStamped", header=header, child_frame_id=child, transform=transform)


def write_mcap(path: Path, trace: Trace, case: EpisodeCase) -> None:
    """Write the scans, odometry, transforms, commands, people and walls of an episode, and what the planner imagined.

    Frames: map (the world frame), odom (origin at the start), base_link, scan.

    Args:
        path: file to write.
        trace: the episode.
        case: its world, with the robot and its goal.

    Raises:
        OSError: the file cannot be written.
    """
    messages = _Messages()
    with McapFile(path, messages.definition) as file:
        send = _sender(file, messages)
        robot = case.drawn.world.robots[0]
        mount = robot.spec.scanners[0]
        begin_ns = int(trace.stamps_ns[0])
        place = (mount.mount_x_m, mount.mount_y_m, mount.mount_yaw_rad)
        fixed = [messages.transform(begin_ns, "base_link", "scan", place, mount.mount_height_m)]
        send("tf_static", begin_ns, "tf2_msgs/TFMessage", transforms=fixed)
        walls = [_solid(messages, begin_ns, i, solid) for i, solid in enumerate(case.drawn.world.solids)]
        send("world", begin_ns, "visualization_msgs/MarkerArray", markers=walls)
        goal = messages.pose(relative(np.array(robot.start), np.array(robot.goal)))
        send("goal_pose", begin_ns, "geometry_msgs/PoseStamped", header=messages.header(begin_ns, "odom"), pose=goal)
        radii = np.array([person.radius_m for person in case.drawn.world.people])
        for moment in range(len(trace.stamps_ns)):
            _send_moment(send, messages, trace, moment, mount, radii)


Send = Callable[..., None]


def _sender(file: McapFile, messages: _Messages) -> Send:
    def send(topic: str, stamp_ns: int, kind: str, **values: Any) -> None:
        """Write one message of a kind ("package/Name")."""
        name = kind.replace("/", "/msg/", 1)
        data = bytes(messages.store.serialize_cdr(messages.make(kind, **values), name))
        file.write(f"/{topic}", name, data, stamp_ns, _LATCHED if topic in _LATCHED_TOPICS else "")

    return send


def _send_moment(
    send: Send, messages: _Messages, trace: Trace, moment: int, mount: ScannerSpec, radii_m: Floats
) -> None:
    stamp_ns, odometry = int(trace.stamps_ns[moment]), trace.odometry[moment]
    # map to odom is chosen so that base_link has its true pose; it contains the error of the odometry.
    to_odom = compose(trace.poses[moment], relative(odometry, np.zeros(3)))
    moved = [
        messages.transform(stamp_ns, "map", "odom", to_odom),
        messages.transform(stamp_ns, "odom", "base_link", odometry),
    ]
    send("tf", stamp_ns, "tf2_msgs/TFMessage", transforms=moved)
    unknown = np.zeros(36)
    pose = messages.make("geometry_msgs/PoseWithCovariance", pose=messages.pose(odometry), covariance=unknown)
    twist = messages.twist(trace.twists[moment])
    twist = messages.make("geometry_msgs/TwistWithCovariance", twist=twist, covariance=unknown)
    header = messages.header(stamp_ns, "odom")
    send("odom", stamp_ns, "nav_msgs/Odometry", header=header, child_frame_id="base_link", pose=pose, twist=twist)
    command = trace.commands[moment]
    wanted = messages.twist((command[0], 0.0, command[1]))
    header = messages.header(stamp_ns, "base_link")
    send("cmd_vel", stamp_ns, "geometry_msgs/TwistStamped", header=header, twist=wanted)
    send(
        "scan", stamp_ns, "sensor_msgs/LaserScan", header=messages.header(stamp_ns, "scan"),
        angle_min=mount.angle_min_rad, angle_max=mount.angle_min_rad + mount.angle_increment_rad * (mount.beams - 1),
        angle_increment=mount.angle_increment_rad, time_increment=0.0, scan_time=0.1, range_min=mount.range_min_m,
        range_max=mount.range_max_m, ranges=trace.ranges[moment].astype(np.float32),
        intensities=np.zeros(0, np.float32),
    )  # fmt: skip
    people = [
        _cylinder(messages, stamp_ns, ("people", i, _BLUE), (*trace.people[moment, i], 0.0), radius_m, PERSON_HEIGHT_M)
        for i, radius_m in enumerate(radii_m)
        if math.isfinite(trace.people[moment, i, 0])
    ]
    if len(trace.imagined) and not np.isnan(trace.imagined_poses[moment]).any():
        _send_imagined(send, messages, trace, moment)
    gone = [_marker(messages, stamp_ns, ("people", 0, _BLUE), (0.0, 0.0, 0.0), 3, (1.0, 1.0, 1.0), action=3)]
    send("people", stamp_ns, "visualization_msgs/MarkerArray", markers=gone + people)


def _send_imagined(send: Send, messages: _Messages, trace: Trace, moment: int) -> None:
    """Send the imagined occupancy and the plan when they are new."""
    known_before = moment > 0 and not np.isnan(trace.imagined_poses[moment - 1]).any()
    if known_before and np.array_equal(trace.imagined[moment], trace.imagined[moment - 1]):
        return
    stamp_ns, cells, centre = int(trace.stamps_ns[moment]), trace.imagined[moment], trace.imagined_poses[moment]
    corner = compose(centre, np.array([-EGO_GRID.extent_m / 2, -EGO_GRID.extent_m / 2, 0.0]))
    info = messages.make(
        "nav_msgs/MapMetaData", map_load_time=messages.make("builtin_interfaces/Time", sec=0, nanosec=0),
        resolution=EGO_GRID.cell_size_m, width=cells.shape[1], height=cells.shape[0], origin=messages.pose(corner),
    )  # fmt: skip
    header, percent = messages.header(stamp_ns, "map"), np.rint(cells * (100.0 / 255.0)).astype(np.int8)
    send("imagined", stamp_ns, "nav_msgs/OccupancyGrid", header=header, info=info, data=percent.reshape(-1))
    poses = [
        messages.make("geometry_msgs/PoseStamped", header=header, pose=messages.pose((x, y, 0.0)))
        for x, y in trace.plans[moment].tolist()
    ]
    send("plan", stamp_ns, "nav_msgs/Path", header=header, poses=poses)


def _solid(messages: _Messages, stamp_ns: int, index: int, solid: Solid) -> Any:
    identity = ("world", index, _GREY)
    if isinstance(solid, Cylinder):
        return _cylinder(messages, stamp_ns, identity, (solid.x_m, solid.y_m, 0.0), solid.radius_m, solid.height_m)
    size = (solid.length_m, solid.width_m, solid.height_m)
    return _marker(messages, stamp_ns, identity, (solid.x_m, solid.y_m, solid.yaw_rad), 1, size)


def _cylinder(
    messages: _Messages, stamp_ns: int, identity: tuple[str, int, Any], pose: Any, radius_m: float, height_m: float
) -> Any:
    return _marker(messages, stamp_ns, identity, pose, 3, (2 * radius_m, 2 * radius_m, height_m))


def _marker(
    messages: _Messages,
    stamp_ns: int,
    identity: tuple[str, int, Any],
    pose: Any,
    shape: int,
    size: Any,
    action: int = 0,
) -> Any:
    namespace, number, colour = identity
    red, green, blue, alpha = colour
    return messages.make(
        "visualization_msgs/Marker", header=messages.header(stamp_ns, "map"), ns=namespace, id=number, type=shape,
        action=action, pose=messages.pose(pose, size[2] / 2), scale=messages.vector(*size),
        color=messages.make("std_msgs/ColorRGBA", r=red, g=green, b=blue, a=alpha),
        lifetime=messages.make("builtin_interfaces/Duration", sec=0, nanosec=0), frame_locked=False, points=[],
        colors=[], texture_resource="",
        texture=messages.make(
            "sensor_msgs/CompressedImage", header=messages.header(stamp_ns, ""), format="", data=np.zeros(0, np.uint8)
        ),
        uv_coordinates=[], text="", mesh_resource="",
        mesh_file=messages.make("visualization_msgs/MeshFile", filename="", data=np.zeros(0, np.uint8)),
        mesh_use_embedded_materials=False,
    )  # fmt: skip
