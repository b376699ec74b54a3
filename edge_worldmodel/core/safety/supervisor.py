"""The safety supervisor: passes a command on only while everything holds, stops the robot otherwise.

The rules, in the order of a tick (``Supervisor.supervise``):
1. Every input must be trustworthy: plan, each sensor, odometry, the clock (``intake``).
2. The plan becomes a twist (``tracking``), within the velocity limits, slow enough to stop before anything
   that the raw sensor data shows (``path_gate``), and changed no faster than the limits allow (``limits``).
3. If that is not enough to stay clear, or anything else is wrong, zero is commanded in the same tick.
4. The state machine (``supervisor_states``, printed in docs/safety.md) decides what a person has to confirm.
Time is an argument. Nothing here knows ROS, networks or the planner.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edge_worldmodel.core.geometry import compose
from edge_worldmodel.core.safety.braking import as_seen_from, moved
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.descent import Descent
from edge_worldmodel.core.safety.faults import LANDING_AT_ONCE, LATCHING, Cause, Fault
from edge_worldmodel.core.safety.frozen import is_moving, is_same_look, is_same_place
from edge_worldmodel.core.safety.guards import Guards
from edge_worldmodel.core.safety.imagined import Imagined
from edge_worldmodel.core.safety.intake import Clock, Intake, Odometry, odometry_problem, plan_problem, sweep_problem
from edge_worldmodel.core.safety.limits import REST
from edge_worldmodel.core.safety.path_gate import Decision, Look, PathGate
from edge_worldmodel.core.safety.polygon import signed_distance
from edge_worldmodel.core.safety.states import PASSING, TRANSITIONS, WAITING_FOR_PERSON, Condition, State
from edge_worldmodel.core.safety.tracking import follow
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.types import Floats, Plan, Verdict

_STANDING = np.array([0.03, 0.03, 0.06])
MIN_TICK_S = 1e-3
"""A tick that comes sooner after the last one counts as this long."""
_CLOCK_BACK_NS = 10_000_000


class Supervisor:
    """Feed it with ``receive_...`` as messages arrive and call ``supervise`` at ``config.rate_hz``."""

    def __init__(self, config: SupervisorConfig) -> None:
        self.config = config
        self.state = State.STARTING
        self.faults: tuple[Fault, ...] = ()
        tolerance_s = config.future_tolerance_s
        self.plan: Intake[Plan] = Intake(
            "plan", Cause.PLAN, config.plan_timeout_s, config.plan_max_age_s, tolerance_s, repeats=True
        )
        self.sensors: dict[str, Intake[Sweep]] = {
            topic: Intake(f"sensor {topic}", Cause.SENSOR, timeout_s, timeout_s, tolerance_s, repeats=False)
            for topic, timeout_s in config.timeouts_s.items()
        }
        timeout_s = config.odometry_timeout_s
        self.odometry: Intake[Odometry] = Intake(
            "odometry", Cause.ODOMETRY, timeout_s, timeout_s, tolerance_s, repeats=False
        )
        self.guards = Guards(config)
        self._descent = Descent(config.landing_speed_mps)
        self.imagined = Imagined(config.imagined_min)
        self._gate = PathGate(config)
        self._fence = config.geofence
        self._motion = REST
        self._landing_for = ""
        self._defect = ""
        self._ros_ns = 0
        self._ros_moved_ns = 0
        self._clock_jumped = False
        self._frozen: set[str] = set()
        self._tick_ns: int | None = None
        self._moved_ns: int | None = None
        self._fault_ns: int | None = None
        self._fault_since_ns = 0
        self._latched: Fault | None = None

    def receive_plan(self, plan: Plan, clock: Clock) -> None:
        """Take a plan, or distrust the planner until the next good one."""
        self._watch_clock(clock)
        self.plan.offer(plan, plan.stamp_ns, plan_problem(plan, self.config), clock)

    def receive_sweep(self, topic: str, sweep: Sweep, rays: int, clock: Clock) -> None:
        """Take what a sensor sees; ``rays`` is how many it sent, usable or not."""
        self._watch_clock(clock)
        sensor, problem = self.sensors[topic], sweep_problem(sweep, rays, self.config)
        if not is_same_look(sensor.value, sweep):
            self._frozen.discard(topic)
        elif self._certainly_moves(clock):
            self._frozen.add(topic)  # until it shows something else, even when the robot has stopped
        sensor.offer(sweep, sweep.stamp_ns, problem, clock, frozen=topic in self._frozen)

    def receive_odometry(self, odometry: Odometry, clock: Clock) -> None:
        """Take where the robot is and how it moves."""
        self._watch_clock(clock)
        problem, frozen = odometry_problem(odometry, self.config), is_same_place(self.odometry.value, odometry)
        self.odometry.offer(odometry, odometry.stamp_ns, problem, clock, frozen=frozen)

    def press_estop(self, pressed: bool, source: str = "service") -> None:
        """Press or release the emergency stop by one of its sources; after a release a reset is still needed."""
        self.guards.estop.press(pressed, source)

    def fail(self, defect: str, clock: Clock) -> Verdict:
        """Command zero and latch because of a defect in our own code."""
        self._defect = defect
        self._motion = REST
        self._latched = Fault(Cause.INTERNAL, f"defect in the supervisor: {defect}")
        self.faults = (self._latched,)
        self.state = TRANSITIONS[self.state, Condition.LATCHING]
        return self._verdict(Decision(), clock)

    def reset(self, clock: Clock) -> tuple[bool, str]:
        """Confirm, as a person, that the robot may move again.

        Returns:
            Whether it was accepted, and why not or what happens next. Refused while the cause lasts.
        """
        if self.guards.estop.pressed:
            return False, f"Refused: the emergency stop is pressed. {Cause.ESTOP.value}"
        if self.state not in WAITING_FOR_PERSON:
            return True, f"Nothing to reset: the state is {self.state.name}."
        self._defect = ""
        lasting = self._latching_faults(clock)
        if lasting:
            return False, f"Refused: {lasting[0].text}. {lasting[0].cause.value}"
        self.state = TRANSITIONS[self.state, Condition.RESET]
        self._latched = None
        self._fault_ns = clock.steady_ns
        return True, "Reset. The robot moves again as soon as everything holds."

    def supervise(self, clock: Clock) -> Verdict:
        """Decide what to command now; never raises the speed of a robot that should stop."""
        self._watch_clock(clock)
        dt_s = self._tick_length_s(clock)
        faults = self._input_faults(clock)
        decision = Decision() if faults else self._decide(clock, dt_s)
        if decision.fault is not None:
            faults.append(decision.fault)
        self.faults = tuple(self._settle(faults, clock))
        self.state = TRANSITIONS[self.state, self._condition(decision, clock)]
        self._motion = decision.motion if self.state in PASSING else REST
        if self._motion.twist.any():
            self._moved_ns = clock.steady_ns
        return self._verdict(decision, clock)

    def _watch_clock(self, clock: Clock) -> None:
        """Note whether the ROS clock advances; after a jump backward drop everything stamped before it."""
        jumped = clock.ros_ns < self._ros_ns - _CLOCK_BACK_NS
        if jumped:
            self._clock_jumped = True  # until the next tick has stopped for it
            intakes: tuple[Intake[Any], ...] = (self.plan, self.odometry, *self.sensors.values())
            for intake in intakes:
                intake.forget()
        if jumped or clock.ros_ns > self._ros_ns:
            self._ros_ns, self._ros_moved_ns = clock.ros_ns, clock.steady_ns

    def _tick_length_s(self, clock: Clock) -> float:
        """Return the time since the last tick, at most one period: a late tick earns no larger step."""
        period_s = 1.0 / self.config.rate_hz
        before_ns, self._tick_ns = self._tick_ns, clock.steady_ns
        if before_ns is None:
            return period_s
        return min(max((clock.steady_ns - before_ns) * 1e-9, MIN_TICK_S), period_s)

    def _input_faults(self, clock: Clock) -> list[Fault]:
        """Return everything that is wrong with the inputs, the gravest first."""
        config = self.config
        faults: list[Fault | None] = [*self._latching_faults(clock)]
        if self.guards.estop.pressed:
            faults.insert(0, Fault(Cause.ESTOP, "emergency stop pressed"))
        still_s = (clock.steady_ns - self._ros_moved_ns) * 1e-9
        if self._clock_jumped:
            self._clock_jumped = False
            faults.append(Fault(Cause.CLOCK, "the clock jumped back; everything before it was dropped"))
        elif clock.ros_ns <= 0 or still_s > config.clock_timeout_s:
            faults.append(Fault(Cause.CLOCK, "the clock stands still"))
        faults.extend(sensor.fault(clock) for sensor in self.sensors.values())
        if not config.unsafe_without_odometry:
            faults.append(self.odometry.fault(clock))
        faults.extend(self.guards.faults(self._trusted_odometry(clock), clock))
        faults.append(self.plan.fault(clock) or self._plan_fault(clock))
        return [fault for fault in faults if fault is not None]

    def _plan_fault(self, clock: Clock) -> Fault | None:
        plan = self.plan.value
        assert plan is not None
        if clock.ros_ns >= plan.valid_until_ns:
            expired_s = (clock.ros_ns - plan.valid_until_ns) * 1e-9
            return Fault(Cause.PLAN, f"plan: expired {expired_s:.2f} s ago")
        if plan.risk > self.config.risk_limit:
            return Fault(Cause.RISK, f"risk {plan.risk:.2f} is over the limit {self.config.risk_limit:g}")
        return None

    def _latching_faults(self, clock: Clock) -> list[Fault]:
        """Return what needs a person, while it lasts."""
        faults = []
        if self._defect:
            faults.append(Fault(Cause.INTERNAL, f"defect in the supervisor: {self._defect}"))
        pose = self._pose(clock) if self._fence.size else None
        if pose is not None and signed_distance(self._fence, pose[:2]) > 0.0:
            faults.append(Fault(Cause.GEOFENCE, f"outside the geofence at x {pose[0]:.2f} m, y {pose[1]:.2f} m"))
        low = self.guards.battery_low()
        return [*faults, low] if low else faults

    def _trusted_odometry(self, clock: Clock) -> Odometry | None:
        return None if self.odometry.fault(clock) else self.odometry.value

    def _pose(self, clock: Clock) -> Floats | None:
        """Return the pose in the odom frame carried forward to now, None without odometry."""
        odometry = self._trusted_odometry(clock)
        if odometry is None:
            return None
        age_s = max(self.odometry.age_s(clock), 0.0)
        return compose(odometry.pose, moved(odometry.twist, age_s))

    def _decide(self, clock: Clock, dt_s: float) -> Decision:
        """Turn the plan into the command for this tick; all inputs are known to be good."""
        config, plan, pose = self.config, self.plan.value, self._pose(clock)
        assert plan is not None
        t_s = (clock.ros_ns - plan.stamp_ns) * 1e-9
        planned, distance_m = follow(plan.trajectory, t_s, pose, config)
        if not np.isfinite(planned).all():
            return Decision(fault=Fault(Cause.INTERNAL, "the command is not a number"))
        if not distance_m <= config.max_tracking_error_m:
            return Decision(fault=Fault(Cause.TRACKING, f"the robot is {distance_m:.2f} m off its plan"))
        pose_now = pose if self._fence.size else None
        measured = self._measured(clock)
        return self._gate.decide(planned, measured, self._motion, self._look(measured, clock, pose), pose_now, dt_s)

    def _measured(self, clock: Clock) -> Floats:
        """Return the twist (3,) of now: measured, or without odometry the one commanded last."""
        odometry = self._trusted_odometry(clock)
        return self._motion.twist if odometry is None else odometry.twist

    def _certainly_moves(self, clock: Clock) -> bool:
        """Return whether readings must differ: without the odometry that is due, nobody knows, and it stops anyway."""
        known = self.config.unsafe_without_odometry or self._trusted_odometry(clock) is not None
        return known and is_moving(self._measured(clock))

    def _look(self, twist: Floats, clock: Clock, pose: Floats | None) -> Look:
        """Return what the sensors see, moved into the base frame of now, and what the world model expects there."""
        hits, ends = [np.empty((0, 2))], [np.empty((0, 2))]
        for sensor in self.sensors.values():
            assert sensor.value is not None
            base_now = moved(twist, max(sensor.age_s(clock), 0.0))
            endpoints = as_seen_from(base_now, sensor.value.endpoints)
            ends.append(endpoints)
            hits.append(endpoints[sensor.value.hit])
        return Look(np.concatenate(hits), np.concatenate(ends), self.imagined.points(clock.ros_ns, pose))

    def _settle(self, faults: list[Fault], clock: Clock) -> list[Fault]:
        """Add a last fault until everything has held for long enough, so that the robot does not stutter."""
        if faults:
            self._fault_ns = clock.steady_ns
        elif self._fault_ns is not None:
            left_s = self.config.resume_after_s - (clock.steady_ns - self._fault_ns) * 1e-9
            if left_s > 0.0:
                return [Fault(Cause.SETTLING, f"everything holds again, goes on in {left_s:.1f} s")]
        return faults

    def _condition(self, decision: Decision, clock: Clock) -> Condition:
        """Name what this tick found."""
        if not self.faults:
            self._fault_since_ns = clock.steady_ns
            return Condition.LIMITED if decision.slowed else Condition.CLEAR
        if self.guards.estop.pressed:
            self._latched = None
            self.guards.estop.seen()
            return Condition.ESTOP
        drone = self.config.vehicle == "drone"
        if drone and self._must_land(clock):
            if self.state is not State.LANDING:
                self._landing_for = self.faults[0].text
            return Condition.SINKING
        latching = [fault for fault in self.faults if fault.cause in LATCHING]
        if latching:
            self._latched = latching[0]
            return Condition.LATCHING
        if drone:
            return Condition.HOVERING
        return Condition.MOVING if self._moves(clock) else Condition.STANDING

    def _must_land(self, clock: Clock) -> bool:
        """Return whether a drone has held its place for long enough, or must not hold it at all."""
        lasts_s = (clock.steady_ns - self._fault_since_ns) * 1e-9
        return lasts_s > self.config.hold_before_land_s or any(fault.cause in LANDING_AT_ONCE for fault in self.faults)

    def _moves(self, clock: Clock) -> bool:
        """Return whether the robot still moves: by odometry, or by the time that braking takes at most."""
        odometry = self._trusted_odometry(clock)
        if odometry is not None:
            return bool((np.abs(odometry.twist) > _STANDING).any())
        if self._moved_ns is None:
            return False
        fastest = 2.0 * self._gate.brakes.braking_s(self._gate.limits.upper) + self._gate.brakes.reaction_s
        return (clock.steady_ns - self._moved_ns) * 1e-9 < fastest

    def _reason(self, decision: Decision) -> str:
        if self.state is State.ACTIVE:
            return ""
        if self.state is State.LIMITING:
            return f"slower than planned: {', '.join(decision.limits)}"
        if self.state is State.LANDING:
            return "landed; call supervisor/reset to go on" if self._descent.landed else f"landing: {self._landing_for}"
        if self.state is State.LATCHED:
            why = self._latched.text if self._latched else "emergency stop was pressed"
            return f"{why}; call supervisor/reset to go on"
        return self.faults[0].text

    def _verdict(self, decision: Decision, clock: Clock) -> Verdict:
        passing, plan = self.state in PASSING, self.plan.value
        ages_s = [sensor.age_s(clock) for sensor in self.sensors.values()]
        climb_mps = self._descent.climb_mps(self.state is State.LANDING, self._trusted_odometry(clock), clock)
        return Verdict(
            stamp_ns=clock.ros_ns,
            frame_id=self.config.base_frame,
            state=int(self.state),
            reason=self._reason(decision),
            command=self._motion.twist.copy(),
            climb_mps=climb_mps,
            limits=decision.limits if passing else (),
            clearance_margin_m=decision.clearance_m,
            plan_age_s=self.plan.age_s(clock),
            sensor_age_s=max(ages_s, default=math.nan) if not any(map(math.isnan, ages_s)) else math.nan,
            risk=plan.risk if plan is not None else math.nan,
        )
