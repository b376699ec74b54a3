"""The supervisor's process obeys the emergency stop topic and the optional signals of operator and vehicle."""

from __future__ import annotations

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from sensor_msgs.msg import BatteryState  # noqa: E402
from std_msgs.msg import Bool, Empty  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from edge_worldmodel.core.safety.states import State  # noqa: E402

from ..conftest import running  # noqa: E402
from .supervised_graph import Source  # noqa: E402
from .test_safety_supervisor_node import NODE, STANDING_STILL, Watch  # noqa: E402

pytestmark = pytest.mark.live


def test_a_short_press_on_the_topic_stops_until_a_person_resets(probe):
    Source(probe.node)
    watch, button = Watch(probe), probe.node.create_publisher(Bool, "estop", 10)
    with running(NODE, **STANDING_STILL):
        assert watch.drives()
        button.publish(Bool(data=True))
        button.publish(Bool(data=False))
        assert watch.reaches({State.ESTOP, State.LATCHED}, 1.0)
        probe.spin(0.5)
        assert watch.state() is State.LATCHED
        assert probe.call(Trigger, "supervisor/reset", Trigger.Request()).success
        assert watch.drives()


def test_signals_that_are_asked_for_are_waited_for_and_obeyed(probe):
    heard = probe.listen(DiagnosticArray, "/diagnostics")
    Source(probe.node)
    watch, sent = Watch(probe), {"deadman": True, "battery": 0.8, "heartbeat": True}
    deadman = probe.node.create_publisher(Bool, "supervisor/deadman", 10)
    battery = probe.node.create_publisher(BatteryState, "battery_state", 10)
    heartbeat = probe.node.create_publisher(Empty, "operator_heartbeat", 10)

    def send():
        deadman.publish(Bool(data=sent["deadman"]))
        battery.publish(BatteryState(percentage=sent["battery"]))
        if sent["heartbeat"]:
            heartbeat.publish(Empty())

    with running(NODE, deadman=True, operator_link=True, battery_min=0.2, **STANDING_STILL):
        assert watch.reaches({State.STARTING})
        probe.spin(1.0)
        assert watch.state() is State.STARTING
        probe.node.create_timer(0.05, send)
        assert watch.drives()
        for name, bad, states in (
            ("deadman", False, {State.STOPPING, State.STOPPED}),
            ("heartbeat", False, {State.STOPPING, State.STOPPED}),
            ("battery", 0.1, {State.LATCHED}),
        ):
            good, sent[name] = sent[name], bad
            assert watch.reaches(states, 3.0), name
            sent[name] = good
            if name != "battery":
                assert watch.drives(), name
    texts = [value.value for _, array in heard for status in array.status for value in status.values]
    assert "estop_heartbeat, geofence" in texts  # the only ones not watched
