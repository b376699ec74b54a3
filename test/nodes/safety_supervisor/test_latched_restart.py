"""The latches of the supervisor's process: restarts, publishers of any reliability, several panels, a second driver."""

from __future__ import annotations

import signal
import time

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from geometry_msgs.msg import Twist  # noqa: E402
from std_msgs.msg import Bool  # noqa: E402
from std_srvs.srv import SetBool, Trigger  # noqa: E402

from edge_worldmodel.core.safety.states import PASSING, State  # noqa: E402
from edge_worldmodel.nodes.ros.qos import EVENTS, EVENTS_BEST_EFFORT  # noqa: E402

from ..conftest import running, stop, watched  # noqa: E402
from .supervised_graph import Source  # noqa: E402
from .test_safety_supervisor_node import NODE, STANDING_STILL, Watch  # noqa: E402

pytestmark = pytest.mark.live


def test_a_supervisor_killed_under_a_pressed_stop_starts_under_a_pressed_stop(probe):
    Source(probe.node)
    watch = Watch(probe)
    with running(NODE, **STANDING_STILL) as process:
        assert watch.drives()
        assert probe.call(SetBool, "supervisor/estop", SetBool.Request(data=True)).success
        stop(process, signal.SIGKILL)
    probe.spin(0.5)
    watch.verdicts.clear()
    watch.commands.clear()
    with running(NODE, **STANDING_STILL):
        assert watch.reaches({State.ESTOP})
        probe.spin(2.0)
        assert watch.state() is State.ESTOP
        assert not any(twist.linear.x for _, twist in watch.commands)
        assert not probe.call(Trigger, "supervisor/reset", Trigger.Request()).success
        assert probe.call(SetBool, "supervisor/estop", SetBool.Request(data=False)).success
        assert probe.call(Trigger, "supervisor/reset", Trigger.Request()).success
        assert watch.reaches(PASSING)
    watch.verdicts.clear()
    with running(NODE, **STANDING_STILL):
        assert watch.reaches(PASSING), "an ordinary end latches nothing"


@pytest.mark.parametrize("qos", [EVENTS, EVENTS_BEST_EFFORT], ids=["reliable", "best effort"])
def test_the_stop_is_heard_from_publishers_of_any_reliability(probe, qos):
    Source(probe.node)
    watch, button = Watch(probe), probe.node.create_publisher(Bool, "estop", qos)
    with running(NODE, **STANDING_STILL):
        assert watch.drives()
        button.publish(Bool(data=True))
        assert watch.reaches({State.ESTOP}, 1.0)
        button.publish(Bool(data=False))
        assert watch.reaches({State.LATCHED}, 1.0)
        assert probe.call(Trigger, "supervisor/reset", Trigger.Request()).success


def test_no_panel_releases_what_another_pressed(probe):
    Source(probe.node)
    watch = Watch(probe)
    first, second = (probe.node.create_publisher(Bool, "estop", EVENTS) for _ in range(2))
    other = probe.node.create_publisher(Bool, "other_estop", EVENTS)
    with running(NODE, estop_topics="[estop, other_estop]", **STANDING_STILL):
        assert watch.drives()
        first.publish(Bool(data=True))
        assert watch.reaches({State.ESTOP}, 1.0)
        second.publish(Bool(data=False))
        other.publish(Bool(data=False))
        assert probe.call(SetBool, "supervisor/estop", SetBool.Request(data=False)).success
        probe.spin(0.5)
        assert watch.state() is State.ESTOP
        probe.node.destroy_publisher(second)
        probe.spin(0.5)
        first.publish(Bool(data=False))
        assert watch.reaches({State.LATCHED}, 1.0)


def test_a_second_publisher_of_the_drive_topic_stops_within_half_a_second(probe):
    Source(probe.node)
    watch = Watch(probe)
    with running(NODE, **STANDING_STILL), watched():
        assert probe.wait(lambda: probe.node.count_publishers("cmd_vel") == 1, 10.0)
        assert watch.drives()
        since_s = time.monotonic()
        second = probe.node.create_publisher(Twist, "cmd_vel", 10)
        assert watch.stopped_after_s(since_s) <= 0.5
        assert "2 publishers" in watch.verdicts[-1][1].reason
        probe.node.destroy_publisher(second)
        assert watch.drives()
