"""Recorder node: writes the messages of the graph to run.mcap and the figures of the run to statistics.json.

Messages are written as they came, serialised. Only the few that figures are made of are read, and about every 0.7 s one
moment is examined for the picture (moment.npz).

``sensor_to_command_s`` runs from the publication of the scan that has a plan's stamp to the publication of the first
command after that plan, both as source timestamps of the middleware (system clock of one machine). ROS time is not used
for it, because a simulated clock moves in ticks.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rosidl_runtime_py.utilities import get_message

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.errors import ConfigError, EdgeWorldModelError
from edge_worldmodel.nodes.recording.moments import Moments, header_stamp_ns
from edge_worldmodel.nodes.recording.run_statistics import ClockPair, RunStatistics
from edge_worldmodel.nodes.ros.convert import stamp_from_msg
from edge_worldmodel.nodes.ros.managed_node import run
from edge_worldmodel.nodes.ros.parameters import declare
from edge_worldmodel.nodes.ros.rclpy_internals import NeverExecuted, take
from edge_worldmodel.recordings.installed_messages import InstalledMessages
from edge_worldmodel.recordings.mcap_file import McapFile
from edge_worldmodel.recordings.snapshot import save

_ABSOLUTE = ("/clock", "/tf", "/tf_static", "/diagnostics")
_RELATIVE = (
    *("scan", "points", "odom", "goal_pose", "battery_state", "cmd_vel"),
    *("supervisor/verdict", "supervisor/command", "watchdog/state"),
    *("perception/grid", "perception/latent", "latent_cache/warm_start"),
    *("planner/rollouts", "planner/plan", "planner/imagined_occupancy", "planner/markers"),
    *("sim/contact", "sim/goal_reached", "sim/people"),
)
_TAKE_PERIOD_S = 0.05
_SEARCH_PERIOD_S = 0.2
_MOMENT_PERIOD_S = 0.7
_STATISTICS_PERIOD_S = 1.0
_QUEUE_DEPTH = 200
"""Messages of one topic that the middleware keeps between two turns of ``_TAKE_PERIOD_S``."""
_MAX_EARLY_MESSAGES = 500
"""Messages kept until the first /clock; a limit for a graph in which none comes."""

Receive: TypeAlias = Callable[[str, str, bytes, int], None]
"""Takes topic, message type, bytes, and the system time of publication (ns)."""
Reader: TypeAlias = Callable[[str, bytes, int], object]
"""Takes message type, bytes, and the system time of publication (ns)."""


@dataclass(frozen=True)
class RecorderConfig(Config):
    """Folder of the recording and topics to record."""

    output_dir: str = param("", "Folder for run.mcap, statistics.json and moment.npz.", read_only=True)
    extra_topics: tuple[str, ...] = param((), "More topics to record, for example second scanners.", read_only=True)
    base_frame: str = param("base_link", "Robot base frame (REP-105).", read_only=True)


class TopicSubscriptions:
    """Subscribes to wanted topics when a publisher appears, with its message type and quality of service.

    The messages are taken in turns, because an executor with a wait set would look at every subscription for every
    message. The delay does not matter: the middleware reports when each message was published.

    Args:
        node: the node that subscribes; its executor must respect callback groups.
        is_wanted: returns whether a topic, by its full name, is wanted.
        receive: called from ``take_all`` with each message.
    """

    def __init__(self, node: Node, is_wanted: Callable[[str], bool], receive: Receive) -> None:
        self._node = node
        self._is_wanted = is_wanted
        self._receive = receive
        self._group = NeverExecuted()
        self._subscriptions: dict[str, tuple[Subscription, str]] = {}

    def search(self) -> None:
        """Subscribe to new topics."""
        for topic, types in self._node.get_topic_names_and_types():
            if topic in self._subscriptions or not self._is_wanted(topic) or not self._node.count_publishers(topic):
                continue
            try:
                kind = get_message(types[0])
            except (ImportError, AttributeError, ValueError):
                self._node.get_logger().warning(
                    f"'{topic}' is not recorded: its type '{types[0]}' is not installed; build and source its package",
                    throttle_duration_sec=60.0,
                )
                continue
            subscription = self._node.create_subscription(
                kind, topic, lambda _: None, self._quality(topic), raw=True, callback_group=self._group
            )
            self._subscriptions[topic] = (subscription, types[0])

    def take_all(self) -> None:
        """Hand on every message that was received."""
        for topic, (subscription, type_name) in self._subscriptions.items():
            # Bounded, so that one busy topic cannot keep the others waiting.
            for _ in range(_QUEUE_DEPTH):
                taken = take(subscription)
                if taken is None:
                    break
                data, info = taken
                self._receive(topic, type_name, bytes(data), info["source_timestamp"] or time.time_ns())

    def _quality(self, topic: str) -> QoSProfile:
        """Return the highest quality that every publisher of the topic offers."""
        offered = [info.qos_profile for info in self._node.get_publishers_info_by_topic(topic)]
        reliable = all(profile.reliability == ReliabilityPolicy.RELIABLE for profile in offered)
        latched = all(profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for profile in offered)
        return QoSProfile(
            depth=_QUEUE_DEPTH,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )


class RecorderNode(Node):
    """Records the topics of the graph and gathers the figures of the run."""

    def __init__(self) -> None:
        super().__init__("recorder")
        self._config = declare(self, RecorderConfig)
        if not self._config.output_dir:
            raise ConfigError("parameter 'output_dir' is empty: give the folder to record to")
        self._folder = Path(self._config.output_dir)
        self._messages = InstalledMessages()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file: McapFile | None = McapFile(self._folder / "run.mcap", self._messages.definition)
        except OSError as error:
            raise ConfigError(f"cannot record to '{self._folder}': {error.strerror}") from error
        self._problem = ""
        self._plan_stamp_ns = -1
        self._statistics = RunStatistics()
        self._moments = Moments(self._config.base_frame, self._messages.read)
        # On the robot, topics may have been remapped; figures are made of them by the names that our nodes use.
        names = (*_ABSOLUTE, *_RELATIVE, *self._config.extra_topics)
        self._names = {self.resolve_topic_name(name): name.lstrip("/") for name in names if name}
        self._root = f"{self.get_namespace().rstrip('/')}/"
        self._early: list[tuple[str, str, bytes]] = []
        self._readers = self._make_readers()
        self._subscriptions_by_topic = TopicSubscriptions(self, self._is_wanted, self._receive)
        self._clocks = ClockPair()
        for period_s, task in (
            (_TAKE_PERIOD_S, self._take_all),
            (_SEARCH_PERIOD_S, self._subscriptions_by_topic.search),
            (_STATISTICS_PERIOD_S, self._write_statistics),
            (_MOMENT_PERIOD_S, self._moments.examine),
        ):
            self.create_timer(period_s, task, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _is_wanted(self, topic: str) -> bool:
        return topic in self._names or topic.startswith(self._root + "scan")

    def _make_readers(self) -> dict[str, Reader]:
        """Return the readers of the messages that figures are made of, by relative topic name."""
        statistics = self._statistics

        def read(action: Callable[[Any, int], object]) -> Reader:
            return lambda type_name, data, published_ns: action(self._messages.read(type_name, data), published_ns)

        return {
            "planner/plan": self._read_plan,
            "cmd_vel": lambda type_name, data, published_ns: statistics.on_command(published_ns),
            "planner/rollouts": read(lambda m, published_ns: statistics.on_rollouts(m.steps, m.warm_started)),
            "supervisor/verdict": read(self._on_verdict),
            "sim/contact": read(lambda m, published_ns: statistics.on_contact(m.data)),
            "sim/goal_reached": read(lambda m, published_ns: statistics.on_goal_reached(m.data)),
            "diagnostics": read(self._on_diagnostics),
        }

    def _read_plan(self, type_name: str, data: bytes, published_ns: int) -> None:
        stamp_ns = header_stamp_ns(data)
        if stamp_ns != self._plan_stamp_ns:  # most are repetitions, and reading one costs two milliseconds
            self._plan_stamp_ns = stamp_ns
            message = self._messages.read(type_name, data)
            self._statistics.on_plan(stamp_ns, message.sequence, message.model_id, published_ns)

    def _take_all(self) -> None:
        self._clocks.update(self.get_clock().now().nanoseconds, time.time_ns())
        self._subscriptions_by_topic.take_all()

    def _receive(self, topic: str, type_name: str, data: bytes, published_ns: int) -> None:
        self._write(topic, type_name, data, published_ns)
        name = self._names.get(topic, topic.removeprefix(self._root))
        try:
            if name.startswith("scan"):
                self._statistics.on_scan(header_stamp_ns(data), published_ns)
            elif name in self._readers:
                self._readers[name](type_name, data, published_ns)
            self._moments.keep(name, type_name, data)
        except (EdgeWorldModelError, LookupError, ValueError):
            text = self._statistics.on_unreadable(topic)
            self.get_logger().warning(text, throttle_duration_sec=5.0)

    def _write(self, topic: str, type_name: str, data: bytes, published_ns: int) -> None:
        """Write a message at the ROS time of its publication; messages before the first /clock get its time."""
        log_ns = self._clocks.ros_ns(published_ns)
        if not log_ns:
            if len(self._early) < _MAX_EARLY_MESSAGES:
                self._early.append((topic, type_name, data))
            return
        for early in self._early:
            self._append(*early, log_ns)
        self._early.clear()
        self._append(topic, type_name, data, log_ns)

    def _append(self, topic: str, type_name: str, data: bytes, log_ns: int) -> None:
        if self._file is None:
            return
        try:
            self._file.write(topic, type_name, data, log_ns)
        except LookupError as error:
            self._note_problem(f"'{topic}' is not in run.mcap: {error}")
        except OSError as error:
            self._stop_writing(error)

    def _stop_writing(self, error: OSError) -> None:
        """Go on without a file, as the figures can still be gathered."""
        self._note_problem(f"run.mcap is incomplete: {error}")
        self._file = None

    def _note_problem(self, text: str) -> None:
        if text != self._problem:
            self._problem = text
            self.get_logger().error(text)

    def _on_verdict(self, message: Any, published_ns: int) -> None:
        stamp_ns = stamp_from_msg(message.header.stamp)
        if self._statistics.on_verdict(message.state, message.reason, stamp_ns):
            self._moments.note_stop()

    def _on_diagnostics(self, message: Any, published_ns: int) -> None:
        for status in message.status:
            self._statistics.on_diagnostics(status.name, {item.key: item.value for item in status.values})

    def _write_statistics(self) -> None:
        summary = self._statistics.summary()
        summary["messages_recorded"] = self._file.messages if self._file is not None else 0
        if self._problem:
            summary["recording_problem"] = self._problem
        temporary = self._folder / ".statistics.json.part"
        try:
            temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
            temporary.replace(self._folder / "statistics.json")
        except OSError as error:
            self.get_logger().error(f"statistics.json cannot be written: {error}", throttle_duration_sec=10.0)

    def destroy_node(self) -> None:
        """Take the last messages and finish all files."""
        self._take_all()
        self._moments.examine()
        try:
            save(self._folder / "moment.npz", self._moments.best, self._moments.overview)
            if self._file is not None:
                self._file.close()
        except OSError as error:
            self._stop_writing(error)
        self._write_statistics()
        super().destroy_node()


def main() -> None:
    """Run the node."""
    run(RecorderNode, SingleThreadedExecutor)
