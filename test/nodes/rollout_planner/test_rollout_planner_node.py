"""The planner sends its plan again only while frames arrive, and reports when they do not."""

from __future__ import annotations

import time

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from geometry_msgs.msg import PoseStamped  # noqa: E402
from nav_msgs.msg import Path  # noqa: E402

from edge_worldmodel import msg  # noqa: E402
from edge_worldmodel.core import tensors  # noqa: E402
from edge_worldmodel.core.types import LatentFrame  # noqa: E402
from edge_worldmodel.nodes.ros import convert  # noqa: E402
from edge_worldmodel.nodes.ros.qos import LATEST  # noqa: E402

from ..conftest import running  # noqa: E402

pytestmark = pytest.mark.live

NODE = "rollout_planner"
FRAME_TIMEOUT_S = 0.17
TRANSPORT_S = 0.1
"""On a crowded machine, and one heartbeat."""


class Frames:
    """Perception as the planner knows it, at 10 Hz while ``on``."""

    def __init__(self, node):
        self.on = True
        self.frame_id = "odom"
        self.last_s = 0.0
        self._publisher = node.create_publisher(msg.LatentFrame, "perception/latent", LATEST)
        self._sequence = 0
        node.create_timer(0.1, self._send)

    def _send(self):
        if self.on:
            self._sequence += 1
            self.last_s = time.monotonic()
            message = frame_msg(time.time_ns(), self._sequence)
            message.header.frame_id = self.frame_id
            self._publisher.publish(message)


def frame_msg(stamp_ns, sequence):
    context = np.zeros((1, tensors.CONTEXT_CHANNELS, tensors.LATENT_CELLS, tensors.LATENT_CELLS), np.float32)
    at_rest = np.zeros(3)
    frame = LatentFrame(stamp_ns, "odom", "base_link", at_rest, at_rest, context, 0.5, 0.1, "deterministic", sequence)
    return convert.latent_frame_to_msg(frame)


def status(diagnostics):
    return next(status for _, array in reversed(diagnostics) for status in array.status if status.name.startswith(NODE))


def test_without_frames_no_plan_is_sent_again_and_diagnostics_say_so(probe):
    frames, plans = Frames(probe.node), probe.listen(msg.Plan, "planner/plan", LATEST)
    diagnostics = probe.listen(DiagnosticArray, "/diagnostics")
    with running(NODE, backend="deterministic") as process:
        assert probe.wait(lambda: len(plans) > 10, 20.0)
        probe.spin(2.0)
        stamps = [(m.header.stamp.sec, m.header.stamp.nanosec) for _, m in plans]
        assert len(set(stamps)) < len(stamps), "a plan that is still valid is sent again"
        assert "LatentFrame" not in status(diagnostics).message

        frames.on = False
        probe.spin(1.0)
        assert plans[-1][1].valid_until == plans[-1][1].header.stamp, "the last word is a withdrawal"
        assert plans[-1][0] - frames.last_s >= FRAME_TIMEOUT_S - 0.02
        newest = plans[-2][1]
        validity_s = (convert.stamp_from_msg(newest.valid_until) - convert.stamp_from_msg(newest.header.stamp)) * 1e-9
        assert validity_s > 2 * (FRAME_TIMEOUT_S + TRANSPORT_S), "the plan ran out: that is no proof"
        assert plans[-1][0] - frames.last_s <= FRAME_TIMEOUT_S + TRANSPORT_S
        assert probe.wait(lambda: "LatentFrame" in status(diagnostics).message, 5.0)
        assert status(diagnostics).level != DiagnosticStatus.OK

        count, frames.on = len(plans), True
        assert probe.wait(lambda: len(plans) > count + 10, 5.0)
        assert probe.wait(lambda: "LatentFrame" not in status(diagnostics).message, 5.0)
        assert process.poll() is None


def test_frames_in_another_frame_are_refused_and_the_plan_is_taken_back(probe):
    frames, plans = Frames(probe.node), probe.listen(msg.Plan, "planner/plan", LATEST)
    with running(NODE, backend="deterministic"):
        assert probe.wait(lambda: len(plans) > 10, 20.0)
        frames.frame_id = "map"
        probe.spin(1.0)
        assert plans[-1][1].valid_until == plans[-1][1].header.stamp
        assert all(plan.header.frame_id == "odom" for _, plan in plans)
        count, frames.frame_id = len(plans), "odom"
        assert probe.wait(lambda: len(plans) > count + 5, 5.0)


def _figures(diagnostics):
    return {value.key: value.value for value in status(diagnostics).values}


def _path(points, frame_id="odom"):
    poses = [PoseStamped() for _ in points]
    for pose, (x, y) in zip(poses, points, strict=True):
        pose.pose.position.x, pose.pose.position.y, pose.pose.orientation.w = float(x), float(y), 1.0
    path = Path(poses=poses)
    path.header.frame_id = frame_id
    return path


def test_a_path_is_followed_a_broken_one_is_refused_and_an_empty_one_ends_it(probe):
    Frames(probe.node)
    plans = probe.listen(msg.Plan, "planner/plan", LATEST)
    diagnostics = probe.listen(DiagnosticArray, "/diagnostics")
    sender = probe.node.create_publisher(Path, "path", LATEST)

    def heads_left():
        return bool(plans) and plans[-1][1].maneuver != "hold" and plans[-1][1].poses[-1].position.y > 0.2

    with running(NODE, backend="deterministic"):
        assert probe.wait(lambda: len(plans) > 5 and plans[-1][1].maneuver == "hold", 20.0)
        sender.publish(_path([(0.0, 0.0), (0.5, 2.0), (0.0, 6.0)]))
        assert probe.wait(heads_left, 5.0)
        for broken in (_path([(0.0, np.nan)]), _path([(0.0, 1.0)], ""), _path([(0.0, -6.0)])):
            broken.poses[0].header.frame_id = "elsewhere" if broken.poses[0].pose.position.y < 0 else ""
            sender.publish(broken)
        probe.spin(1.0)
        assert heads_left(), "a path that cannot be used changes nothing"
        assert probe.wait(lambda: int(_figures(diagnostics)["rejected_inputs"]) >= 1, 3.0)
        sender.publish(_path([]))
        assert probe.wait(lambda: plans[-1][1].maneuver == "hold", 5.0)
