"""The goal of the robot: a goal pose or a path to follow, whichever came last."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path

from edge_worldmodel.core.errors import InputError
from edge_worldmodel.core.geometry import compose, relative
from edge_worldmodel.core.planner.guidance.path_progress import PathProgress
from edge_worldmodel.core.types import Pose
from edge_worldmodel.nodes.ros import convert
from edge_worldmodel.nodes.ros.frames import Frames
from edge_worldmodel.nodes.ros.health import guarded
from edge_worldmodel.nodes.ros.managed_node import ManagedNode
from edge_worldmodel.nodes.ros.qos import LATEST

_MAX_POSES = 100_000
_LONGEST_TEXT = 200


class GoalInput:
    """Subscribes to goal_pose and path, and keeps the newest in the frame it was given in."""

    def __init__(self, node: ManagedNode, frames: Frames, ahead_m: float = 4.0) -> None:
        self.health = node.health
        self.get_logger = node.get_logger
        node.open_subscription(PoseStamped, "goal_pose", self._on_goal, LATEST)
        node.open_subscription(Path, "path", self._on_path, LATEST)
        self._frames, self._ahead_m = frames, ahead_m
        self._odom_frame = node.common.odom_frame
        self._wanted: PoseStamped | PathProgress | None = None
        self._frame_id = ""

    @guarded
    def _on_goal(self, message: PoseStamped) -> None:
        convert.pose_from_msg(message.pose)
        if not message.header.frame_id:
            raise InputError("goal_pose without a frame_id: set header.frame_id, for example 'odom'")
        x, y = message.pose.position.x, message.pose.position.y
        self._follow(message, message.header.frame_id, f"goal ({x:.2f}, {y:.2f}) m in '{message.header.frame_id}'")

    @guarded
    def _on_path(self, message: Path) -> None:
        frame_id = message.header.frame_id
        if not message.poses:
            self._follow(None, "", "empty path: the robot holds its position")
            return
        if not frame_id:
            raise InputError("path without a frame_id: set header.frame_id, for example 'map'")
        if len(message.poses) > _MAX_POSES:
            raise InputError(f"path of {len(message.poses)} poses: at most {_MAX_POSES} are accepted")
        others = {pose.header.frame_id for pose in message.poses} - {frame_id, ""}
        if others:
            raise InputError(f"path in '{frame_id}' with poses in {sorted(others)}: expected one frame for all poses")
        path = PathProgress(np.stack([convert.pose_from_msg(pose.pose)[:2] for pose in message.poses]), self._ahead_m)
        self._follow(path, frame_id, f"path of {len(message.poses)} poses, {path.length_m:.1f} m, in '{frame_id}'")

    def _follow(self, wanted: PoseStamped | PathProgress | None, frame_id: str, text: str) -> None:
        self._wanted, self._frame_id = wanted, frame_id
        self.health.figures.update(goal=text[:_LONGEST_TEXT], goals=self.health.figures.get("goals", 0) + 1)
        self.get_logger().info(text[:_LONGEST_TEXT])

    def in_odom(self, pose: Pose) -> Pose | None:
        """Return the present goal (3,) in the odometry frame, None without one.

        It is transformed anew each time, so that a goal in ``map`` follows the localisation.

        Args:
            pose: (3,) of the robot in the odometry frame, from which the progress on a path follows.

        Raises:
            InputError: tf does not know the frame of the goal.
        """
        if self._wanted is None:
            return None
        transform = self._frames.planar_transform(self._odom_frame, self._frame_id)
        if isinstance(self._wanted, PathProgress):
            return compose(transform, np.append(self._wanted.goal(relative(transform, pose)[:2]), 0.0))
        return compose(transform, convert.pose_from_msg(self._wanted.pose))
