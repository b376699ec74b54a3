"""The supervisor commands a new plan at once; a repetition, or a flood, waits for the timer."""

from __future__ import annotations

import time

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from rclpy.serialization import serialize_message  # noqa: E402

from edge_worldmodel import msg  # noqa: E402
from edge_worldmodel.nodes.safety_supervisor.safety_supervisor_node import SafetySupervisorNode  # noqa: E402

from .supervised_graph import plan_msg  # noqa: E402

pytestmark = pytest.mark.live


@pytest.fixture
def node():
    """A supervisor that nobody spins."""
    rclpy.init(args=["--ros-args", "-p", "sensor_pose:=[0.0, 0.0, 0.0]"])
    node = SafetySupervisorNode()
    node._tick()
    yield node
    node.destroy_node()
    rclpy.try_shutdown()


def ticks_after(node, *plans):
    """Return how many ticks a few messages make that arrive together, a period after the last ones."""
    time.sleep(1.0 / node._config.rate_hz)
    subscription = next(s for s in node.subscriptions if s.msg_type is msg.Plan and hasattr(s.callback, "func"))
    before = node._report._ticks.figures()["ticks"]
    for plan in plans:
        subscription.callback(plan)
    return node._report._ticks.figures()["ticks"] - before


def test_a_new_plan_is_looked_at_once_and_a_repeated_one_is_not(node):
    first, second = (serialize_message(plan_msg(time.time_ns() + wait)) for wait in (0, 1))
    assert ticks_after(node, first) == 1
    assert ticks_after(node, first, first) == 0
    assert ticks_after(node, second) == 1


def test_a_damaged_plan_stops_between_two_ticks_and_a_flood_makes_no_more_ticks(node):
    plans = [serialize_message(plan_msg(time.time_ns() + number)) for number in range(50)]
    assert 1 <= ticks_after(node, *plans) <= 10
    plan = plan_msg(time.time_ns())
    plan.twists[0].linear.x = float("nan")
    assert ticks_after(node, serialize_message(plan)) == 1
    assert node._supervisor.inputs.plan.rejected.total() == 1


def test_bytes_that_are_no_plan_stop_between_two_ticks_and_end_nothing(node):
    assert ticks_after(node, b"\x00\x01\x00\x00rubbish") == 1
    assert node._supervisor.inputs.plan.rejected.total() == 1
    node._tick()


def test_a_tick_out_of_turn_is_no_jitter(node):
    ticks = node._report._ticks
    ticks_after(node, *(serialize_message(plan_msg(time.time_ns() + number)) for number in range(3)))
    assert ticks.figures()["tick_jitter_max_s"] == 0.0
