"""The planner's promises reach the supervisor's watch; subscribers and publishers that promise nothing still work."""

from __future__ import annotations

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from rclpy.experimental import EventsExecutor  # noqa: E402
from std_msgs.msg import Bool  # noqa: E402

from edge_worldmodel.nodes.ros.qos import LATEST, PROMISED, SENSOR  # noqa: E402
from edge_worldmodel.nodes.safety_supervisor.supervisor_inputs import QosWatch  # noqa: E402

pytestmark = pytest.mark.live


def test_a_missed_deadline_and_a_vanished_publisher_are_told(probe):
    told, heard = [], [probe.listen(Bool, "topic", qos) for qos in (LATEST, SENSOR, 10)]
    QosWatch(probe.node, Bool, "topic", told.append)
    publisher = probe.node.create_publisher(Bool, "topic", PROMISED)
    timer = probe.node.create_timer(0.03, lambda: publisher.publish(Bool()))
    assert probe.wait(lambda: len(heard[0]) > 10, 5.0), "a plain subscriber must match what the planner offers"
    told.clear()
    timer.cancel()
    assert probe.wait(lambda: "its deadline was missed" in told, 2.0)
    probe.node.destroy_publisher(publisher)
    assert probe.wait(lambda: "its publisher is gone" in told, 3.0)


def test_a_publisher_that_promises_nothing_is_heard_and_not_watched(probe):
    told, heard = [], probe.listen(Bool, "topic", LATEST)
    QosWatch(probe.node, Bool, "topic", told.append)
    publisher = probe.node.create_publisher(Bool, "topic", LATEST)
    timer = probe.node.create_timer(0.03, lambda: publisher.publish(Bool()))
    assert probe.wait(lambda: len(heard) > 5, 5.0)
    timer.cancel()
    probe.spin(0.5)
    assert told == []


def test_events_arrive_on_the_executor_that_the_nodes_run_on(probe):
    told = []
    QosWatch(probe.node, Bool, "topic", told.append)
    publisher = probe.node.create_publisher(Bool, "topic", PROMISED)
    executor = EventsExecutor()
    executor.add_node(probe.node)
    for _ in range(40):
        publisher.publish(Bool())
        executor.spin_once(0.01)
    for _ in range(200):
        executor.spin_once(0.02)
        if told:
            break
    assert told == ["its deadline was missed"] * len(told) and told
    executor.shutdown(timeout_sec=0.5)
