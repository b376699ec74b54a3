"""Verdict view node: shows the verdict of the supervisor as a text above the robot in rviz.

It is a process of its own, started with rviz, so that the supervisor need not draw.
"""

from __future__ import annotations

from dataclasses import dataclass

from rclpy.node import Node
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from edge_worldmodel import msg
from edge_worldmodel.core.config import Config, param
from edge_worldmodel.nodes.ros.health import Health
from edge_worldmodel.nodes.ros.managed_node import run
from edge_worldmodel.nodes.ros.parameters import declare
from edge_worldmodel.nodes.ros.polling import subscribe
from edge_worldmodel.nodes.ros.qos import LATEST

_GREEN, _YELLOW, _RED = ColorRGBA(g=0.9, r=0.2, a=1.0), ColorRGBA(r=1.0, g=0.8, a=1.0), ColorRGBA(r=1.0, g=0.2, a=1.0)
_COLOURS = {msg.Verdict.ACTIVE: _GREEN, msg.Verdict.LIMITING: _YELLOW, msg.Verdict.STARTING: _YELLOW}
_NAMES = {
    getattr(msg.Verdict, name): name
    for name in ("STARTING", "ACTIVE", "LIMITING", "STOPPING", "STOPPED", "HOLD", "LANDING", "LATCHED", "ESTOP")
}
_STRIDE = 5
"""Verdicts come at 50 Hz; showing 10 of them a second is enough."""


@dataclass(frozen=True)
class VerdictViewConfig(Config):
    """Size and position of the text."""

    text_height_m: float = param(0.35, "Height of capital letters.", minimum=0.01, maximum=5.0, read_only=True)
    above_m: float = param(1.5, "Height of the text above the robot.", minimum=0.0, maximum=10.0, read_only=True)


class VerdictViewNode(Node):
    """Publishes each change of the verdict, and every fifth verdict, as a text marker."""

    def __init__(self) -> None:
        super().__init__("verdict_view")
        self._config = declare(self, VerdictViewConfig)
        self._count = 0
        self._state: int | None = None
        self._markers = self.create_publisher(MarkerArray, "supervisor/markers", LATEST)
        self.health = Health(self)
        subscribe(self, msg.Verdict, "supervisor/verdict", self._on_verdict, LATEST, self.health.reject)

    def _on_verdict(self, verdict: msg.Verdict) -> None:
        self._count += 1
        if verdict.state != self._state or self._count % _STRIDE == 0:
            self._state = verdict.state
            self._markers.publish(MarkerArray(markers=[self.marker(verdict)]))

    def marker(self, verdict: msg.Verdict) -> Marker:
        """Return the text marker of a verdict: green while active, yellow when limiting or starting, else red."""
        text = f"{_NAMES.get(verdict.state, verdict.state)}\n{verdict.reason}".strip()
        marker = Marker(ns="verdict", type=Marker.TEXT_VIEW_FACING, action=Marker.ADD, text=text)
        # without a stamp rviz places the text by the newest transform
        marker.header.frame_id = verdict.header.frame_id or "base_link"
        marker.pose.position.z = self._config.above_m
        marker.pose.orientation.w = 1.0
        marker.scale.z = self._config.text_height_m
        marker.color = _COLOURS.get(verdict.state, _RED)
        return marker


def main() -> None:
    """Run the node."""
    run(VerdictViewNode)
