"""No message that the recorder reads for its figures or its picture ends it, holds it up or is lost."""

from __future__ import annotations

import time
import warnings

import pytest
from hypothesis import given

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue  # noqa: E402
from geometry_msgs.msg import PoseStamped  # noqa: E402
from nav_msgs.msg import OccupancyGrid  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402
from std_msgs.msg import Bool, String  # noqa: E402
from tf2_msgs.msg import TFMessage  # noqa: E402
from visualization_msgs.msg import Marker, MarkerArray  # noqa: E402

from edge_worldmodel import msg  # noqa: E402
from edge_worldmodel.core.time_units import NS_PER_S  # noqa: E402

from ..fuzzed_node import LONGEST_S, storm_settings  # noqa: E402
from ..fuzzing import arrivals  # noqa: E402
from ..good_messages import GOOD, header  # noqa: E402
from ..safety_supervisor.supervised_graph import odom_msg, plan_msg, scan_msg  # noqa: E402
from ..words import library_words  # noqa: E402

READ_BY_RECORDER = {
    "/scan": scan_msg,
    "/odom": odom_msg,
    "/planner/plan": GOOD[msg.Plan],
    "/perception/grid": GOOD[OccupancyGrid],
    "/planner/imagined_occupancy": GOOD[OccupancyGrid],
    "/planner/rollouts": lambda ns: msg.RolloutSet(header=header(ns), rollouts=[msg.Rollout(poses=plan_msg(ns).poses)]),
    "/supervisor/verdict": GOOD[msg.Verdict],
    "/watchdog/state": GOOD[String],
    "/sim/contact": GOOD[Bool],
    "/sim/people": lambda ns: MarkerArray(markers=[Marker(header=header(ns))]),
    "/goal_pose": GOOD[PoseStamped],
    "/diagnostics": lambda ns: DiagnosticArray(
        status=[DiagnosticStatus(values=[KeyValue(key="rejected_x", value="3")])]
    ),
    "/tf_static": GOOD[TFMessage],
}


MOMENT = ("/planner/rollouts", "/perception/grid", "/planner/imagined_occupancy", "/supervisor/verdict")


def name_of(make):
    """Return the name of the type of message that a function makes."""
    kind = type(make(0))
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"


@pytest.mark.parametrize("topic", READ_BY_RECORDER)
def test_recorder(logged, tmp_path, topic):
    from edge_worldmodel.nodes.recording.recorder_node import RecorderNode

    rclpy.init(args=["--ros-args", "--log-level", "fatal", "-p", f"output_dir:={tmp_path}"])
    node, make = RecorderNode(), READ_BY_RECORDER[topic]
    now_ns = 1_800_000_000 * NS_PER_S

    @storm_settings()
    @given(data=arrivals(lambda: make(now_ns)))
    def case(data):
        for other in MOMENT:  # with these it makes a picture of the moment
            node._receive(
                other, name_of(READ_BY_RECORDER[other]), serialize_message(READ_BY_RECORDER[other](now_ns)), now_ns
            )
        written, begin_s = node._file.messages, time.thread_time()
        node._receive(topic, name_of(make), data, now_ns)
        took_s = time.thread_time() - begin_s
        node._moments.examine()  # a task of its own, which may take longer
        assert took_s < LONGEST_S
        assert node._file.messages == written + 1

    node._clocks.update(now_ns, now_ns)
    for other, good in READ_BY_RECORDER.items():  # it reads the definition of a type when that comes first
        node._receive(other, name_of(good), serialize_message(good(now_ns)), now_ns)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            case()
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    assert not {text[:300] for text in logged if library_words(text)}
