"""No message, on any subscription of any node, ends it, hangs it or stays uncounted; good input works again after.

The callbacks are called as the executor would, with messages that went through serialisation. More cases:
EDGE_WORLDMODEL_FUZZ_CASES, other ones: EDGE_WORLDMODEL_FUZZ_SEED.
"""

from __future__ import annotations

import math
import os
import time
import warnings

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from geometry_msgs.msg import PoseStamped, TransformStamped, Twist  # noqa: E402
from nav_msgs.msg import OccupancyGrid, Odometry  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402
from sensor_msgs.msg import BatteryState, CameraInfo, Image, LaserScan, PointCloud2  # noqa: E402
from sensor_msgs_py import point_cloud2  # noqa: E402
from std_msgs.msg import Bool, Empty, Header  # noqa: E402
from tf2_msgs.msg import TFMessage  # noqa: E402

from edge_worldmodel import msg  # noqa: E402
from edge_worldmodel.core import tensors  # noqa: E402
from edge_worldmodel.core.errors import EdgeWorldModelError  # noqa: E402
from edge_worldmodel.core.safety.states import PASSING  # noqa: E402
from edge_worldmodel.core.types import LatentFrame, WarmStart  # noqa: E402
from edge_worldmodel.nodes.ros import convert  # noqa: E402
from edge_worldmodel.nodes.ros.convert_sensors import occupancy_to_msg  # noqa: E402
from edge_worldmodel.nodes.ros.rclpy_internals import EventsOnly  # noqa: E402

from .fuzzing import anything, spoiled, with_every_float  # noqa: E402
from .safety_supervisor.supervised_graph import odom_msg, plan_msg, scan_msg  # noqa: E402

CASES = int(os.environ.get("EDGE_WORLDMODEL_FUZZ_CASES", "300"))
"""Messages per subscription."""
SEED = int(os.environ.get("EDGE_WORLDMODEL_FUZZ_SEED", "1"))
LONGEST_S = 2.0
"""A callback that takes longer holds the node up (a generous limit, for crowded machines)."""


def header(stamp_ns, frame_id="laser"):
    return Header(stamp=convert.stamp_to_msg(stamp_ns), frame_id=frame_id)


def cloud_msg(stamp_ns):
    bearing = np.linspace(-math.pi, math.pi, 200)
    wall = np.stack((4 * np.cos(bearing), 4 * np.sin(bearing), np.full(200, 0.5)), axis=-1).astype(np.float32)
    return point_cloud2.create_cloud_xyz32(header(stamp_ns), wall)


def depth_msg(stamp_ns):
    image = Image(header=header(stamp_ns, "camera"), height=12, width=16, step=32, encoding="16UC1")
    image.data.frombytes(np.full((12, 16), 2000, np.uint16).tobytes())
    return image


def latent_msg(stamp_ns, shape=(1, tensors.CONTEXT_CHANNELS, 16, 16)):
    pose, tensor = np.zeros(3), np.zeros(shape, np.float32)
    frame = LatentFrame(stamp_ns, "odom", "base_link", pose, pose, tensor, 0.5, 0.1, "deterministic", 7)
    return convert.latent_frame_to_msg(frame)


def warm_start_msg(stamp_ns):
    latents = np.zeros((4, tensors.LATENT_CHANNELS, 16, 16), np.float32)
    return convert.warm_start_to_msg(WarmStart(stamp_ns, 7, True, "", "deterministic", 0.1, 0.9, 0.5, latents), "odom")


def grid_msg(stamp_ns):
    return occupancy_to_msg(np.full((64, 64), 0.1), np.ones((64, 64), bool), np.zeros(3), stamp_ns, "odom")


def tf_msg(stamp_ns):
    transform = TransformStamped(header=header(stamp_ns, "base_link"), child_frame_id="laser")
    transform.transform.rotation.w = 1.0
    return TFMessage(transforms=[transform])


GOOD = {
    LaserScan: scan_msg,
    PointCloud2: cloud_msg,
    Image: depth_msg,
    CameraInfo: lambda ns: CameraInfo(header=header(ns, "camera"), k=[20.0, 0, 8, 0, 20, 6, 0, 0, 1]),
    Odometry: odom_msg,
    OccupancyGrid: grid_msg,
    PoseStamped: lambda ns: PoseStamped(header=header(ns, "odom")),
    Twist: lambda ns: Twist(),
    TFMessage: tf_msg,
    msg.Plan: plan_msg,
    msg.LatentFrame: latent_msg,
    msg.WarmStart: warm_start_msg,
    Bool: lambda ns: Bool(data=True),
    Empty: lambda ns: Empty(),
    BatteryState: lambda ns: BatteryState(percentage=0.8),
}
HARMLESS = (TFMessage, Bool, Empty)
"""Kinds whose rubbish needs no count of ours: no numbers, or dropped by tf2 with its own report."""
FIXED = {"sensor_pose": "[0.0, 0.0, 0.0]"}
MODEL = {"backend": "deterministic", "autostart": "false"}


def deliver(node, subscription, message):
    """Do what an executor does with a message, and then what the supervisor's tick does."""
    subscription.callback(serialize_message(message) if subscription.raw else message)
    if hasattr(node, "_inputs"):
        node._inputs.take_all()


class Fuzzed:
    """One node in this process, whose rejections are kept with their exceptions."""

    def __init__(self, make, parameters):
        settings = [item for name, value in parameters.items() for item in ("-p", f"{name}:={value}")]
        rclpy.init(args=["--ros-args", "--log-level", "fatal", *settings])
        self.node = make()
        if hasattr(self.node, "trigger_configure"):
            self.node.trigger_configure()
            self.node.trigger_activate()
        self.errors = []
        health = getattr(self.node, "health", None) or self.node._health
        reject = health.reject
        health.reject = lambda error: (self.errors.append(error), reject(error))
        self.health = health

    def subscriptions(self):
        """Those whose messages the node reads; one that only watches quality of service never sees any."""
        reads = lambda s: s.msg_type in GOOD and not isinstance(s.callback_group, EventsOnly)  # noqa: E731
        return list(filter(reads, self.node.subscriptions))

    def send(self, kind, make, count=1):
        """Send a message that ``make`` builds from a stamp to every subscription of its kind."""
        for subscription in self.subscriptions():
            if subscription.msg_type is kind:
                for _ in range(count):
                    deliver(self.node, subscription, make(time.time_ns()))

    def storm(self):
        """Send every subscription its share of hostile messages."""
        slowest = {}
        for index, subscription in enumerate(self.subscriptions()):
            rng = np.random.default_rng([SEED, index])
            for case in range(CASES):
                kind = subscription.msg_type
                good = GOOD[kind](time.time_ns())
                message = anything(kind, rng) if case % 5 == 0 else spoiled(good, rng)
                self.prepare(kind)
                begin_s = time.process_time()
                try:
                    deliver(self.node, subscription, message)
                except Exception as error:
                    raise AssertionError(f"{subscription.topic_name}, case {case}: {message}"[:3000]) from error
                took_s = time.process_time() - begin_s
                slowest[subscription.topic_name] = max(took_s, slowest.get(subscription.topic_name, 0.0))
        assert max(slowest.values()) < LONGEST_S, slowest

    def prepare(self, kind):
        """Bring the node to where it listens: a warm start is looked at only when a frame waits for it."""
        if kind is msg.WarmStart:
            self.send(msg.LatentFrame, latent_msg)

    def close(self):
        if hasattr(self.node, "teardown"):
            self.node.teardown()
        self.node.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture
def fuzzed():
    """Make one node; closed at the end."""
    made = []

    def make(kind, **parameters):
        made.append(Fuzzed(kind, parameters))
        return made[-1]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield make
    for node in made:
        node.close()


def survives(fuzzed):
    """Storm it; every rejection has to be one that the node foresaw, and rubbish on each topic is counted."""
    fuzzed.storm()
    surprises = {type(error).__name__: error for error in fuzzed.errors if not isinstance(error, EdgeWorldModelError)}
    if surprises:
        raise AssertionError(f"defects, not rejections: {surprises}") from next(iter(surprises.values()))
    assert fuzzed.errors or {s.msg_type for s in fuzzed.subscriptions()} <= set(HARMLESS)
    for subscription in fuzzed.subscriptions():
        fuzzed.prepare(subscription.msg_type)
        before = _counted(fuzzed)
        deliver(fuzzed.node, subscription, with_every_float(GOOD[subscription.msg_type](time.time_ns()), math.nan))
        counted = _counted(fuzzed) - before
        assert counted or subscription.msg_type in (*HARMLESS, *UNNUMBERED), subscription.topic_name


UNNUMBERED = (OccupancyGrid, PointCloud2, Image, PoseStamped)
"""No floats of their own to spoil, or (a goal) judged later."""


def _counted(fuzzed):
    supervisor = getattr(fuzzed.node, "_supervisor", None)
    intakes = []
    if supervisor is not None:
        intakes = [
            supervisor.inputs.plan,
            supervisor.inputs.odometry,
            *supervisor.inputs.sensors.values(),
            *supervisor.guards.intakes,
        ]
    return len(fuzzed.errors) + sum(intake.rejected.total() for intake in intakes)


def test_perception(fuzzed):
    from edge_worldmodel.nodes.perception.perception_node import PerceptionNode

    node = fuzzed(PerceptionNode, cloud_topics="[points]", **FIXED, **MODEL)
    survives(node)
    frames = node.node._sequence
    for _ in range(30):
        node.send(Odometry, odom_msg)
        node.send(LaserScan, scan_msg)
        time.sleep(0.02)
    assert node.node._sequence > frames, node.errors[-1]


def test_perception_of_depth_images(fuzzed):
    from edge_worldmodel.nodes.perception.perception_node import PerceptionNode

    optical = {"sensor_pose": "[0.0, 0.0, 0.5, -1.5708, 0.0, -1.5708]"}
    node = fuzzed(PerceptionNode, scan_topics="['']", depth_topics="[depth]", **optical, **MODEL)
    survives(node)
    frames = node.node._sequence
    for _ in range(30):
        node.send(Odometry, odom_msg)
        node.send(CameraInfo, GOOD[CameraInfo])
        node.send(Image, depth_msg)
        time.sleep(0.02)
    assert node.node._sequence > frames, node.errors[-1]


def test_perception_by_pose_and_tf(fuzzed):
    from edge_worldmodel.nodes.perception.perception_node import PerceptionNode

    node = fuzzed(PerceptionNode, ego_motion="pose", **MODEL)
    survives(node)
    node.send(TFMessage, tf_msg)


def test_latent_cache(fuzzed):
    from edge_worldmodel.nodes.latent_cache.latent_cache_node import LatentCacheNode

    node = fuzzed(LatentCacheNode, autostart="false")
    survives(node)
    node.health.figures.clear()
    node.send(msg.LatentFrame, latent_msg)
    assert "last_answer" in node.health.figures, node.errors[-1]


def test_rollout_planner(fuzzed):
    from edge_worldmodel.nodes.rollout_planner.rollout_planner_node import RolloutPlannerNode

    node = fuzzed(RolloutPlannerNode, **MODEL)
    survives(node)
    node.health.figures.clear()
    deadline_s = time.monotonic() + 20.0
    while "plans" not in node.health.figures and time.monotonic() < deadline_s:
        node.send(PoseStamped, GOOD[PoseStamped])
        node.send(msg.LatentFrame, latent_msg)
        node.send(msg.WarmStart, warm_start_msg)
        time.sleep(0.5)
    assert "plans" in node.health.figures, node.errors[-1]


def test_safety_supervisor(fuzzed):
    from edge_worldmodel.nodes.safety_supervisor.safety_supervisor_node import SafetySupervisorNode

    everything = {"deadman": True, "operator_link": True, "battery_min": 0.2, "cloud_topics": "[points]"}
    node = fuzzed(SafetySupervisorNode, **everything, **FIXED)  # hostile tf may bend the tree of frames for good
    supervisor = node.node._supervisor
    survives(node)
    node.node._tick()
    for source in set(supervisor.guards.estop.sources):
        supervisor.press_estop(False, source)
    deadline_s = time.monotonic() + 20.0
    while supervisor.state not in PASSING and time.monotonic() < deadline_s:
        node.node._inputs.read_clocks()
        now = node.node._inputs.now
        supervisor.reset(now)
        for kind, make in GOOD.items():
            if (kind, make) != (Bool, GOOD[Bool]):
                node.send(kind, make)
        supervisor.guards.receive_deadman(True, now)
        node.node._tick()
        time.sleep(0.01)
    assert supervisor.state in PASSING, supervisor.faults


def test_sim(fuzzed):
    from edge_worldmodel.nodes.sim.sim_node import SimNode

    node = fuzzed(SimNode)
    survives(node)
    node.send(Twist, lambda ns: Twist())
    before_ns = node.node._simulation.stamp_ns
    time.sleep(0.1)
    node.node._tick()
    assert node.node._simulation.stamp_ns > before_ns
    assert np.isfinite(node.node._simulation.pose()).all()
