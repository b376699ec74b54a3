"""The node bounds the work of a tick: it refuses clouds that are too large, and a tick that takes too long stops."""

from __future__ import annotations

import time

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from rclpy.serialization import serialize_message  # noqa: E402
from sensor_msgs.msg import PointCloud2  # noqa: E402

from edge_worldmodel.core.safety.faults import FaultKind  # noqa: E402
from edge_worldmodel.core.safety.states import State  # noqa: E402
from edge_worldmodel.kernels import library  # noqa: E402
from edge_worldmodel.nodes.safety_supervisor import supervisor_inputs  # noqa: E402
from edge_worldmodel.nodes.safety_supervisor.safety_supervisor_node import SafetySupervisorNode  # noqa: E402

from .supervised_graph import scan_msg  # noqa: E402

pytestmark = pytest.mark.live


@pytest.fixture
def node():
    """A supervisor with a scanner and a cloud that nobody spins."""
    parameters = ("sensor_pose:=[0.0, 0.0, 0.0]", "cloud_topics:=[points]")
    rclpy.init(args=["--ros-args", *(word for parameter in parameters for word in ("-p", parameter))])
    node = SafetySupervisorNode()
    yield node
    node.destroy_node()
    rclpy.try_shutdown()


def arrive(node, message):
    """Do what EventsExecutor does with a message."""
    next(s for s in node.subscriptions if s.msg_type is type(message)).callback(serialize_message(message))


def test_a_cloud_over_the_limit_is_refused_in_words_before_any_work_on_it(node):
    arrive(node, PointCloud2(height=2, width=(1 << 17) + 1, point_step=12))
    node._tick()
    text = "sensor points: cloud of 262146 points: at most 262144 are taken; put a voxel filter before it"
    assert text in [fault.text for fault in node._supervisor.faults]


def test_of_the_scans_of_a_tick_the_newest_is_converted(node, monkeypatch):
    converted = []
    make = supervisor_inputs.sweep_from_scan_msg
    monkeypatch.setattr(supervisor_inputs, "sweep_from_scan_msg", lambda *args: converted.append(args) or make(*args))
    stamps_ns = [time.time_ns() + number for number in range(100)]
    for stamp_ns in stamps_ns:
        arrive(node, scan_msg(stamp_ns))
    node._tick()
    assert len(converted) == 1
    assert node._supervisor.inputs.sensors["scan"].value.stamp_ns == stamps_ns[-1]


def test_a_tick_over_its_budget_of_processor_time_commands_zero_and_says_so(node, monkeypatch):
    supervise, verdicts = node._supervisor.supervise, []

    def slow(now):
        until_s = time.thread_time() + 0.02
        while time.thread_time() < until_s:
            pass
        return supervise(now)

    monkeypatch.setattr(node._supervisor, "supervise", slow)
    monkeypatch.setattr(node._commands, "publish", verdicts.append)
    node._supervisor.state = State.ACTIVE
    node._tick()
    assert FaultKind.OVERRUN in [fault.kind for fault in node._supervisor.faults]
    assert not verdicts[-1].command.any() and "ms of processor time, the limit is 15 ms" in verdicts[-1].reason
    monkeypatch.undo()
    node._tick()
    assert FaultKind.OVERRUN not in [fault.kind for fault in node._supervisor.faults]


def test_diagnostics_say_whether_the_kernels_are_compiled(node):
    assert node.health.figures["kernels"] == library.load().text
