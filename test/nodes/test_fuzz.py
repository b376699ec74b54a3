"""No message on any subscription ends a node, holds it up or is taken silently; good input works again after.

Bytes are given to the real callbacks of real nodes, as the executor gives them; then a tick is made where the node has
one. The long form is EDGE_WORLDMODEL_CASES=10000, for each subscription.
"""

from __future__ import annotations

import math
import sys
import time
import warnings
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from geometry_msgs.msg import PoseStamped, Twist, TwistStamped  # noqa: E402
from nav_msgs.msg import Odometry  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image, LaserScan  # noqa: E402
from tf2_msgs.msg import TFMessage  # noqa: E402

from edge_worldmodel import msg  # noqa: E402
from edge_worldmodel.core.safety.states import PASSING  # noqa: E402

from .fuzzed_node import LONGEST_TEXT, SUBSCRIPTIONS, CountingDict, Fuzzed, Supervised  # noqa: E402
from .fuzzing import with_every_float  # noqa: E402
from .good_messages import GOOD, NO_FLOATS, latent_msg, tf_msg  # noqa: E402
from .words import library_words  # noqa: E402

NODES = Path(__file__).resolve().parents[2] / "edge_worldmodel" / "nodes"
WITHOUT_ROW = {
    "player": "has no subscription",
    "recorder": "subscribes to what it finds; test_fuzz_recorder.py gives it what it reads",
    "fault_relay": "the tool that spoils messages itself; no robot runs it",
}
FIXED = {"sensor_pose": "[0.0, 0.0, 0.0]"}
MODEL = {"backend": "deterministic", "autostart": "false"}


@pytest.fixture
def fuzzed(logged):
    """Make one node; closed at the end. Warnings of numpy are errors, and no text has a library's words."""
    with ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        made = []

        def make(kind, row, **parameters):
            made.append(Fuzzed(kind, row, parameters))
            stack.callback(made[-1].close)
            return made[-1]

        yield make
        texts = {text for text in logged if not text.startswith("Traceback")}  # of a defect, which fails its test
        for node in made:
            texts |= {*node.health.reasons.values(), *(text for _, text in node.health._problems.values())}
        assert not {text[:300] for text in texts if library_words(text)}
        assert max(map(len, texts), default=0) <= LONGEST_TEXT


def survives(node, topics=()):
    """Storm it on these topics, or all; then NaN in every number of each message has to be refused, or left out."""
    node.storm(topics or node.row)
    for subscription in node.subscriptions():
        if subscription.msg_type in NO_FLOATS:
            continue
        node.before(subscription.topic_name)
        message = with_every_float(GOOD[subscription.msg_type](time.time_ns()), math.nan)
        account = node.account()[1:]
        subscription.callback(serialize_message(message))
        node.after(subscription.topic_name)
        assert node.account()[1:] != account, subscription.topic_name


def test_every_node_has_a_row():
    nodes = {path.name.removesuffix("_node.py") for path in NODES.rglob("*_node.py")} - {"managed"}
    assert nodes == {row.split()[0] for row in SUBSCRIPTIONS} | WITHOUT_ROW.keys()


def perception(fuzzed, row, **parameters):
    """Return a perception node; before each hostile message it gets good ones of its other inputs."""
    from edge_worldmodel.nodes.perception.perception_node import PerceptionNode

    node = fuzzed(PerceptionNode, row, **parameters, **MODEL)
    node.watch(node.node._perception, "add_sweep", "add_pose", "add_imagined")
    node.watch_frames(node.node._frames)
    node.node._calibrations = CountingDict()
    node.observed.append(lambda: node.node._calibrations.sets)
    node.before = lambda topic: node.send(*({Odometry, CameraInfo} - {node.row[topic]}))
    return node


def works_again(node, *kinds):
    """Check that frames come again after good messages."""
    frames, deadline_s = node.node._sequence, time.monotonic() + 20.0
    while node.node._sequence == frames and time.monotonic() < deadline_s:
        node.send(*kinds)
        time.sleep(0.02)
    assert node.node._sequence > frames, node.health.reasons


def test_perception(fuzzed):
    node = perception(fuzzed, "perception", cloud_topics="[points]", **FIXED)
    survives(node)
    works_again(node, Odometry, LaserScan)


def test_perception_of_depth_images(fuzzed):
    topics = {"scan_topics": "['']", "depth_topics": "[depth, camera/depth/compressedDepth]"}
    node = perception(fuzzed, "perception of depth", **topics)
    mount = tf_msg(0)
    mount.transforms[0].child_frame_id = "camera"
    q = mount.transforms[0].transform.rotation
    q.x, q.y, q.z, q.w = -0.5, 0.5, -0.5, 0.5
    node.send(TFMessage, make=lambda ns: mount)
    survives(node)
    works_again(node, Odometry, CameraInfo, Image)


def test_perception_by_pose_and_tf(fuzzed):
    node = perception(fuzzed, "perception by pose", ego_motion="pose")
    node.before = lambda topic: node.send(*({TFMessage, PoseStamped} - {node.row[topic]}))
    survives(node)


def test_latent_cache(fuzzed):
    from edge_worldmodel.nodes.latent_cache.latent_cache_node import LatentCacheNode

    node = fuzzed(LatentCacheNode, "latent_cache", autostart="false")
    node.watch(node.node._publisher, "publish")
    node.watch(node.node._cache, "remember")
    frames = next(s for s in node.subscriptions() if s.topic_name == "/perception/latent")
    node.before = lambda topic: (
        topic == "/planner/solution" and frames.callback(serialize_message(latent_msg(time.time_ns())))
    )
    survives(node)
    node.health.figures.clear()
    node.send(msg.LatentFrame)
    assert "last_answer" in node.health.figures, node.health.reasons


def test_rollout_planner(fuzzed):
    from edge_worldmodel.nodes.rollout_planner.rollout_planner_node import RolloutPlannerNode

    node = fuzzed(RolloutPlannerNode, "rollout_planner", **MODEL)
    node.watch(node.node._frame_timeout, "reset")
    node.watch(node.node._worker, "submit")
    node.watch_frames(node.node._frames)
    node.observed.append(lambda: node.health.figures.get("goals", 0))
    node.before = lambda topic: topic == "/latent_cache/warm_start" and node.send(msg.LatentFrame)
    survives(node)
    node.health.figures.clear()
    deadline_s = time.monotonic() + 20.0
    while "plans" not in node.health.figures and time.monotonic() < deadline_s:
        node.send(PoseStamped, msg.LatentFrame, msg.WarmStart)
        time.sleep(0.5)
    assert "plans" in node.health.figures, node.health.reasons


def supervise(fuzzed, monkeypatch, row, topics=(), **parameters):
    """Storm a supervisor with all its signals; in the end it drives."""
    from edge_worldmodel.nodes.safety_supervisor.safety_supervisor_node import SafetySupervisorNode

    everything = {"deadman": True, "operator_link": True, "battery_min": 0.2, "cloud_topics": "[points]"}
    # Hostile transforms may bend the tree of frames for good, so the poses of the sensors are fixed.
    node = fuzzed(SafetySupervisorNode, row, **everything, **FIXED, **parameters)
    supervised = Supervised(node, monkeypatch)
    survives(node, topics)
    most = supervised.reasons.most_common(5)
    assert supervised.states[True] > 0.8 * supervised.states.total(), f"most messages find it driving: {most}"
    supervised.drive()
    assert supervised.supervisor.state in PASSING, supervised.supervisor.faults


def test_safety_supervisor(fuzzed, monkeypatch):
    supervise(fuzzed, monkeypatch, "safety_supervisor")


def test_safety_supervisor_of_an_autopilot(fuzzed, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "safety_supervisor" / "stand_in"))
    output = {"output": "mavros", "mav_frame": "BODY_NED"}
    supervise(fuzzed, monkeypatch, "safety_supervisor of an autopilot", ["/mavros/state"], **output)
    sys.modules.pop("mavros_msgs.msg", None)


@pytest.mark.parametrize(("row", "stamped"), [("sim", False), ("sim with stamps", True)])
def test_sim(fuzzed, row, stamped):
    from edge_worldmodel.nodes.sim.sim_node import SimNode

    node = fuzzed(SimNode, row, enable_stamped_cmd_vel=stamped)
    node.watch(node.node._simulation, "command")
    node.after = lambda topic: node.node._tick()
    survives(node)
    node.send(TwistStamped if stamped else Twist)
    before_ns = node.node._simulation.stamp_ns
    time.sleep(0.1)
    node.node._tick()
    assert node.node._simulation.stamp_ns > before_ns
    assert np.isfinite(node.node._simulation.pose()).all()


def test_verdict_view(fuzzed):
    from edge_worldmodel.nodes.verdict_view.verdict_view_node import VerdictViewNode

    node = fuzzed(VerdictViewNode, "verdict_view")
    node.observed.append(lambda: node.node._count)
    survives(node)
