"""What the planner says about the rate of its frames."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

import rclpy  # noqa: E402

from edge_worldmodel.nodes.rollout_planner.planning_report import PlanningReport  # noqa: E402
from edge_worldmodel.nodes.ros.health import Health  # noqa: E402


@pytest.fixture
def health():
    rclpy.init()
    node = rclpy.create_node("reporting")
    yield Health(node)
    node.destroy_node()
    rclpy.try_shutdown()


def test_frames_of_a_slow_sensor_are_told_from_late_ones(health):
    report, told = PlanningReport(health), []
    health.problem = lambda key, text, level: told.append(text)
    for gap_s in (float("inf"), 0.3, 0.1, 0.3, 0.3, 0.1):
        report.frame(gap_s, 0.17)
    assert not told
    for _ in range(5):
        report.frame(0.2, 0.17)
    assert len(told) == 1 and "frames come every 0.20 s, and frame_timeout_s is 0.17 s" in told[0]
