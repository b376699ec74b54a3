"""The goal that a person or a route sends, kept in the frame it was given in."""

from __future__ import annotations

from geometry_msgs.msg import PoseStamped

from edge_worldmodel.core.errors import InputError
from edge_worldmodel.core.geometry import compose
from edge_worldmodel.core.types import Floats
from edge_worldmodel.nodes import convert
from edge_worldmodel.nodes.frames import Frames
from edge_worldmodel.nodes.health import guarded
from edge_worldmodel.nodes.managed_node import ManagedNode
from edge_worldmodel.nodes.qos import LATEST


class GoalInput:
    """Subscribes to goal_pose for as long as the node has it."""

    def __init__(self, node: ManagedNode, frames: Frames) -> None:
        self.health = node.health
        self.get_logger = node.get_logger
        self.subscription = node.create_subscription(PoseStamped, "goal_pose", self._on_goal, LATEST)
        self._frames = frames
        self._odom_frame = node.common.odom_frame
        self._goal: PoseStamped | None = None

    @guarded
    def _on_goal(self, message: PoseStamped) -> None:
        convert.pose_from_msg(message.pose)
        if not message.header.frame_id:
            raise InputError("goal_pose without a frame_id: set header.frame_id, for example 'odom'")
        self._goal = message
        self.get_logger().info(
            f"goal ({message.pose.position.x:.2f}, {message.pose.position.y:.2f}) m in '{message.header.frame_id}'"
        )

    def in_odom(self) -> Floats | None:
        """Return the goal pose (3,) in the odometry frame as tf sees it now, so that one in `map` follows localisation.

        Raises:
            InputError: tf does not know the frame of the goal.
        """
        if self._goal is None:
            return None
        transform = self._frames.planar_transform(self._odom_frame, self._goal.header.frame_id)
        return compose(transform, convert.pose_from_msg(self._goal.pose))
