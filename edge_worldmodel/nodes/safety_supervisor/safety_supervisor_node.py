"""Safety supervisor node: plan, raw sensors and both clocks in, Verdict and command out, at every tick.

A plain node, alive from its first line to its last. One thread, no network; a steady-clock timer ticks, and a new plan.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import Odometry as OdometryMsg
from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from rclpy.node import Node
from sensor_msgs.msg import LaserScan, PointCloud2
from std_srvs.srv import SetBool, Trigger

from edge_worldmodel import msg
from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.safety.cloud_slab import sweep_from_points
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.intake import Clock, Intake
from edge_worldmodel.core.safety.supervisor import MIN_TICK_S, Supervisor
from edge_worldmodel.nodes.ros import convert
from edge_worldmodel.nodes.ros.convert_sensors import odometry_from_msg, points_from_cloud_msg, sweep_from_scan_msg
from edge_worldmodel.nodes.ros.frames import Frames
from edge_worldmodel.nodes.ros.health import Health
from edge_worldmodel.nodes.ros.managed_node import run
from edge_worldmodel.nodes.ros.parameters import declare
from edge_worldmodel.nodes.ros.polling import Polled
from edge_worldmodel.nodes.ros.qos import LATEST, SENSOR
from edge_worldmodel.nodes.ros.spans import mark, spanned
from edge_worldmodel.nodes.safety_supervisor.command_output import CommandOutputConfig, heading_rad, open_output
from edge_worldmodel.nodes.safety_supervisor.imagined_input import take_imagined
from edge_worldmodel.nodes.safety_supervisor.operator_topics import OperatorTopics
from edge_worldmodel.nodes.safety_supervisor.promise_watch import PromiseWatch
from edge_worldmodel.nodes.safety_supervisor.punctual import be_punctual
from edge_worldmodel.nodes.safety_supervisor.supervisor_report import SupervisorReport

_LAST_WORD_S = 0.05
"""Time for the middleware to deliver the last command before its publisher is gone."""
_EARLY_SHARE = 0.9
"""Of a period, between two ticks that new plans may make."""


@dataclass(frozen=True)
class SupervisorNodeConfig(Config):
    """Parameters of the node around the supervisor."""

    sensor_pose: tuple[float, ...] = param((), "x, y, yaw of every sensor in the base frame instead of tf.")
    realtime_priority: int = param(0, "SCHED_FIFO priority; 0: normal scheduling.", minimum=0, maximum=99)
    drive_base_timeout_s: float = param(
        0.0, "Command timeout that was set on the drive base (docs/safety.md); 0: not known.", minimum=0.0, maximum=5.0
    )


class SafetySupervisorNode(Node):
    """Converts messages, asks the supervisor at every tick, publishes what it says."""

    def __init__(self) -> None:
        super().__init__("safety_supervisor")
        self._config = declare(self, SupervisorConfig)
        self._setup = declare(self, SupervisorNodeConfig)
        self._supervisor = Supervisor(self._config)
        self._frames = Frames(self, self._config.base_frame, self._setup.sensor_pose or None)
        self.health = Health(self)
        self._report = SupervisorReport(self.health, self._supervisor)
        self._plan_message: msg.Plan | None = None
        self._ticked_ns, self._early_ns, self._ended = 0, 0, False
        self._look_at_clocks()
        self._connect()
        self._check_surroundings()
        self._timer = self.create_timer(
            1.0 / self._config.rate_hz, self._tick, clock=RosClock(clock_type=ClockType.STEADY_TIME)
        )
        sources = ", ".join(self._config.sources) or "nothing"
        self.get_logger().info(f"supervising at {self._config.rate_hz:g} Hz, looking at {sources}")
        if refused := be_punctual(self._setup.realtime_priority):
            self.health.problem("scheduler", refused)

    def _connect(self) -> None:
        """Create publishers, subscriptions and services."""
        self._output = open_output(self, declare(self, CommandOutputConfig), self._config)
        self._verdicts = self.create_publisher(msg.Verdict, "supervisor/verdict", LATEST)
        self._verdict_message = msg.Verdict()
        self._inputs = Polled(self, self._on_unreadable, self._look_at_clocks)
        self._inputs.subscribe(msg.Plan, "planner/plan", self._on_plan, LATEST, repeats=True)
        self._inputs.subscribe(OdometryMsg, "odom", self._on_odometry, SENSOR)
        for topics, message_type, callback in (
            (self._config.scan_topics, LaserScan, self._on_scan),
            (self._config.cloud_topics, PointCloud2, self._on_cloud),
        ):
            for topic in filter(None, topics):
                self._inputs.subscribe(message_type, topic, functools.partial(callback, topic), SENSOR)
        take_imagined(self._inputs, self._supervisor.imagined, self.health)
        self._watch = PromiseWatch(self, msg.Plan, "planner/plan", self._on_broken_promise)
        OperatorTopics(self._inputs, self._supervisor, lambda: self._moment)
        self.create_service(Trigger, "supervisor/reset", self._on_reset)
        self.create_service(SetBool, "supervisor/estop", self._on_estop)

    def _check_surroundings(self) -> None:
        """Report what the supervisor itself cannot make safe."""
        for name in self._config.unsafe:
            text = f"{name} is set: a safety check is off. Remove the parameter before anyone is near the robot."
            self.health.problem(name, text, DiagnosticStatus.WARN)
        if not self._setup.drive_base_timeout_s:
            text = "Does the drive base stop when commands end? See docs/safety.md, then set drive_base_timeout_s."
            self.health.problem("drive_base", text, DiagnosticStatus.WARN)

    def _now(self) -> Clock:
        return Clock(self.get_clock().now().nanoseconds, time.monotonic_ns())

    def _look_at_clocks(self) -> None:
        self._moment = self._now()

    def _on_unreadable(self, topic: str, error: Exception) -> None:
        """Distrust the stream that a damaged message came from."""
        supervisor = self._supervisor
        streams: dict[str, Intake[Any]] = {"planner/plan": supervisor.plan, "odom": supervisor.odometry}
        for name, intake in {**streams, **supervisor.sensors}.items():
            if self.resolve_topic_name(name) == topic:
                intake.reject(f"unreadable message: {error}")
        self.health.reject(error)

    def _on_broken_promise(self, what: str) -> None:
        """Stop between two ticks on the middleware's word, unless a plan has come in the meantime."""
        self._inputs.take_all()
        plan = self._supervisor.plan
        if plan.value is not None and plan.silence_s(self._moment) > 0.5 * self._config.plan_timeout_s:
            plan.reject(what)
            self._tick_now()

    def _take(self, intake: Intake[Any], receive: Callable[[], None]) -> None:
        """Let a message in; whatever is wrong with it, the stream is distrusted and the node lives on."""
        try:
            receive()
        except Exception as error:  # a message must never be able to end the supervisor
            intake.reject(str(error))
            self.health.reject(error)

    def _on_plan(self, message: msg.Plan) -> None:
        def receive() -> None:
            if is_new:
                self._plan, self._plan_message = convert.plan_from_msg(message), message
                mark("plan", self._plan.stamp_ns)
            self._supervisor.receive_plan(self._plan, self._moment)

        is_new = message is not self._plan_message
        self._take(self._supervisor.plan, receive)
        if is_new and not self._inputs.taking and self._may_tick_early():
            self._tick_now()

    def _on_odometry(self, message: OdometryMsg) -> None:
        supervisor, now = self._supervisor, self._moment
        self._take(supervisor.odometry, lambda: supervisor.receive_odometry(odometry_from_msg(message), now))

    def _on_scan(self, topic: str, message: LaserScan) -> None:
        def receive() -> None:
            sweep = sweep_from_scan_msg(message, self._frames.planar_mount(message.header.frame_id))
            self._frames.release(len(self._supervisor.sensors))
            self._supervisor.receive_sweep(topic, sweep, len(message.ranges), self._moment)

        self._take(self._supervisor.sensors[topic], receive)

    def _on_cloud(self, topic: str, message: PointCloud2) -> None:
        def receive() -> None:
            mount, stamp_ns = self._frames.mount(message.header.frame_id), convert.stamp_from_msg(message.header.stamp)
            points = points_from_cloud_msg(message, mount)
            slab = (self._config.cloud_low_m, self._config.cloud_high_m)
            sweep = sweep_from_points(stamp_ns, points, mount[:3, 3], *slab)
            self._supervisor.receive_sweep(topic, sweep, len(sweep.endpoints), self._moment)

        self._take(self._supervisor.sensors[topic], receive)

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = self._supervisor.reset(self._now())
        self.get_logger().warning(f"reset: {response.message}")
        return response

    def _on_estop(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._supervisor.press_estop(request.data)
        self._tick_now()
        response.success = True
        response.message = "Stopped." if request.data else "Released. Call supervisor/reset to go on."
        return response

    def _may_tick_early(self) -> bool:
        """Return whether a new plan is worth a tick now: at most one per period, however many plans come."""
        now_ns = self._moment.steady_ns
        since_early_s, since_tick_s = (now_ns - self._early_ns) * 1e-9, (now_ns - self._ticked_ns) * 1e-9
        return since_early_s * self._config.rate_hz > _EARLY_SHARE and since_tick_s > MIN_TICK_S

    def _tick_now(self) -> None:
        """Tick between two ticks of the timer, which begins anew: two ticks are never more than a period apart."""
        self._tick(early=True)
        self._early_ns = self._ticked_ns
        self._timer.reset()

    @spanned
    def _tick(self, early: bool = False) -> None:
        """Read what came, supervise and publish; a defect of our own still ends in a zero command."""
        if self._ended:  # a plan that comes while the node is taken down must not move the robot again
            return
        try:
            self._inputs.take_all()
            now = self._moment
            verdict = self._supervisor.supervise(now)
        except Exception as error:  # the robot must stop whatever is wrong in here
            self.get_logger().error(f"defect in the supervisor: {error!r}", throttle_duration_sec=1.0)
            now = self._now()
            verdict = self._supervisor.fail(repr(error), now)
        self._ticked_ns = now.steady_ns
        self._output.send(verdict, heading_rad(self._supervisor.odometry, now))
        mark("command", now.ros_ns)
        self._verdicts.publish(convert.verdict_to_msg(verdict, self._verdict_message))
        self._report.tell(verdict, now.steady_ns, early)

    def destroy_node(self) -> None:
        """Command zero a last time: after this only the drive base's own timeout is left."""
        now, self._ended = self._now(), True
        self._output.send(self._supervisor.fail("told to end", now), heading_rad(self._supervisor.odometry, now))
        time.sleep(_LAST_WORD_S)
        super().destroy_node()


def main() -> None:
    """Run the node."""
    run(SafetySupervisorNode)
