"""Fault relay node: forwards the messages between the nodes of a graph, injects faults on request, and records effects.

The nodes publish each topic of ROUTES as ``raw/<topic>`` (remapped by launch/faults.launch.py); the relay forwards the
serialised messages to ``<topic>``. One program at a time controls it over a Unix socket with JSON lines, each answered
by one line. All times are ns of the steady clock of this process, which sees both faults and effects.
"""

from __future__ import annotations

import json
import signal
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped, Twist
from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import LaserScan
from std_msgs.msg import Bool

from edge_worldmodel import msg
from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.nodes.faults.disturbances import Disturbances
from edge_worldmodel.nodes.faults.spoilers import Spoiler, make_spoiler
from edge_worldmodel.nodes.ros.convert import goal_to_msg, pose_from_msg
from edge_worldmodel.nodes.ros.parameters import declare
from edge_worldmodel.nodes.ros.qos import LATCHED, LATEST, SENSOR
from edge_worldmodel.nodes.ros.rclpy_internals import RCLError, take

ROUTES: dict[str, tuple[type, QoSProfile]] = {
    "scan": (LaserScan, SENSOR),
    "odom": (Odometry, SENSOR),
    "clock": (Clock, LATEST),
    "planner/plan": (msg.Plan, LATEST),
    "planner/solution": (msg.LatentFrame, LATEST),
    "perception/latent": (msg.LatentFrame, LATEST),
    "latent_cache/warm_start": (msg.WarmStart, LATEST),
    "planner/imagined_occupancy": (OccupancyGrid, LATCHED),
}
_TWIST = struct.Struct("<6d")
_POLL_PERIOD_S = 0.001
COMMANDS = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
"""A deep queue, so that no command is lost while this process waits for a processor."""


@dataclass(frozen=True)
class FaultRelayConfig(Config):
    """Parameters of the relay."""

    control: str = param("", "Path of the Unix socket that takes requests.", read_only=True)


class Route:
    """One topic that passes through the relay."""

    def __init__(self, node: Node, topic: str, kind: type, qos: QoSProfile) -> None:
        self._kind = kind
        self._spoiler: Spoiler | None = None
        self._generation = 0
        self.newest = b""
        self.last_good_ns = self.first_bad_ns = self.first_good_ns = 0
        self.publisher = node.create_publisher(kind, f"/{topic}" if topic == "clock" else topic, qos)
        self.subscription = node.create_subscription(kind, f"raw/{topic}", self._forward, qos, raw=True)

    def spoil(self, how: str, settings: dict[str, Any]) -> None:
        """Inject a fault into every message from now on."""
        self.first_bad_ns = 0
        self._spoiler = make_spoiler(how, self._kind, self.newest, settings)

    def mend(self) -> None:
        """Forward messages unchanged again; messages that are still delayed are dropped."""
        self._generation += 1
        self._spoiler, self.first_good_ns = None, 0

    def times(self) -> dict[str, int]:
        """Return when the last good, the first faulty and the first good message after it were sent; 0: not yet."""
        return {
            "last_good_ns": self.last_good_ns,
            "first_bad_ns": self.first_bad_ns,
            "first_good_ns": self.first_good_ns,
        }

    def _forward(self, data: bytes, _: dict[str, int]) -> None:
        spoiler, self.newest = self._spoiler, data
        if spoiler is None:
            self.publisher.publish(data)
            self.last_good_ns = time.monotonic_ns()
            self.first_good_ns = self.first_good_ns or self.last_good_ns
            return
        for delay_s, spoiled in spoiler(data):
            if delay_s:
                later = threading.Timer(delay_s, self._publish_late, (spoiled, self._generation))
                later.daemon = True
                later.start()
                continue
            self.publisher.publish(spoiled)
            if spoiled is not data:
                self.first_bad_ns = self.first_bad_ns or time.monotonic_ns()

    def _publish_late(self, data: bytes, generation: int) -> None:
        if generation == self._generation:
            self.publisher.publish(data)
            self.first_bad_ns = self.first_bad_ns or time.monotonic_ns()


class FaultRelayNode(Node):
    """Forwards messages, injects faults, records commands and verdicts, and publishes goals."""

    def __init__(self) -> None:
        super().__init__("fault_relay")
        config = declare(self, FaultRelayConfig)
        if not config.control:
            raise ConfigError("parameter 'control' is empty: give the path of a Unix socket")
        self._routes = {topic: Route(self, topic, kind, qos) for topic, (kind, qos) in ROUTES.items()}
        self._lock = threading.Lock()
        self._commands: list[tuple[int, int, tuple[float, float, float]]] = []
        self._verdicts: list[tuple[int, int, str]] = []
        self._last_verdict: tuple[int, str] | None = None
        self._contacts = 0
        self._disturbances = Disturbances(self)
        self._goal = self.create_publisher(PoseStamped, "goal_pose", LATCHED)
        self._subscriptions_taken = [
            *(route.subscription for route in self._routes.values()),
            self.create_subscription(Twist, "cmd_vel", self._on_command, COMMANDS, raw=True),
            self.create_subscription(msg.Verdict, "supervisor/verdict", self._on_verdict, COMMANDS),
            self.create_subscription(Bool, "sim/contact", self._on_contact, LATCHED),
            self._disturbances.air_verdicts,
        ]
        self._serve(config.control)

    def take_all(self) -> None:
        """Handle every waiting message.

        Without an executor, as those of rclpy add delays of their own.
        """
        for subscription in self._subscriptions_taken:
            while (taken := take(subscription)) is not None:
                subscription.callback(*taken)

    def _on_command(self, data: bytes, info: dict[str, int]) -> None:
        vx, vy, _, _, _, rate = _TWIST.unpack_from(data, 4)
        with self._lock:
            self._commands.append((time.monotonic_ns(), int(info["source_timestamp"]), (vx, vy, rate)))

    def _on_verdict(self, message: msg.Verdict, _: dict[str, int]) -> None:
        if (message.state, message.reason) != self._last_verdict:
            self._last_verdict = (message.state, message.reason)
            with self._lock:
                self._verdicts.append((time.monotonic_ns(), message.state, message.reason))

    def _on_contact(self, message: Bool, _: dict[str, int]) -> None:
        self._contacts += bool(message.data)

    def _serve(self, path: str) -> None:
        node = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                for line in self.rfile:
                    request = json.loads(line)
                    answer = node.answer(request.pop("do"), request)
                    self.wfile.write(json.dumps(answer).encode() + b"\n")

        server = socketserver.ThreadingUnixStreamServer(path, Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def answer(self, action: str, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out a request, one of the names below, and return its answer."""
        actions: dict[str, Callable[..., dict[str, Any] | None]] = {
            "spoil": self._spoil,
            "mend": self._mend,
            "flood": self._flood,
            "rival": self._disturbances.open_rival,
            "estop": self._disturbances.press_estop,
            "reset": self._disturbances.reset,
            "hover": self._disturbances.hover,
            "observe": self._observe,
            "goal": self._send_goal,
        }
        return {"at_ns": time.monotonic_ns(), **(actions[action](**request) or {})}

    def _spoil(self, topic: str, how: str, **settings: Any) -> dict[str, Any]:
        self._routes[topic].spoil(how, settings)
        return {}

    def _flood(self, topic: str, rate_hz: float, garbage_bytes: int = 0) -> None:
        """Publish the newest message, or random bytes, so often."""
        route = self._routes[topic]
        garbage = route.newest[:4] + np.random.default_rng(0).bytes(garbage_bytes)
        self._disturbances.flood(route.publisher, garbage if garbage_bytes else route.newest, rate_hz)

    def _mend(self) -> dict[str, Any]:
        self._disturbances.end()
        for route in self._routes.values():
            route.mend()
        return {}

    def _observe(self) -> dict[str, Any]:
        with self._lock:
            commands, self._commands = self._commands, []
            verdicts, self._verdicts = self._verdicts, []
        odom = self._routes["odom"].newest
        reading = deserialize_message(odom, Odometry) if odom else None
        return {
            "commands": commands,
            "verdicts": verdicts,
            "contacts": self._contacts,
            "air_state": self._disturbances.air_state,
            "pose": pose_from_msg(reading.pose.pose).tolist() if reading else None,
            "speed_mps": reading.twist.twist.linear.x if reading else 0.0,
            "routes": {topic: route.times() for topic, route in self._routes.items()},
        }

    def _send_goal(self, pose: list[float], frame: str) -> dict[str, Any]:
        self._goal.publish(goal_to_msg(0, frame, np.array(pose)))
        return {}


def main() -> None:
    """Run the node until ROS is shut down."""
    signal.signal(signal.SIGINT, lambda *_: None)  # rclpy's own handler would end the context
    rclpy.init()
    try:
        node = FaultRelayNode()
    except ConfigError as error:
        sys.exit(f"refused to start: {error}")
    while rclpy.ok():
        try:
            node.take_all()
        except RCLError:
            if rclpy.ok():
                raise
        time.sleep(_POLL_PERIOD_S)
