"""Rollout planner node: LatentFrame and WarmStart in, Plan out; it plans on a worker thread."""

from __future__ import annotations

import math
import threading
import time

import numpy as np
from rclpy.serialization import serialize_message

import edge_worldmodel.msg as msg
from edge_worldmodel.core import tensors
from edge_worldmodel.core.errors import EdgeWorldModelError, InputError
from edge_worldmodel.core.planner.attention import AttentionConfig
from edge_worldmodel.core.planner.candidates.disturbances import DisturbanceConfig
from edge_worldmodel.core.planner.deliberation import Deliberation
from edge_worldmodel.core.planner.effort import EffortConfig, EffortControl, ThermalConfig, ThermalGovernor
from edge_worldmodel.core.planner.planner import Planner
from edge_worldmodel.core.planner.planner_config import PlannerConfig
from edge_worldmodel.core.planner.recovery import RecoveryConfig
from edge_worldmodel.core.planner.robot_limits import RobotLimits
from edge_worldmodel.core.time_units import to_seconds
from edge_worldmodel.core.types import LatentFrame, Plan, WarmStart
from edge_worldmodel.nodes.rollout_planner.goal_input import GoalInput
from edge_worldmodel.nodes.rollout_planner.imagination_topics import ImaginationTopics
from edge_worldmodel.nodes.rollout_planner.planning_job import PlannerNodeConfig, PlanningJob
from edge_worldmodel.nodes.rollout_planner.planning_report import PlanningReport
from edge_worldmodel.nodes.rollout_planner.timed_deliberation import Clocks, TimedDeliberation
from edge_worldmodel.nodes.rollout_planner.worker import LatestWorker
from edge_worldmodel.nodes.ros import convert
from edge_worldmodel.nodes.ros.frames import Frames
from edge_worldmodel.nodes.ros.health import guarded
from edge_worldmodel.nodes.ros.managed_node import ManagedNode, clock_name, run
from edge_worldmodel.nodes.ros.model import ModelConfig, open_world_model
from edge_worldmodel.nodes.ros.parameters import declare
from edge_worldmodel.nodes.ros.qos import LATEST, PROMISED
from edge_worldmodel.nodes.ros.spans import mark

_NO_FRAME_WAITS = (
    "the frame that it answers does not wait any more: latent_cache is slower than warm_start_wait_s, or was restarted"
)


class RolloutPlannerNode(ManagedNode):
    """Receives frames, plans on the newest, and sends the plan again while it is valid."""

    def __init__(self) -> None:
        super().__init__("rollout_planner")
        self._timing = declare(self, PlannerNodeConfig)
        self._model_config = declare(self, ModelConfig)
        self._limits = declare(self, RobotLimits, "robot")
        self._disturbances = declare(self, DisturbanceConfig, "disturbance")
        self._config = declare(self, PlannerConfig)
        self._attention_config = declare(self, AttentionConfig)
        self._effort_config = declare(self, EffortConfig, "effort")
        self._thermal_config = declare(self, ThermalConfig, "heat")
        self._recovery_config = declare(self, RecoveryConfig, "recovery")

    def setup(self) -> None:
        """Load the model and connect."""
        model = open_world_model(self, self._model_config, self.health)
        planner = Planner(model, self._limits, self._config, self._disturbances)
        clocks = Clocks(time.perf_counter, lambda: self.get_clock().now().nanoseconds, clock_name(self))
        deliberation = Deliberation(planner, self._attention_config, self._recovery_config)
        effort, thermal = EffortControl(self._effort_config), ThermalGovernor(self._thermal_config)
        self._deliberation = TimedDeliberation(deliberation, self._timing, effort, thermal, clocks)
        self._frames = Frames(self, self.common.base_frame, health=self.health)
        self.on_teardown(self._frames.close)
        self._waiting: LatentFrame | None = None
        self._plan: Plan | None = None
        self._plan_bytes = b""
        self._received_s = -math.inf
        self._sending = threading.Lock()
        self._report = PlanningReport(self.health, self._timing.stalled_after_s)
        self._connect()
        self._worker = LatestWorker(self._plan_on)
        self.on_teardown(self._worker.close)

    def _connect(self) -> None:
        self._plans = self.open_publisher(msg.Plan, "planner/plan", PROMISED)
        self._imagination = ImaginationTopics(self)
        self._goal = GoalInput(self, self._frames, self._timing.path_ahead_m)
        self.open_subscription(msg.LatentFrame, "perception/latent", self._on_frame, LATEST)
        self.open_subscription(msg.WarmStart, "latent_cache/warm_start", self._on_warm_start, LATEST)
        self._warm_start_timeout = self.open_timer(self._timing.warm_start_wait_s, self._start_cold, autostart=False)
        self._frame_timeout = self.open_timer(self._timing.frame_timeout_s, self._withdraw, autostart=False)
        self.open_timer(1.0, self._read_temperature)
        self.open_timer(1.0 / self._timing.heartbeat_hz, self._resend)

    @guarded
    def _on_frame(self, message: msg.LatentFrame) -> None:
        if not self.listens():
            return
        received_s = time.perf_counter()
        mark("frame", convert.stamp_from_msg(message.header.stamp))
        age_ns = self.get_clock().now().nanoseconds - convert.stamp_from_msg(message.header.stamp)
        frame = convert.latent_frame_from_msg(message)
        tensors.CONTEXT.check(frame.tensor)
        if frame.frame_id != self.common.odom_frame:
            raise InputError(f"LatentFrame in '{frame.frame_id}', expected '{self.common.odom_frame}' (odom_frame)")
        if not np.isfinite(frame.tensor).all():
            raise InputError("LatentFrame with NaN or infinite numbers: restart perception")
        gap_s, self._received_s = received_s - self._received_s, received_s
        self._report.frame(gap_s, self._timing.frame_timeout_s)
        self._communication_s = to_seconds(age_ns)
        if self._waiting is not None:
            self.health.note("frame_replaced", "a newer frame came before planning on this one began")
        self._waiting = frame
        self._warm_start_timeout.reset()
        self._frame_timeout.reset()
        if gap_s > self._timing.frame_timeout_s:
            self._resend()

    @guarded
    def _on_warm_start(self, message: msg.WarmStart) -> None:
        if self._waiting is not None and message.sequence == self._waiting.sequence:
            self._submit(convert.warm_start_from_msg(message))
        else:
            self.health.note("warm_start_left_out", _NO_FRAME_WAITS)

    def _start_cold(self) -> None:
        self._warm_start_timeout.cancel()
        if self._waiting is not None:
            self._submit(None)

    def _submit(self, warm_start: WarmStart | None) -> None:
        frame, self._waiting = self._waiting, None
        self._warm_start_timeout.cancel()
        if frame is not None:
            job = PlanningJob(
                frame=frame,
                warm_start=warm_start,
                load_s=time.perf_counter() - self._received_s,
                goal=self._goal.in_odom(frame.pose),
                communication_s=self._communication_s,
            )
            self._worker.submit(job)

    @guarded
    def _plan_on(self, job: PlanningJob) -> None:
        """Plan on one frame, on the worker thread."""
        try:
            decision = self._deliberation.decide(job, self._plan)
        except EdgeWorldModelError as error:
            self._report.failed(error)
            raise
        plan_bytes = serialize_message(convert.plan_to_msg(decision.plan))
        with self._sending:
            self._plan = decision.plan
            self._plan_bytes = plan_bytes
            if not self._frames_missing():  # or it would undo its own withdrawal
                mark("plan", job.frame.stamp_ns)
                self._plans.publish(plan_bytes)
        rollouts = self._imagination.publish(job, decision)
        self._report.decided(rollouts, self._worker.dropped, self._deliberation)

    def _read_temperature(self) -> None:
        self._report.temperature(self._deliberation.read_temperature(), self._deliberation.effort())

    def _resend(self) -> None:
        """Send the present plan again while it is valid: proof that the planner runs and gets frames."""
        if not self.active:
            return
        missing = self._frames_missing()
        self._report.watch(missing, self._worker.busy_s())
        if missing:
            return
        with self._sending:  # or an old plan could be sent after a new one
            plan = self._plan
            if plan is not None and self.get_clock().now().nanoseconds < plan.valid_until_ns:
                self._plans.publish(self._plan_bytes)

    def _frames_missing(self) -> bool:
        return time.perf_counter() - self._received_s > self._timing.frame_timeout_s

    def _withdraw(self) -> None:
        """Withdraw the plan when frames stay away, so that the supervisor need not wait until it times out."""
        self._frame_timeout.cancel()
        with self._sending:
            if self.active and self._plan is not None:
                self._plans.publish(convert.withdrawal_to_msg(self._plan))


def main() -> None:
    """Run the node."""
    run(RolloutPlannerNode)
