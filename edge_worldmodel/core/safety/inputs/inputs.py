"""All inputs of a tick: the plan, the sensors and odometry, and what they say of the robot and its surroundings."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from edge_worldmodel.core.geometry import compose, points_in_frame
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import Fault, FaultKind
from edge_worldmodel.core.safety.inputs.cloud_slab import bounded_sweep
from edge_worldmodel.core.safety.inputs.imagined_obstacles import ImaginedObstacles
from edge_worldmodel.core.safety.inputs.intake import (
    ClockWatch,
    Instant,
    Intake,
    OdometrySample,
    is_moving,
    looks_the_same,
    odometry_problem,
    own_body_problem,
    plan_problem,
    repeats_pose,
    repeats_sweep,
    sweep_problem,
)
from edge_worldmodel.core.safety.limits import REST
from edge_worldmodel.core.safety.motion.braking import RobotFootprint, arc_pose
from edge_worldmodel.core.safety.motion.path_gate import ObstaclePoints
from edge_worldmodel.core.safety.sight.coverage import Coverage
from edge_worldmodel.core.sweep import Sweep, deskewed
from edge_worldmodel.core.time_units import to_seconds
from edge_worldmodel.core.types import Plan, Pose, Twist

_SLOPE_SETTLING_S = 0.3
"""A slope is averaged over so long, because a bump is none."""


class Inputs:
    """Keeps the newest value of each input.

    Call ``receive_...`` as messages arrive, and ``begin_tick`` once in each tick.

    Args:
        config: limits and timeouts of the inputs.
        footprint: footprint of the robot.
    """

    def __init__(self, config: SupervisorConfig, footprint: RobotFootprint) -> None:
        self._config = config
        tolerance_s = config.future_tolerance_s
        self.plan: Intake[Plan] = Intake(
            "plan", FaultKind.PLAN, config.plan_timeout_s, config.plan_max_age_s, tolerance_s, repeats=True
        )
        self.sensors: dict[str, Intake[Sweep]] = {
            topic: Intake(f"sensor {topic}", FaultKind.SENSOR, timeout_s, timeout_s, tolerance_s, repeats=False)
            for topic, timeout_s in config.timeouts_s.items()
        }
        timeout_s = config.odometry_timeout_s
        self.odometry: Intake[OdometrySample] = Intake(
            "odometry", FaultKind.ODOMETRY, timeout_s, timeout_s, tolerance_s, repeats=False
        )
        self.imagined = ImaginedObstacles(config.imagined_min)
        self.commanded: Twist = REST.twist
        """Last command (3,); stands in for the measured twist where there is no odometry."""
        self.downhill = (0.0, 0.0)
        """Sine of the slope along the base's x and y axis, averaged; a drone tilts to accelerate, so it has none."""
        self._clock_watch = ClockWatch(config.clock_timeout_s)
        self._footprint = footprint
        self._coverage = Coverage(footprint, config.open_country, config.approach_speed_mps)
        self._frozen: set[str] = set()
        # The newest sweeps as seen from one place each; the intakes keep them as measured, to notice repetitions.
        self._seen: dict[str, Sweep] = {}

    def receive_plan(self, plan: Plan, now: Instant) -> None:
        """Take a plan. A bad one makes the planner untrusted until its next good one."""
        self._watch_clock(now)
        self.plan.offer(plan, plan.stamp_ns, plan_problem(plan, self._config), now)

    def receive_sweep(self, topic: str, sweep: Sweep, rays: int, now: Instant) -> None:
        """Take a sweep of one sensor.

        Args:
            topic: topic of the sensor, one of ``config.sources``.
            sweep: its usable rays.
            rays: number of rays that it sent, usable or not; 0 for a cloud without points.
            now: time of receipt.
        """
        self._watch_clock(now)
        sensor, problem = self.sensors[topic], self._sweep_problem(topic, sweep, rays)
        sweep = sweep if problem else bounded_sweep(sweep)
        if not repeats_sweep(sensor.value, sweep):
            self._frozen.discard(topic)
        elif self._must_see_motion(now) and not self._may_repeat(topic, sweep, now):
            # It stays frozen until its content changes, even if the robot stops in the meantime.
            self._frozen.add(topic)
        sensor.offer(sweep, sweep.stamp_ns, problem, now, frozen=topic in self._frozen)
        if sensor.value is sweep:
            twist = self.measured_twist(now)
            self._seen[topic] = deskewed(sweep, twist)
            self._coverage.look(topic, self._seen[topic], twist)

    def receive_odometry(self, odometry: OdometrySample, now: Instant) -> None:
        """Take the measured pose and twist of the robot."""
        self._watch_clock(now)
        previous = self.odometry.value
        problem, frozen = odometry_problem(odometry, self._config), repeats_pose(previous, odometry)
        self.odometry.offer(odometry, odometry.stamp_ns, problem, now, frozen=frozen)
        if self.odometry.value is odometry and self._config.vehicle == "ground":
            passed_s = to_seconds(odometry.stamp_ns - previous.stamp_ns) if previous else _SLOPE_SETTLING_S
            share = min(max(passed_s, 0.0) / _SLOPE_SETTLING_S, 1.0)
            x, y = (old + share * (new - old) for old, new in zip(self.downhill, odometry.downhill, strict=True))
            self.downhill = (x, y)

    def begin_tick(self, now: Instant) -> None:
        """Note that the time has passed."""
        self._watch_clock(now)
        self._coverage.move(self.measured_twist(now), now.ros_ns)
        self._coverage.find_approaching()

    def clock_fault(self, now: Instant) -> Fault | None:
        """Return the fault of the ROS clock; a jump is reported once."""
        return self._clock_watch.take_fault(now)

    def latest_age_s(self, now: Instant) -> float:
        """Return the age of the oldest of the sensors' newest values; NaN if one has none."""
        ages_s = [sensor.age_s(now) for sensor in self.sensors.values()]
        return max(ages_s, default=math.nan) if not any(map(math.isnan, ages_s)) else math.nan

    def trusted_odometry(self, now: Instant) -> OdometrySample | None:
        """Return the newest odometry, None if it cannot be trusted now."""
        return None if self.odometry.fault(now) else self.odometry.value

    def pose(self, now: Instant) -> Pose | None:
        """Return the present pose (3,) in the odom frame, extrapolated from odometry; None without odometry."""
        odometry = self.trusted_odometry(now)
        if odometry is None:
            return None
        age_s = max(self.odometry.age_s(now), 0.0)
        return compose(odometry.pose, arc_pose(odometry.twist, age_s))

    def measured_twist(self, now: Instant) -> Twist:
        """Return the measured twist (3,), or without odometry the last command."""
        odometry = self.trusted_odometry(now)
        return self.commanded if odometry is None else odometry.twist

    def obstacles(self, twist: Twist, now: Instant, pose: Pose | None) -> ObstaclePoints:
        """Return seen and imagined obstacles in the present base frame.

        Args:
            twist: twist (3,) of the robot since the sweeps.
            now: present time.
            pose: present pose (3,) in the odom frame, None if unknown.
        """
        hits = [np.empty((0, 2))]
        for topic, sensor in self.sensors.items():
            seen = self._seen[topic]
            base_now = arc_pose(twist, max(sensor.age_s(now), 0.0))
            seen_and_remembered = seen.hits, self._coverage.remembered(topic)
            hits += [points_in_frame(base_now, points) for points in seen_and_remembered if len(points)]
        return ObstaclePoints(
            hits=np.concatenate(hits),
            imagined=self.imagined.points(now.ros_ns, pose),
            has_seen=partial(self._coverage.has_seen, now_ns=now.ros_ns) if self.sensors else None,
            # The tracked movers of perception are to be joined here.
            movers=self._coverage.movers(now.ros_ns),
        )

    def _watch_clock(self, now: Instant) -> None:
        """After a jump back of the ROS clock, drop all inputs from before it."""
        if self._clock_watch.update(now):
            intakes: tuple[Intake[Any], ...] = (self.plan, self.odometry, *self.sensors.values())
            for intake in intakes:
                intake.forget()
            self._coverage.forget()

    def _sweep_problem(self, topic: str, sweep: Sweep, rays: int) -> str:
        if rays == 0 and topic in self._config.cloud_topics:
            return ""  # filters that let obstacles pass only send clouds without points
        return sweep_problem(sweep, rays, self._config) or own_body_problem(sweep, self._footprint)

    def _must_see_motion(self, now: Instant) -> bool:
        """Return whether two sweeps must differ. If required odometry is missing it is unknown, and the robot stops."""
        known = self._config.unsafe_without_odometry or self.trusted_odometry(now) is not None
        return known and is_moving(self.measured_twist(now))

    def _may_repeat(self, topic: str, sweep: Sweep, now: Instant) -> bool:
        """Return whether this sweep can equal the last one of its sensor although the robot has moved."""
        previous = self.sensors[topic].value
        assert previous is not None
        motion = arc_pose(self.measured_twist(now), to_seconds(sweep.stamp_ns - previous.stamp_ns))
        return looks_the_same(sweep, motion)
