"""Verdict view node: shows the supervisor's verdict as a text over the robot in rviz.

A process of its own, started with rviz: drawing has no place in the safety path.
"""

from __future__ import annotations

from dataclasses import dataclass

from rclpy.node import Node
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from edge_worldmodel import msg
from edge_worldmodel.core.config import Config, param
from edge_worldmodel.nodes.ros.managed_node import run
from edge_worldmodel.nodes.ros.parameters import declare
from edge_worldmodel.nodes.ros.qos import LATEST

_GREEN, _YELLOW, _RED = ColorRGBA(g=0.9, r=0.2, a=1.0), ColorRGBA(r=1.0, g=0.8, a=1.0), ColorRGBA(r=1.0, g=0.2, a=1.0)
_COLOURS = {msg.Verdict.ACTIVE: _GREEN, msg.Verdict.LIMITING: _YELLOW, msg.Verdict.STARTING: _YELLOW}
_NAMES = {
    getattr(msg.Verdict, name): name
    for name in ("STARTING", "ACTIVE", "LIMITING", "STOPPING", "STOPPED", "HOLD", "LANDING", "LATCHED", "ESTOP")
}
_EVERY = 5
"""The supervisor speaks at 50 Hz, nobody reads faster than at 10."""


@dataclass(frozen=True)
class VerdictViewConfig(Config):
    """How the text looks."""

    text_height_m: float = param(0.35, "Height of a capital letter.", minimum=0.01, maximum=5.0, read_only=True)
    above_m: float = param(1.5, "Height of the text over the robot.", minimum=0.0, maximum=10.0, read_only=True)


class VerdictViewNode(Node):
    """Verdict in, text marker out."""

    def __init__(self) -> None:
        super().__init__("verdict_view")
        self._config = declare(self, VerdictViewConfig)
        self._count = 0
        self._state: int | None = None
        self._markers = self.create_publisher(MarkerArray, "supervisor/markers", LATEST)
        self.create_subscription(msg.Verdict, "supervisor/verdict", self._on_verdict, LATEST)

    def _on_verdict(self, verdict: msg.Verdict) -> None:
        self._count += 1
        if verdict.state != self._state or self._count % _EVERY == 0:
            self._state = verdict.state
            self._markers.publish(MarkerArray(markers=[self.marker(verdict)]))

    def marker(self, verdict: msg.Verdict) -> Marker:
        """Return the text for a verdict, green while it lets the robot drive, red where it does not."""
        text = f"{_NAMES.get(verdict.state, verdict.state)}\n{verdict.reason}".strip()
        marker = Marker(ns="verdict", type=Marker.TEXT_VIEW_FACING, action=Marker.ADD, text=text)
        # no stamp: at the robot's newest place, whatever tf knows by now
        marker.header.frame_id = verdict.header.frame_id or "base_link"
        marker.pose.position.z = self._config.above_m
        marker.pose.orientation.w = 1.0
        marker.scale.z = self._config.text_height_m
        marker.color = _COLOURS.get(verdict.state, _RED)
        return marker


def main() -> None:
    """Run the node."""
    run(VerdictViewNode)
