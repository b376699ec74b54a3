"""Recorder node: writes what the graph says to run.mcap, and the run's figures to statistics.json.

Messages are taken serialised and written as they came. Only the few that carry figures are read, and about
twice a second one moment is looked at for the picture (moment.npz).

How ``sensor_to_command_s`` is measured: from the time at which the scan with a plan's stamp was published to
the time at which the first command after that plan was published, both as told by the middleware (source
timestamps, the system clock of one machine). ROS time is not used, a simulated clock only moves in ticks.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from edge_worldmodel.core.errors import ConfigError, EdgeWorldModelError
from edge_worldmodel.nodes.recording.moments import Moments, header_stamp_ns
from edge_worldmodel.nodes.recording.recorder_config import RecorderConfig
from edge_worldmodel.nodes.recording.run_statistics import RunStatistics, Times
from edge_worldmodel.nodes.recording.topic_taps import TopicTaps
from edge_worldmodel.nodes.ros.convert import stamp_from_msg
from edge_worldmodel.nodes.ros.managed_node import run
from edge_worldmodel.nodes.ros.parameters import declare
from edge_worldmodel.recordings.mcap_file import McapFile
from edge_worldmodel.recordings.message_reader import MessageReader
from edge_worldmodel.recordings.snapshot import save

_ABSOLUTE = ("/clock", "/tf", "/tf_static", "/diagnostics")
_RELATIVE = (
    *("scan", "points", "odom", "goal_pose", "battery_state", "cmd_vel", "supervisor/verdict"),
    *("perception/grid", "perception/latent", "latent_cache/warm_start"),
    *("planner/rollouts", "planner/plan", "planner/imagined_occupancy", "planner/markers"),
    *("sim/contact", "sim/goal_reached", "sim/people"),
)
_TAKE_S = 0.05
_LOOK_FOR_TOPICS_S = 0.2
_LOOK_S = 0.7
_WRITE_STATISTICS_S = 1.0
_WAITING_FOR_CLOCK = 500


Reader: TypeAlias = Callable[[str, bytes, int], object]
"""Takes the type of a message, its bytes and when it was published."""


class RecorderNode(Node):
    """Subscribes to topics as they appear, with whatever type and quality of service they have."""

    def __init__(self) -> None:
        super().__init__("recorder")
        self._config = declare(self, RecorderConfig)
        if not self._config.output_dir:
            raise ConfigError("parameter 'output_dir' is empty: give the folder to record to")
        self._folder = Path(self._config.output_dir)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file: McapFile | None = McapFile(self._folder / "run.mcap")
        except OSError as error:
            raise ConfigError(f"cannot record to '{self._folder}': {error.strerror}") from error
        self._problem = ""
        self._plan_stamp_ns = -1
        self._statistics = RunStatistics()
        self._messages = MessageReader()
        self._moments = Moments(self._config.base_frame, self._messages.read)
        names = (*_RELATIVE, *self._config.extra_topics)
        self._wanted = set(_ABSOLUTE) | {self.resolve_topic_name(name) for name in names if name}
        self._root = self.resolve_topic_name("scan").removesuffix("scan")
        self._early: list[tuple[str, str, bytes]] = []
        self._readers = self._make_readers()
        self._taps = TopicTaps(self, self._is_wanted, self._receive)
        self._times = Times()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_TAKE_S, self._take_all, clock=steady)
        self.create_timer(_LOOK_FOR_TOPICS_S, self._taps.look_for_topics, clock=steady)
        self.create_timer(_WRITE_STATISTICS_S, self._write_statistics, clock=steady)
        self.create_timer(_LOOK_S, self._moments.look, clock=steady)

    def _is_wanted(self, topic: str) -> bool:
        return topic in self._wanted or topic.startswith(self._root + "scan")

    def _make_readers(self) -> dict[str, Reader]:
        """Return what to do with the messages that carry figures, by relative topic name."""
        statistics = self._statistics

        def read(action: Callable[[Any, int], object]) -> Reader:
            return lambda type_name, data, published_ns: action(self._messages.read(type_name, data), published_ns)

        return {
            "planner/plan": self._read_plan,
            "cmd_vel": lambda type_name, data, at: statistics.on_command(at),
            "planner/rollouts": read(lambda m, at: statistics.on_rollouts(m.steps, m.warm_started)),
            "supervisor/verdict": read(self._on_verdict),
            "sim/contact": read(lambda m, at: statistics.on_contact(m.data)),
            "sim/goal_reached": read(lambda m, at: statistics.on_goal_reached(m.data)),
            "diagnostics": read(self._on_diagnostics),
        }

    def _read_plan(self, type_name: str, data: bytes, published_ns: int) -> None:
        stamp_ns = header_stamp_ns(data)
        if stamp_ns != self._plan_stamp_ns:  # most are repetitions, and reading one costs two milliseconds
            self._plan_stamp_ns = stamp_ns
            message = self._messages.read(type_name, data)
            self._statistics.on_plan(stamp_ns, message.sequence, message.model_id, published_ns)

    def _take_all(self) -> None:
        self._times.tick(self.get_clock().now().nanoseconds, time.time_ns())
        self._taps.take_all()

    def _receive(self, topic: str, type_name: str, data: bytes, published_ns: int) -> None:
        self._write(topic, type_name, data, published_ns)
        short = topic.removeprefix(self._root) if topic.startswith(self._root) else topic.lstrip("/")
        try:
            if short.startswith("scan"):
                self._statistics.on_scan(header_stamp_ns(data), published_ns)
            elif short in self._readers:
                self._readers[short](type_name, data, published_ns)
            self._moments.keep(short, type_name, data)
        except (EdgeWorldModelError, ValueError, struct.error) as error:
            self.get_logger().warning(f"'{topic}' has a message without use: {error}", throttle_duration_sec=5.0)

    def _write(self, topic: str, type_name: str, data: bytes, published_ns: int) -> None:
        """Write a message at the ROS time at which it was published, those before the first /clock at the first one."""
        log_ns = self._times.ros_ns(published_ns)
        if not log_ns:
            if len(self._early) < _WAITING_FOR_CLOCK:
                self._early.append((topic, type_name, data))
            return
        for early in self._early:
            self._append(*early, log_ns)
        self._early.clear()
        self._append(topic, type_name, data, log_ns)

    def _append(self, topic: str, type_name: str, data: bytes, now_ns: int) -> None:
        if self._file is None:
            return
        try:
            self._file.write(topic, type_name, data, now_ns)
        except (OSError, LookupError) as error:
            self._stop_writing(error)

    def _stop_writing(self, error: Exception) -> None:
        """Go on without a file: the figures are still worth having."""
        self._problem = f"run.mcap is incomplete: {error}"
        self.get_logger().error(self._problem)
        self._file = None

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
        """Take what is still there and finish all files."""
        self._take_all()
        self._moments.look()
        try:
            save(self._folder / "moment.npz", self._moments.best, self._moments.journey)
            if self._file is not None:
                self._file.close()
        except OSError as error:
            self._stop_writing(error)
        self._write_statistics()
        super().destroy_node()


def main() -> None:
    """Run the node."""
    run(RecorderNode, SingleThreadedExecutor)
