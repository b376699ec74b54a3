"""A task that polls its subscriptions gets the newest message of a topic, or each one where none may be lost."""

from __future__ import annotations

import time

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from std_msgs.msg import Int32  # noqa: E402

from edge_worldmodel.nodes.ros.polling import Polled  # noqa: E402
from edge_worldmodel.nodes.ros.qos import EVENTS, SENSOR  # noqa: E402


class Inbox:
    """A node that publishes to itself and polls."""

    def __init__(self):
        self.node = rclpy.create_node("inbox")
        self.polled = Polled(self.node, lambda topic, error: self.unreadable.append(topic), lambda: None)
        self.publishers, self.heard, self.arrivals, self.unreadable = {}, {}, [], []

    def subscribe(self, topic, qos, **options):
        heard = self.heard[topic] = []
        take = lambda message: heard.append((message.data, self.polled.received_ns))  # noqa: E731
        self.polled.subscribe(Int32, topic, take, qos, on_arrival=lambda: self.arrivals.append(topic), **options)
        self.publishers[topic] = self.node.create_publisher(Int32, topic, qos)

    def publish(self, topic, *values):
        for value in values:
            self.publishers[topic].publish(Int32(data=value))

    def until(self, condition):
        deadline_s = time.monotonic() + 5.0
        while not condition() and time.monotonic() < deadline_s:
            self.polled.take_all()
            time.sleep(0.01)
        assert condition(), self.heard

    def values(self, topic):
        return [value for value, _ in self.heard[topic]]

    def arrive(self, topic, data):
        """Do what EventsExecutor does with a message."""
        next(s for s in self.node.subscriptions if s.topic_name == f"/{topic}").callback(data)


@pytest.fixture
def inbox():
    rclpy.init()
    inbox = Inbox()
    inbox.subscribe("newest", SENSOR)
    inbox.subscribe("each", EVENTS, every=True)
    # Until both connections stand.
    for topic in ("newest", "each"):
        inbox.until(lambda topic=topic: inbox.publish(topic, 0) or inbox.heard[topic])
    time.sleep(0.1)
    inbox.polled.take_all()
    for heard in inbox.heard.values():
        heard.clear()
    yield inbox
    inbox.node.destroy_node()
    rclpy.try_shutdown()


def test_of_the_messages_that_wait_the_newest_is_handed_over(inbox):
    inbox.publish("newest", 1, 2, 3, 4, 5)
    time.sleep(0.2)
    inbox.polled.take_all()
    assert inbox.values("newest") == [5]


def test_where_none_may_be_lost_each_is_handed_over_in_order(inbox):
    inbox.publish("each", 1, 2, 3)
    inbox.until(lambda: len(inbox.heard["each"]) >= 3)
    assert inbox.values("each") == [1, 2, 3]


def test_a_message_that_an_executor_brings_waits_for_the_task_unless_none_may_be_lost(inbox):
    one, two = (rclpy.serialization.serialize_message(Int32(data=value)) for value in (1, 2))
    before_ns = time.monotonic_ns()
    for data in (one, two):
        inbox.arrive("newest", data)
        inbox.arrive("each", data)
    arrived_ns = time.monotonic_ns()
    assert inbox.values("each") == [1, 2] and not inbox.heard["newest"] and inbox.arrivals == ["newest", "newest"]
    inbox.polled.take_all()
    inbox.polled.take_all()
    [(value, received_ns)] = inbox.heard["newest"]
    assert value == 2 and before_ns <= received_ns <= arrived_ns, "its age counts from when it arrived"


def test_bytes_that_are_no_message_are_reported_with_their_topic(inbox):
    inbox.arrive("newest", b"\x00")
    inbox.arrive("each", b"\x00")
    inbox.polled.take_all()
    assert sorted(inbox.unreadable) == ["/each", "/newest"]
