"""Inputs of the safety supervisor: subscriptions, conversion to our types, and the watch on the planner's deadline."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from nav_msgs.msg import OccupancyGrid
from nav_msgs.msg import Odometry as OdometryMsg
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from sensor_msgs.msg import BatteryState, LaserScan, PointCloud2
from std_msgs.msg import Bool, Empty, Header

from edge_worldmodel import msg
from edge_worldmodel.core.errors import InputError
from edge_worldmodel.core.safety.inputs.cloud_slab import sweep_from_points
from edge_worldmodel.core.safety.inputs.intake import Instant, Intake
from edge_worldmodel.core.safety.supervisor import Supervisor
from edge_worldmodel.core.sweep import Sweep, without_self
from edge_worldmodel.core.types import Floats
from edge_worldmodel.nodes.ros import convert
from edge_worldmodel.nodes.ros.convert_sensors import (
    IGNORED_TIMES,
    ignored_times,
    occupancy_from_msg,
    odometry_from_msg,
    points_from_cloud_msg,
    sweep_from_scan_msg,
)
from edge_worldmodel.nodes.ros.frames import Frames
from edge_worldmodel.nodes.ros.health import Health, in_words
from edge_worldmodel.nodes.ros.polling import Polled, UnreadableError
from edge_worldmodel.nodes.ros.qos import LATCHED, LATEST, SENSOR, WATCHED
from edge_worldmodel.nodes.ros.rclpy_internals import EventsOnly
from edge_worldmodel.nodes.ros.spans import mark
from edge_worldmodel.nodes.safety_supervisor.autopilot_status import AutopilotStatus
from edge_worldmodel.nodes.safety_supervisor.estop_topics import EstopTopics

_PLAN_TOPIC = "planner/plan"
_MAX_CLOUD_POINTS = 1 << 18
"""More points are refused before any work is done for each."""


class QosWatch:
    """Reports when a topic's publisher misses its deadline or disappears, by the middleware's QoS events.

    A publisher that offers neither deadline nor liveliness is not watched.

    Args:
        node: node that subscribes.
        message_type: message class.
        topic: name of the topic.
        on_lost: called with a description of what happened.
    """

    def __init__(self, node: Node, message_type: type, topic: str, on_lost: Callable[[str], None]) -> None:
        self._on_lost = on_lost
        callbacks = SubscriptionEventCallbacks(
            deadline=lambda _: self._on_lost("its deadline was missed"),
            liveliness=self._on_liveliness,
            incompatible_qos=lambda _: None,
        )
        # Raw, because an events executor takes the messages although nothing here reads them.
        self._subscription = node.create_subscription(
            message_type,
            topic,
            lambda _: None,
            WATCHED,
            callback_group=EventsOnly(),
            event_callbacks=callbacks,
            raw=True,
        )

    def _on_liveliness(self, status: Any) -> None:
        if status.alive_count == 0:
            self._on_lost("its publisher is gone")


class SupervisorInputs:
    """Subscribes to the inputs of a supervisor, converts each message and hands it over.

    A message that cannot be used makes its input untrusted; it never ends the node.

    Args:
        node: node that subscribes.
        supervisor: receives the inputs.
        frames: mounts of the sensors.
        health: counts rejected messages.
        on_new_plan: called when a new plan has arrived between two ticks.
        on_plan_lost: called when the planner has missed its deadline between two ticks.

    Attributes:
        ignores_planner: whether plans that arrive are dropped.
    """

    def __init__(
        self,
        node: Node,
        supervisor: Supervisor,
        frames: Frames,
        health: Health,
        on_new_plan: Callable[[], None],
        on_plan_lost: Callable[[], None],
    ) -> None:
        self._node, self._supervisor, self._frames, self._health = node, supervisor, frames, health
        self._on_new_plan, self._on_plan_lost = on_new_plan, on_plan_lost
        self._self_filters = supervisor.config.self_filters
        self._plan_message: msg.Plan | None = None
        self.ignores_planner = False
        self.read_clocks()
        self._polled = Polled(node, self._on_unreadable, self.read_clocks)
        self._subscribe_required()
        self._polled.subscribe(OccupancyGrid, "planner/imagined_occupancy", self._on_imagined, LATCHED)
        self._subscribe_operator()
        self._watch = QosWatch(node, msg.Plan, _PLAN_TOPIC, self._on_qos_event)

    def read_clocks(self) -> None:
        """Read both clocks; ``now`` is the time of receipt of the messages that follow."""
        self.now = Instant(self._node.get_clock().now().nanoseconds, time.monotonic_ns())

    @property
    def received(self) -> Instant:
        """Time of receipt of the message that is handled now; its ROS time is that of the tick."""
        return Instant(self.now.ros_ns, min(self._polled.received_ns, self.now.steady_ns))

    def watch_autopilot(self, status: AutopilotStatus) -> None:
        """Pass commands on only while an autopilot follows them."""
        guards = self._supervisor.guards
        guards.watch_autopilot()

        def receive(message: Any) -> None:
            guards.receive_autopilot(status.waiting_for(message), self.received)

        self._polled.subscribe(status.message_type, status.topic, receive, SENSOR)

    def take_all(self) -> None:
        """Read the clocks and take all messages that wait."""
        self._polled.take_all()

    def _subscribe_required(self) -> None:
        config = self._supervisor.config
        self._polled.subscribe(msg.Plan, _PLAN_TOPIC, self._on_plan, LATEST, repeats=True, on_arrival=self._on_new_plan)
        self._polled.subscribe(OdometryMsg, "odom", self._on_odometry, SENSOR)
        for topics, message_type, callback in (
            (config.scan_topics, LaserScan, self._on_scan),
            (config.cloud_topics, PointCloud2, self._on_cloud),
        ):
            for topic in filter(None, topics):
                self._polled.subscribe(message_type, topic, functools.partial(callback, topic), SENSOR)

    def _subscribe_operator(self) -> None:
        """Subscribe to the emergency stop, and to the signals that are configured."""
        config = self._supervisor.config
        EstopTopics(
            self._node, self._polled, self._supervisor.guards, config.estop_topics, health=self._health, inputs=self
        )
        if config.deadman:
            self._polled.subscribe(Bool, "supervisor/deadman", self._on_deadman, SENSOR)
        if config.operator_link:
            self._polled.subscribe(Empty, "operator_heartbeat", self._on_heartbeat, SENSOR)
        if config.battery_min:
            self._polled.subscribe(BatteryState, "battery_state", self._on_battery, SENSOR)

    def _on_unreadable(self, topic: str, error: UnreadableError) -> None:
        """Reject the input of a topic whose bytes are not a message."""
        supervisor = self._supervisor
        intakes: dict[str, Intake[Any]] = {_PLAN_TOPIC: supervisor.inputs.plan, "odom": supervisor.inputs.odometry}
        names = {self._node.resolve_topic_name(n): n for n in (*intakes, *supervisor.inputs.sensors)}
        if topic in names:
            self._reject({**intakes, **supervisor.inputs.sensors}[names[topic]], error)
        else:
            self._health.reject(error)

    def _reject(self, intake: Intake[Any], error: Exception) -> None:
        """Stop trusting an input, which counts the message itself, and log why."""
        intake.reject(in_words(error))
        self._health.log_rejection(intake.name, error, intake.rejected.total())

    def _on_qos_event(self, problem: str) -> None:
        """Reject the plan when the middleware reports it lost, unless one has arrived in the meantime."""
        self.take_all()
        plan = self._supervisor.inputs.plan
        if self.ignores_planner:
            return
        if plan.value is not None and plan.silence_s(self.now) > 0.5 * self._supervisor.config.plan_timeout_s:
            plan.reject(problem)
            self._on_plan_lost()

    def _take(self, intake: Intake[Any], receive: Callable[[], None]) -> None:
        """Take a message; any error in it makes the input untrusted."""
        try:
            receive()
        except Exception as error:  # no message may end the supervisor
            self._reject(intake, error)

    def _take_reading(self, topic: str, header: Header, receive: Callable[[Floats], None]) -> None:
        """Take a reading of a sensor once its mount is known."""
        intake = self._supervisor.inputs.sensors[topic]

        def refuse(error: InputError) -> None:
            self._reject(intake, error)

        def take(mount: Floats) -> None:
            self._take(intake, lambda: receive(mount))

        self._frames.with_mount(topic, header, take, refuse)

    def _on_plan(self, message: msg.Plan) -> None:
        if self.ignores_planner:
            self._health.note("plans_left_out", "the timeout of the drive base is being measured")
            return
        # A repeated message arrives as the same object and needs no second conversion.
        is_new = message is not self._plan_message

        def receive() -> None:
            if is_new:
                self._plan, self._plan_message = convert.plan_from_msg(message), message
                mark("plan", self._plan.stamp_ns)
            self._supervisor.inputs.receive_plan(self._plan, self.received)

        self._take(self._supervisor.inputs.plan, receive)

    def _on_odometry(self, message: OdometryMsg) -> None:
        inputs = self._supervisor.inputs
        self._take(
            inputs.odometry,
            lambda: inputs.receive_odometry(self._frames.odometry_of_base(odometry_from_msg(message)), self.received),
        )

    def _on_scan(self, topic: str, message: LaserScan) -> None:
        config = self._supervisor.config

        def receive(mount: Floats) -> None:
            slab_m = config.cloud_low_m, config.cloud_high_m
            sweep = sweep_from_scan_msg(message, mount, slab_m, config.below_range_min == "hit")
            self._note_times(message, sweep)
            sweep = without_self(sweep, self._self_filters[topic])
            self._frames.release(len(self._supervisor.inputs.sensors))
            self._supervisor.inputs.receive_sweep(topic, sweep, len(message.ranges), self.received)

        self._take_reading(topic, message.header, receive)

    def _on_cloud(self, topic: str, message: PointCloud2) -> None:
        config = self._supervisor.config

        def receive(mount: Floats) -> None:
            if (count := message.width * message.height) > _MAX_CLOUD_POINTS:
                raise InputError(
                    f"cloud of {count} points: at most {_MAX_CLOUD_POINTS} are taken; put a voxel filter before it"
                )
            stamp_ns = convert.stamp_from_msg(message.header.stamp)
            slab_m = config.cloud_low_m, config.cloud_high_m
            points, delays_s = points_from_cloud_msg(message, mount, self._self_filters[topic], slab_m)
            sweep = sweep_from_points(stamp_ns, points, mount[:3, 3], *slab_m, delays_s)
            self._note_times(message, sweep)
            self._supervisor.inputs.receive_sweep(topic, sweep, len(sweep.endpoints), self.received)

        self._take_reading(topic, message.header, receive)

    def _note_times(self, message: LaserScan | PointCloud2, sweep: Sweep) -> None:
        if ignored_times(message, sweep):
            self._health.note("ignored_beam_times", IGNORED_TIMES)

    def _on_imagined(self, message: OccupancyGrid) -> None:
        try:
            probability, pose, stamp_ns = occupancy_from_msg(message)
            self._supervisor.inputs.imagined.receive(stamp_ns, pose, probability)
        except Exception as error:  # no message may end the supervisor
            self._health.reject(error)

    def _on_deadman(self, message: Bool) -> None:
        self._supervisor.guards.receive_deadman(message.data, self.received)

    def _on_heartbeat(self, _: Empty) -> None:
        self._supervisor.guards.receive_heartbeat(self.received)

    def _on_battery(self, message: BatteryState) -> None:
        self._supervisor.guards.receive_battery(message.percentage, self.received)
