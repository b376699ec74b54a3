"""Safety supervisor node: takes the plan, raw sensors and both clocks, and publishes a Verdict and a command each tick.

It is a plain node, not a lifecycle node, so it supervises from its first tick to its last. It has one thread. It ticks
on a steady-clock timer, and at once for a new plan.
"""

from __future__ import annotations

import gc
import os
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.inputs.intake import MIN_TICK_S
from edge_worldmodel.core.safety.supervisor import Supervisor
from edge_worldmodel.core.time_units import to_seconds
from edge_worldmodel.core.types import Verdict
from edge_worldmodel.kernels.library import load
from edge_worldmodel.nodes.ros.frames import Frames
from edge_worldmodel.nodes.ros.health import Health
from edge_worldmodel.nodes.ros.managed_node import run
from edge_worldmodel.nodes.ros.parameters import declare
from edge_worldmodel.nodes.ros.spans import mark, spanned
from edge_worldmodel.nodes.ros.state_folder import state_folder
from edge_worldmodel.nodes.safety_supervisor.base_timeout_service import BaseTimeoutService
from edge_worldmodel.nodes.safety_supervisor.command_output import (
    DRIVE_TOPIC,
    CommandOutputConfig,
    heading_rad,
    open_autopilot,
)
from edge_worldmodel.nodes.safety_supervisor.command_type import command_type_problem
from edge_worldmodel.nodes.safety_supervisor.latch_file import LatchFile
from edge_worldmodel.nodes.safety_supervisor.sealed_commands import SealedCommands
from edge_worldmodel.nodes.safety_supervisor.supervisor_inputs import SupervisorInputs
from edge_worldmodel.nodes.safety_supervisor.supervisor_report import SupervisorReport

_DELIVERY_S = 0.05
"""Time for the middleware to deliver the last command before its publisher is destroyed."""
_TICK_SHARE = 0.75
"""Share of a period that a tick may take in processor time; a longer one commands zero."""
_EARLY_SHARE = 0.9
"""Share of a period that must pass between two ticks for new plans."""
_COUNT_EVERY_NS = 200_000_000


@dataclass(frozen=True)
class SupervisorNodeConfig(Config):
    """Parameters of the node around the supervisor."""

    latch_dir: str = param(
        "",
        "Folder of the record of latched stops, for this robot alone; empty: safety_supervisor/NAMESPACE/latch-record"
        " below $XDG_STATE_HOME/edge_worldmodel or ~/.local/state/edge_worldmodel.",
    )
    sensor_pose: tuple[float, ...] = param(
        (), "x, y, yaw or x, y, z, roll, pitch, yaw of every sensor in the base frame [m, rad]; empty: from tf."
    )
    realtime_priority: int = param(0, "SCHED_FIFO priority; 0: normal scheduling.", minimum=0, maximum=99)
    drive_base_timeout_s: float = param(
        0.0, "Command timeout set on the drive base (see docs/safety.md); 0: unknown.", minimum=0.0, maximum=5.0
    )


class SafetySupervisorNode(Node):
    """Hands messages to the supervisor, asks it in each tick, and publishes its answer."""

    def __init__(self) -> None:
        super().__init__("safety_supervisor")
        self._config = declare(self, SupervisorConfig)
        self._setup = declare(self, SupervisorNodeConfig)
        self._supervisor = Supervisor(self._config, self._latch_file())
        self._limit_s = _TICK_SHARE / self._config.rate_hz
        self.health = Health(self)
        self._report = SupervisorReport(self.health, self._supervisor)
        self._last_tick_ns, self._last_early_tick_ns, self._last_count_ns, self._ended = 0, 0, 0, False
        self._connect()
        self._report_setup()
        self._timer = self.create_timer(
            1.0 / self._config.rate_hz, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        sensors = ", ".join(self._config.sources) or "none"
        self.get_logger().info(f"supervising at {self._config.rate_hz:g} Hz; sensors: {sensors}")
        if problem := reduce_jitter(self._setup.realtime_priority):
            self.health.problem("scheduler", problem)

    def _latch_file(self) -> LatchFile:
        if self._setup.latch_dir:
            return LatchFile(Path(self._setup.latch_dir))
        return LatchFile(state_folder("safety_supervisor", self.get_namespace(), "latch-record", os.environ))

    def _connect(self) -> None:
        """Create publishers, subscriptions and services."""
        self._output = declare(self, CommandOutputConfig)
        self._autopilot = open_autopilot(self, self._output, self._config)
        if self._autopilot is None:
            self.create_timer(1.0, self._check_command_type, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._commands = SealedCommands(self, self._config)
        frames = Frames(self, self._config.base_frame, self._setup.sensor_pose or None, self.health)
        self._inputs = SupervisorInputs(
            self, self._supervisor, frames, self.health, on_new_plan=self._on_new_plan, on_plan_lost=self._tick_now
        )
        if self._autopilot is not None:
            self._inputs.watch_autopilot(self._autopilot.status)
        self._base_timeout = BaseTimeoutService(
            self,
            self._supervisor,
            self._inputs,
            self.health,
            declared_s=self._setup.drive_base_timeout_s,
            has_drive_base=self._autopilot is None,
        )
        self.create_service(Trigger, "supervisor/reset", self._on_reset)
        self.create_service(SetBool, "supervisor/estop", self._on_estop)

    def _report_setup(self) -> None:
        """Report settings that the supervisor itself cannot make safe."""
        self.health.figures["kernels"] = load().text
        for name in self._config.unsafe:
            text = f"{name} is set: a safety check is off. Remove the parameter before people come near the robot."
            self.health.problem(name, text, DiagnosticStatus.WARN)

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._inputs.read_clocks()
        response.success, response.message = self._supervisor.reset(self._inputs.now)
        self.get_logger().warning(f"reset: {response.message}")
        return response

    def _on_estop(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._supervisor.press_estop(request.data)
        self._tick_now()
        response.success = True
        response.message = "Stopped." if request.data else "Released. Call supervisor/reset to go on."
        return response

    def _on_new_plan(self) -> None:
        """Tick for a new plan, at most once per period however many plans arrive."""
        self._inputs.read_clocks()
        now_ns = self._inputs.now.steady_ns
        since_early_s, since_tick_s = (
            to_seconds(now_ns - self._last_early_tick_ns),
            to_seconds(now_ns - self._last_tick_ns),
        )
        if since_early_s * self._config.rate_hz > _EARLY_SHARE and since_tick_s > MIN_TICK_S:
            self._tick_now()

    def _tick_now(self) -> None:
        """Tick before the timer is due, and restart the timer: two ticks are never more than a period apart."""
        self._tick(early=True)
        self._last_early_tick_ns = self._last_tick_ns
        self._timer.reset()

    @spanned
    def _tick(self, early: bool = False) -> None:
        """Take all messages, supervise and publish. A defect in the supervisor commands zero."""
        # A plan that arrives during shutdown must not move the robot again.
        if self._ended:
            return
        start_s = time.thread_time()
        try:
            self._inputs.take_all()
            self._count_command_publishers()
            self._base_timeout.before_tick()
            verdict = self._supervisor.supervise(self._inputs.now)
            if (spent_s := time.thread_time() - start_s) > self._limit_s:
                verdict = self._supervisor.overrun(spent_s, self._limit_s, self._inputs.now)
            verdict = self._base_timeout.after_tick(verdict)
        except Exception as error:  # the robot must stop whatever is wrong in the supervisor
            self.get_logger().error("".join(traceback.format_exception(error)), throttle_duration_sec=1.0)
            self._inputs.read_clocks()
            verdict = self._supervisor.fail(_place_of(error), self._inputs.now)
        now = self._inputs.now
        self._last_tick_ns = now.steady_ns
        self._publish(verdict)
        mark("command", now.ros_ns)
        # After the zero of a new latch.
        self._supervisor.save_latches()
        self._report.update(verdict, now.steady_ns, early)

    def _publish(self, verdict: Verdict) -> None:
        self._commands.publish(verdict)
        if self._autopilot is not None:
            self._autopilot.send(verdict, heading_rad(self._supervisor.inputs.odometry, self._inputs.now))

    def _count_command_publishers(self) -> None:
        """Count the publishers of the topic that commands the robot, a few times per second."""
        now_ns = self._inputs.now.steady_ns
        if now_ns - self._last_count_ns > _COUNT_EVERY_NS:
            self._last_count_ns = now_ns
            topic = self.resolve_topic_name(DRIVE_TOPIC if self._autopilot is None else self._autopilot.topic)
            self._supervisor.guards.receive_command_publishers(self.count_publishers(topic))

    def _check_command_type(self) -> None:
        if problem := command_type_problem(self, self.resolve_topic_name(DRIVE_TOPIC), self._output.output):
            self.health.problem("command_type", problem, DiagnosticStatus.WARN)
        else:
            self.health.solved("command_type")

    def destroy_node(self) -> None:
        """Command zero a last time. After this the watchdog does, or the timeout of the autopilot stops the robot."""
        self._inputs.read_clocks()
        self._ended = True
        self._publish(self._supervisor.fail("the node was told to end", self._inputs.now))
        time.sleep(_DELIVERY_S)
        super().destroy_node()


def _place_of(error: Exception) -> str:
    """Return where an error was raised; its own words are Python's and belong into the log."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(place.filename).name}, line {place.lineno}; the log has more"


def reduce_jitter(priority: int) -> str:
    """Keep garbage collection short and, on request, run all threads of this process before others.

    Args:
        priority: SCHED_FIFO priority; 0 for normal scheduling.

    Returns:
        What the system refused and what to do about it; empty if nothing.
    """
    gc.collect()
    gc.freeze()
    if priority:
        try:
            # Those of the middleware, too: a tick waits for the locks that they hold while messages arrive.
            for thread in os.listdir("/proc/self/task"):
                os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(priority))
        except OSError as error:
            return f"SCHED_FIFO refused ({error}): allow it with 'rtprio' in /etc/security/limits.conf."
    return ""


def main() -> None:
    """Run the node."""
    run(SafetySupervisorNode)
