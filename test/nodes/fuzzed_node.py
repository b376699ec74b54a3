"""One real node in this process that gets hostile messages, and what must hold after each of them."""

from __future__ import annotations

import functools
import gc
import os
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from diagnostic_msgs.msg import KeyValue  # noqa: E402
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped  # noqa: E402
from nav_msgs.msg import OccupancyGrid, Odometry  # noqa: E402
from nav_msgs.msg import Path as PathMessage  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402
from sensor_msgs.msg import BatteryState, CameraInfo, CompressedImage, Image, LaserScan, PointCloud2  # noqa: E402
from std_msgs.msg import Bool, Empty, String  # noqa: E402
from tf2_msgs.msg import TFMessage  # noqa: E402

from edge_worldmodel import msg  # noqa: E402
from edge_worldmodel.core.errors import EdgeWorldModelError  # noqa: E402
from edge_worldmodel.core.safety.states import PASSING  # noqa: E402
from edge_worldmodel.nodes.ros.rclpy_internals import EventsOnly  # noqa: E402

from .fuzzing import arrivals  # noqa: E402
from .good_messages import GOOD, Robot  # noqa: E402
from .words import library_words  # noqa: E402

CASES = int(os.environ.get("EDGE_WORLDMODEL_CASES", "20"))
"""Messages for each subscription."""
LONGEST_S = 0.06
"""Processor time of a callback with its tick."""
LONGEST_TEXT = 1000


TF = {"/tf": TFMessage, "/tf_static": TFMessage}
SUPERVISED = {
    **TF,
    "/planner/plan": msg.Plan,
    "/odom": Odometry,
    "/scan": LaserScan,
    "/points": PointCloud2,
    "/planner/imagined_occupancy": OccupancyGrid,
    "/estop": Bool,
    "/supervisor/deadman": Bool,
    "/operator_heartbeat": Empty,
    "/battery_state": BatteryState,
    "/watchdog/state": String,
}
SUBSCRIPTIONS = {
    "perception": {
        **TF,
        "/scan": LaserScan,
        "/points": PointCloud2,
        "/odom": Odometry,
        "/planner/imagined_occupancy": OccupancyGrid,
    },
    "perception of depth": {
        **TF,
        "/depth": Image,
        "/camera_info": CameraInfo,
        "/camera/depth/compressedDepth": CompressedImage,
        "/camera/camera_info": CameraInfo,
        "/odom": Odometry,
        "/planner/imagined_occupancy": OccupancyGrid,
    },
    "perception by pose": {
        **TF,
        "/scan": LaserScan,
        "/pose": PoseStamped,
        "/planner/imagined_occupancy": OccupancyGrid,
    },
    "latent_cache": {"/perception/latent": msg.LatentFrame, "/planner/solution": msg.LatentFrame},
    "rollout_planner": {
        **TF,
        "/goal_pose": PoseStamped,
        "/path": PathMessage,
        "/perception/latent": msg.LatentFrame,
        "/latent_cache/warm_start": msg.WarmStart,
    },
    "safety_supervisor": SUPERVISED,
    "safety_supervisor of an autopilot": {**SUPERVISED, "/mavros/state": KeyValue},
    "sim": {"/cmd_vel": Twist},
    "sim with stamps": {"/cmd_vel": TwistStamped},
    "verdict_view": {"/supervisor/verdict": msg.Verdict},
}
"""Every subscription of every node; a new one fails its test until it has a row here, and with that is fuzzed."""


def storm_settings():
    """Return the settings of a test that gives a node messages; the short form is the same in every run."""
    return settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        derandomize="EDGE_WORLDMODEL_CASES" not in os.environ,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


class CountingDict(dict):
    """Counts how often something is set."""

    sets = 0

    def __setitem__(self, key, value):
        self.sets += 1
        super().__setitem__(key, value)


class Fuzzed:
    """One node in this process. ``watch`` names the calls into the core that mean: this message was used."""

    def __init__(self, make, row, parameters):
        settings_ = [item for name, value in parameters.items() for item in ("-p", f"{name}:={value}")]
        rclpy.init(args=["--ros-args", "--log-level", "fatal", *settings_])
        self.node, self.row = make(), SUBSCRIPTIONS[row]
        if hasattr(self.node, "trigger_configure"):
            self.node.trigger_configure()
            self.node.trigger_activate()
        self.health = getattr(self.node, "health", None) or self.node._health
        self.used, self.observed, self.errors, self.logged = Counter(), [], [], 0
        self.before = self.after = lambda topic: None
        reject = self.health.log_rejection
        self.health.log_rejection = lambda kind, error, count: (self.note(error), reject(kind, error, count))

    def note(self, error):
        """Keep the errors of the present case."""
        self.errors.append(error)
        self.logged += 1

    def watch(self, owner, *names):
        """Count the calls of methods that return; they are called all the same."""
        for name in names:
            method = getattr(owner, name)

            def counted(*args, _name=name, _method=method, **kwargs):
                result = _method(*args, **kwargs)
                self.used[_name] += 1
                return result

            setattr(owner, name, counted)

    def watch_frames(self, frames):
        """Count what goes into a tree of transforms, and readings that wait for one."""
        self.watch(frames._tf, "_on_tf")
        self.observed.append(lambda: sorted((sensor, stamp_ns) for sensor, (stamp_ns, _) in frames._waiting.items()))

    def subscriptions(self):
        """Those whose messages the node reads; one that only watches quality of service never sees any."""
        return [s for s in self.node.subscriptions if not isinstance(s.callback_group, EventsOnly)]

    def send(self, *kinds, make=None):
        """Send a good message to every subscription of these kinds."""
        for kind in kinds:
            for subscription in self.subscriptions():
                if subscription.msg_type is kind:
                    subscription.callback(serialize_message((make or GOOD[kind])(time.time_ns())))
        self.after("")

    def account(self):
        """Return everything that changes when a message is used, refused or left out."""
        supervisor = getattr(self.node, "_supervisor", None)
        intakes = []
        if supervisor is not None:
            inputs = supervisor.inputs
            intakes = [inputs.plan, inputs.odometry, *inputs.sensors.values(), *supervisor.guards.intakes]
        counted = self.logged, self.health.rejected.total(), self.health.noted.total()
        refused = sum(intake.rejected.total() for intake in intakes)
        return self.used.total(), *counted, refused, *(observe() for observe in self.observed)

    def storm(self, topics):
        """Send the subscriptions of these topics their share of hostile messages."""
        named = {s.topic_name: s.msg_type for s in self.subscriptions()}
        assert named == self.row, f"SUBSCRIPTIONS lacks {named.items() ^ self.row.items()}"
        for subscription in self.subscriptions():
            topic, kind = subscription.topic_name, subscription.msg_type
            if topic not in topics:
                continue
            strategy = arrivals(functools.partial(lambda make: make(time.time_ns()), GOOD[kind]))

            @storm_settings()
            @given(data=strategy)
            def case(data):
                self.case(subscription, topic, data)  # noqa: B023

            case()

    def case(self, subscription, topic, data):
        """Give a node one hostile message and check what it does."""
        self.before(topic)
        # To collect the garbage of all cases so far would take longer than what is measured.
        gc.disable()
        account, begin_s = self.account(), time.thread_time()
        subscription.callback(data)
        self.after(topic)
        took_s = time.thread_time() - begin_s
        gc.enable()
        assert took_s < LONGEST_S, f"{topic}: {1e3 * took_s:.0f} ms for {data[:200]!r}"
        assert self.account() != account, f"{topic}: taken silently: {data[:300]!r}"
        for error in self.errors:
            if not isinstance(error, EdgeWorldModelError):
                raise AssertionError(f"{topic}: a defect, no rejection: {data[:300]!r}") from error
        self.errors.clear()

    def close(self):
        if hasattr(self.node, "teardown"):
            self.node.teardown()
        self.node.destroy_node()
        rclpy.try_shutdown()


class Supervised:
    """A supervisor that is brought to drive before each hostile message, and ticks after it."""

    def __init__(self, node, monkeypatch):
        self.node, self.robot, self.verdict = node, Robot(), None
        self.supervisor, self.inputs = node.node._supervisor, node.node._inputs
        inputs, guards = self.supervisor.inputs, self.supervisor.guards
        node.watch(inputs, "receive_plan", "receive_sweep", "receive_odometry")
        node.watch(inputs.imagined, "receive")
        node.watch(
            guards, "receive_panel", "receive_deadman", "receive_heartbeat", "receive_battery", "receive_autopilot"
        )
        node.watch_frames(self.inputs._frames)
        publish, ahead_ns, monotonic_ns = node.node._commands.publish, [0], time.monotonic_ns
        node.node._commands.publish = lambda verdict: (setattr(self, "verdict", verdict), publish(verdict))
        # The steady clock is put forward by the time that the supervisor waits before it drives again.
        monkeypatch.setattr(time, "monotonic_ns", lambda: monotonic_ns() + ahead_ns[0])
        self.ahead_ns, self.states, self.reasons = ahead_ns, Counter(), Counter()
        node.observed.append(lambda: id(node.node._base_timeout._watchdog))
        self.callbacks = {s.topic_name: s.callback for s in node.subscriptions()}
        node.before, node.after = lambda topic: self.drive(), self.tick

    def drive(self):
        """Send good messages until it drives, as after a pause."""
        for source in set(self.supervisor.guards.estop.sources):
            self.supervisor.press_estop(False, source)
        self.inputs.read_clocks()
        self.supervisor.reset(self.inputs.now)
        self.good()
        self.ahead_ns[0] += 250_000_000
        self.good()
        self.states[self.supervisor.state in PASSING] += 1
        self.reasons[self.verdict.reason] += 1

    def good(self):
        now_ns = time.time_ns()
        robot = {"/odom": self.robot.odometry, "/scan": self.robot.scan, "/points": self.robot.cloud}
        robot["/planner/plan"] = self.robot.plan
        # A new plan makes it tick at once, so it comes last.
        for topic, kind in sorted(self.node.row.items(), key=lambda item: item[0] == "/planner/plan"):
            if topic not in ("/tf", "/tf_static", "/estop", "/planner/imagined_occupancy"):
                self.callbacks[topic](serialize_message(robot.get(topic, GOOD[kind])(now_ns)))
        self.tick()

    def tick(self, _=""):
        """Tick, and check the command and its reason."""
        self.node.node._tick()
        config, verdict = self.supervisor.config, self.verdict
        vx, vy, rate = self.robot.command = verdict.command
        assert np.isfinite([*verdict.command, verdict.climb_mps]).all()
        assert -config.max_reverse_mps <= vx <= config.max_forward_mps and abs(vy) <= config.max_lateral_mps
        assert abs(rate) <= config.max_yaw_rate_radps
        assert not library_words(verdict.reason), verdict.reason
        assert len(verdict.reason) <= LONGEST_TEXT
