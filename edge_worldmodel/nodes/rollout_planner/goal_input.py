"""Where a person or a route planner wants the robot: one goal, or a path to follow; the newest of both counts."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path

from edge_worldmodel.core.errors import InputError
from edge_worldmodel.core.geometry import compose, relative
from edge_worldmodel.core.planner.guidance.route import Route
from edge_worldmodel.core.types import Floats
from edge_worldmodel.nodes.ros import convert
from edge_worldmodel.nodes.ros.frames import Frames
from edge_worldmodel.nodes.ros.health import guarded
from edge_worldmodel.nodes.ros.managed_node import ManagedNode
from edge_worldmodel.nodes.ros.qos import LATEST

_MOST_POSES = 100_000


class GoalInput:
    """Subscribes to goal_pose and path for as long as the node has it; keeps both in the frame they were given in."""

    def __init__(self, node: ManagedNode, frames: Frames, ahead_m: float = 4.0) -> None:
        self.health = node.health
        self.get_logger = node.get_logger
        node.open_subscription(PoseStamped, "goal_pose", self._on_goal, LATEST)
        node.open_subscription(Path, "path", self._on_path, LATEST)
        self._frames, self._ahead_m = frames, ahead_m
        self._odom_frame = node.common.odom_frame
        self._wanted: PoseStamped | Route | None = None
        self._frame_id = ""

    @guarded
    def _on_goal(self, message: PoseStamped) -> None:
        convert.pose_from_msg(message.pose)
        if not message.header.frame_id:
            raise InputError("goal_pose without a frame_id: set header.frame_id, for example 'odom'")
        self._wanted, self._frame_id = message, message.header.frame_id
        self.get_logger().info(
            f"goal ({message.pose.position.x:.2f}, {message.pose.position.y:.2f}) m in '{message.header.frame_id}'"
        )

    @guarded
    def _on_path(self, message: Path) -> None:
        frame_id = message.header.frame_id
        if not message.poses:
            self._wanted = None
            self.get_logger().info("an empty path: nothing to follow, the robot holds its position")
            return
        if not frame_id:
            raise InputError("path without a frame_id: set header.frame_id, for example 'map'")
        if len(message.poses) > _MOST_POSES:
            raise InputError(f"path of {len(message.poses)} poses: at most {_MOST_POSES} are taken")
        others = {pose.header.frame_id for pose in message.poses} - {frame_id, ""}
        if others:
            raise InputError(f"path in '{frame_id}' with poses in {sorted(others)}: one frame for all is expected")
        route = Route(np.stack([convert.pose_from_msg(pose.pose)[:2] for pose in message.poses]), self._ahead_m)
        self._wanted, self._frame_id = route, frame_id
        self.get_logger().info(f"path of {len(message.poses)} poses, {route.length_m:.1f} m, in '{frame_id}'")

    def in_odom(self, pose: Floats) -> Floats | None:
        """Return where to go now, (3,) in the odometry frame as tf sees it: a goal in `map` follows localisation.

        Args:
            pose: (3,) of the robot in the odometry frame; what it has come on a path is judged by it.

        Raises:
            InputError: tf does not know the frame of the goal.
        """
        if self._wanted is None:
            return None
        transform = self._frames.planar_transform(self._odom_frame, self._frame_id)
        if isinstance(self._wanted, Route):
            return compose(transform, np.append(self._wanted.goal(relative(transform, pose)[:2]), 0.0))
        return compose(transform, convert.pose_from_msg(self._wanted.pose))
