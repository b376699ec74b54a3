"""Rollout planner node: LatentFrame and WarmStart in, Plan out; thinking happens on a worker thread."""

from __future__ import annotations

import dataclasses
import math
import threading
import time

import numpy as np
from nav_msgs.msg import OccupancyGrid
from rclpy.clock import Clock, ClockType
from rclpy.serialization import serialize_message
from visualization_msgs.msg import MarkerArray

import edge_worldmodel.msg as msg
from edge_worldmodel.core import tensors
from edge_worldmodel.core.disturbances import DisturbanceConfig
from edge_worldmodel.core.effort import EffortConfig, EffortControl
from edge_worldmodel.core.errors import EdgeWorldModelError, InputError
from edge_worldmodel.core.maneuvers import RobotLimits
from edge_worldmodel.core.planner import Planner, PlannerConfig, PlannerOutput
from edge_worldmodel.core.types import LatentFrame, Plan, WarmStart
from edge_worldmodel.nodes import convert
from edge_worldmodel.nodes.convert_sensors import occupancy_to_msg
from edge_worldmodel.nodes.frames import Frames
from edge_worldmodel.nodes.goal_input import GoalInput
from edge_worldmodel.nodes.health import guarded
from edge_worldmodel.nodes.managed_node import ManagedNode, run
from edge_worldmodel.nodes.markers import rollout_markers
from edge_worldmodel.nodes.model import ModelConfig, open_world_model
from edge_worldmodel.nodes.parameters import declare
from edge_worldmodel.nodes.planning_job import Job, PlannerNodeConfig
from edge_worldmodel.nodes.planning_report import PlanningReport
from edge_worldmodel.nodes.qos import LATCHED, LATEST, PROMISED
from edge_worldmodel.nodes.thinking import Clocks, Thinking
from edge_worldmodel.nodes.worker import LatestWorker


class RolloutPlannerNode(ManagedNode):
    """Receives frames, plans on the newest, re-sends the plan while it is valid."""

    def __init__(self) -> None:
        super().__init__("rollout_planner")
        self._timing = declare(self, PlannerNodeConfig)
        self._model_config = declare(self, ModelConfig)
        self._limits = declare(self, RobotLimits, "robot")
        self._disturbances = declare(self, DisturbanceConfig, "disturbance")
        self._config = declare(self, PlannerConfig)
        self._effort_config = declare(self, EffortConfig, "effort")

    def setup(self) -> None:
        """Load the model and connect."""
        model = open_world_model(self, self._model_config, self.health)
        planner = Planner(model, self._limits, self._config, self._disturbances)
        clocks = Clocks(time.perf_counter, lambda: self.get_clock().now().nanoseconds)
        self._thinking = Thinking(planner, self._timing, EffortControl(self._effort_config), clocks)
        self._frames = Frames(self, self.common.base_frame)
        self._waiting: LatentFrame | None = None
        self._plan: Plan | None = None
        self._plan_bytes = b""
        self._received_s = -math.inf
        self._sending = threading.Lock()
        self._report = PlanningReport(self.health, self._timing.stalled_after_s)
        self._connect()
        self._worker = LatestWorker(self._think)

    def _connect(self) -> None:
        self._plans = self.create_publisher(msg.Plan, "planner/plan", PROMISED)
        self._rollouts = self.create_publisher(msg.RolloutSet, "planner/rollouts", LATEST)
        self._solutions = self.create_publisher(msg.LatentFrame, "planner/solution", LATEST)
        self._imagined = self.create_publisher(OccupancyGrid, "planner/imagined_occupancy", LATCHED)
        self._markers = self.create_publisher(MarkerArray, "planner/markers", LATEST)
        self._goal = GoalInput(self, self._frames)
        self._inputs = [
            self.create_subscription(msg.LatentFrame, "perception/latent", self._on_frame, LATEST),
            self.create_subscription(msg.WarmStart, "latent_cache/warm_start", self._on_warm_start, LATEST),
            self._goal.subscription,
        ]
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._patience = self.create_timer(
            self._timing.warm_start_wait_s, self._start_cold, clock=steady, autostart=False
        )
        self._blinding = self.create_timer(self._timing.frame_timeout_s, self._withdraw, clock=steady, autostart=False)
        self._heartbeat = self.create_timer(1.0 / self._timing.heartbeat_hz, self._resend, clock=steady)

    def teardown(self) -> None:
        """Stop thinking and disconnect."""
        if "_worker" in self.__dict__:
            self.__dict__.pop("_worker").close()
            for subscription in self._inputs:
                self.destroy_subscription(subscription)
            self.destroy_timer(self._patience)
            self.destroy_timer(self._blinding)
            self.destroy_timer(self._heartbeat)

    @guarded
    def _on_frame(self, message: msg.LatentFrame) -> None:
        if not self.active:
            return
        received_s = time.perf_counter()
        communication_s = (self.get_clock().now().nanoseconds - convert.stamp_from_msg(message.header.stamp)) * 1e-9
        frame = convert.latent_frame_from_msg(message)
        tensors.CONTEXT.check(frame.tensor)
        if frame.frame_id != self.common.odom_frame:
            raise InputError(f"LatentFrame in '{frame.frame_id}', expected '{self.common.odom_frame}' (odom_frame)")
        if not np.isfinite(frame.tensor).all():
            raise InputError("LatentFrame with NaN or infinite numbers: restart perception")
        unseen_s, self._received_s = received_s - self._received_s, received_s
        self._communication_s = communication_s
        self._waiting = frame
        self._patience.reset()
        self._blinding.reset()
        if unseen_s > self._timing.frame_timeout_s:
            self._resend()

    @guarded
    def _on_warm_start(self, message: msg.WarmStart) -> None:
        if self._waiting is not None and message.sequence == self._waiting.sequence:
            self._submit(convert.warm_start_from_msg(message))

    def _start_cold(self) -> None:
        self._patience.cancel()
        if self._waiting is not None:
            self._submit(None)

    def _submit(self, warm_start: WarmStart | None) -> None:
        frame, self._waiting = self._waiting, None
        self._patience.cancel()
        if frame is not None:
            load_s = time.perf_counter() - self._received_s
            self._worker.submit(Job(frame, warm_start, self._goal.in_odom(), self._communication_s, load_s))

    @guarded
    def _think(self, job: Job) -> None:
        """Plan on one frame; runs on the worker thread."""
        try:
            output = self._thinking.tick(job, self._plan)
        except EdgeWorldModelError as error:
            self._report.failed(error)
            raise
        self._publish(job, output)

    def _publish(self, job: Job, output: PlannerOutput) -> None:
        frame = job.frame
        plan_bytes = serialize_message(convert.plan_to_msg(output.plan))
        with self._sending:
            self._plan = output.plan
            self._plan_bytes = plan_bytes
            if not self._is_blind():  # or it would undo its own withdrawal
                self._plans.publish(plan_bytes)
        latency = dataclasses.replace(
            output.rollout_set.latency, load_s=job.load_s, communication_s=job.communication_s
        )
        rollouts = dataclasses.replace(output.rollout_set, latency=latency)
        self._rollouts.publish(convert.rollout_set_to_msg(rollouts))
        self._markers.publish(rollout_markers(rollouts, output.plan))
        solution = dataclasses.replace(frame, tensor=output.solution)
        self._solutions.publish(convert.latent_frame_to_msg(solution))
        known = np.ones(output.imagined.shape[-2:], bool)
        when_ns = frame.stamp_ns + round(tensors.HORIZON_STEP_S * 1e9)
        self._imagined.publish(occupancy_to_msg(output.imagined[0], known, frame.pose, when_ns, frame.frame_id))
        self._report.planned(rollouts, self._worker.dropped, self._thinking.effort.effort())

    def _resend(self) -> None:
        """Prove that the planner lives and sees, for as long as the present plan may be followed."""
        if not self.active:
            return
        blind = self._is_blind()
        self._report.watched(blind, self._worker.busy_s())
        if blind:
            return
        with self._sending:  # or an old plan could follow a new one
            plan = self._plan
            if plan is not None and self.get_clock().now().nanoseconds < plan.valid_until_ns:
                self._plans.publish(self._plan_bytes)

    def _is_blind(self) -> bool:
        return time.perf_counter() - self._received_s > self._timing.frame_timeout_s

    def _withdraw(self) -> None:
        """Nobody looks any more: take the plan back, so that the supervisor need not wait for its silence."""
        self._blinding.cancel()
        with self._sending:
            if self.active and self._plan is not None:
                self._plans.publish(convert.withdrawal_to_msg(self._plan))


def main() -> None:
    """Run the node."""
    run(RolloutPlannerNode)
