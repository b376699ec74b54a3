"""The real supervisor and watchdog measure the command timeout of a drive base."""

from __future__ import annotations

import time

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from geometry_msgs.msg import Twist  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from edge_worldmodel.nodes.ros.qos import LATEST  # noqa: E402

from ..conftest import running, watched  # noqa: E402
from .supervised_graph import Source  # noqa: E402
from .test_safety_supervisor_node import NODE  # noqa: E402

pytestmark = pytest.mark.live

MEASURE = "supervisor/measure_base_timeout"


class DriveBase:
    """Follows ``cmd_vel`` until it has heard nothing for ``timeout_s``, and sends its odometry."""

    def __init__(self, probe, timeout_s):
        self.probe, self.timeout_s = probe, timeout_s
        self.heard = probe.listen(Twist, "cmd_vel", LATEST)
        self.said = probe.listen(String, "watchdog/state", LATEST)
        self.diagnostics = probe.listen(DiagnosticArray, "/diagnostics", 10)
        before = set(probe.node.timers)
        source = Source(probe.node)
        self.timers = set(probe.node.timers) - before
        source.send["plan"], source.speed_mps = None, self.speed_mps

    def fall_silent(self):
        for timer in self.timers:
            timer.cancel()

    def speed_mps(self):
        told_s, twist = self.heard[-1] if self.heard else (0.0, Twist())
        goes_on = self.timeout_s is None or time.monotonic() - told_s <= self.timeout_s
        return twist.linear.x if goes_on else 0.0

    def measure(self):
        """Ask, confirm, and return the words of /diagnostics about the base once they are there."""
        answers = [self.probe.call(Trigger, MEASURE, Trigger.Request()) for _ in range(2)]
        assert [answer.success for answer in answers] == [False, True], [answer.message for answer in answers]
        since = len(self.diagnostics)

        def words():
            statuses = [status for _, array in self.diagnostics[since:] for status in array.status]
            return [
                status.message for status in statuses if "silence" in status.message or "drive base" in status.message
            ]

        found = lambda: any("stops 0" in text or "Not measured" in text for text in words())  # noqa: E731
        assert self.probe.wait(found, 15.0), words()
        return words()[-1]


def measure(probe):
    """Return what is said of a base with a timeout of 0.5 s, measured by a graph of its own."""
    base = DriveBase(probe, timeout_s=0.5)
    # Other programs of this machine must not hold up supervisor and watchdog; this process has no priority.
    first = {"realtime_priority": 50}
    patient = {"odometry_timeout_s": 1.0, "sensor_timeouts_s": "[1.0]"}
    with running(NODE, sensor_pose="[0.0, 0.0, 0.0]", drive_base_timeout_s=0.2, **first, **patient), watched(**first):
        ready = lambda: bool(base.heard) and probe.node.count_publishers("supervisor/verdict") > 0  # noqa: E731
        assert probe.wait(ready, 20.0)
        probe.spin(1.0)
        words = base.measure()
        assert any(text.data.startswith("silent") for _, text in base.said) or "Not measured" in words
        assert max(twist.linear.x for _, twist in base.heard) <= 0.09
        assert probe.wait(lambda: base.speed_mps() == 0.0, 1.0)
    base.fall_silent()
    return words


def test_the_timeout_of_the_base_is_measured(probe):
    # On a crowded machine the watchdog may be late and send zeros; then it says so, and a person would ask again.
    words = next((text for text in (measure(probe) for _ in range(3)) if "Not measured" not in text), "never measured")
    assert "drive_base_timeout_s is 0.2: correct one of the two" in words
