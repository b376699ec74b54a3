"""The safety supervisor: passes a command on only while every check passes, and stops the robot otherwise.

A tick (``Supervisor.supervise``) does the following:
1. It checks every input: emergency stop, geofence, battery, clock, sensors, odometry, operator signals and plan
   (``guards``, ``intake``).
2. It turns the plan into a twist (``plan_follower``). The gate slows it down until the robot can stop before every
   obstacle in the raw sensor data, limits its change, and checks the braking path (``path_gate``).
3. If any check fails, it commands zero in this same tick.
4. The state machine (``states``, shown in docs/safety.md) decides when the robot may move again, and what a person
   has to reset.
Time is an argument. This module knows neither ROS nor the planner.
"""

from __future__ import annotations

import math

import numpy as np

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import LATCHING, Fault, FaultKind, Settling, SteadyReason, seriousness
from edge_worldmodel.core.safety.guards import Guards
from edge_worldmodel.core.safety.inputs.inputs import Inputs
from edge_worldmodel.core.safety.inputs.intake import (
    Instant,
    OdometrySample,
    TickLength,
)
from edge_worldmodel.core.safety.landing import Landing
from edge_worldmodel.core.safety.latches import SERVICE, Latches, LatchStore, MemoryLatchStore
from edge_worldmodel.core.safety.limits import REST, Motion
from edge_worldmodel.core.safety.motion.motion_monitor import MotionMonitor
from edge_worldmodel.core.safety.motion.path_gate import GateDecision, PathGate
from edge_worldmodel.core.safety.motion.plan_follower import follow
from edge_worldmodel.core.safety.states import PASSING, TRANSITIONS, WAITING_FOR_PERSON, Condition, State
from edge_worldmodel.core.time_units import to_seconds
from edge_worldmodel.core.types import Verdict

_AT_REST = np.array([0.03, 0.03, 0.06])
"""A measured twist below this, in m/s and rad/s, is a robot at rest."""

_ABOUT_PLANS = frozenset({FaultKind.PLAN, FaultKind.RISK, FaultKind.TRACKING, FaultKind.SETTLING})


class Supervisor:
    """Decides in each tick what the robot is commanded.

    Call ``inputs.receive_...`` as messages arrive, and ``supervise`` at ``config.rate_hz``.

    Args:
        config: all limits and timeouts.
        store: keeps what waits for a person; without it, it is kept for the lifetime of this object.
    """

    def __init__(self, config: SupervisorConfig, store: LatchStore | None = None) -> None:
        self.config = config
        self._latches = Latches(store or MemoryLatchStore(), (SERVICE, *config.estop_topics))
        restored = self._latches.restored
        self.state = restored.state
        self.faults: tuple[Fault, ...] = ()
        self.reported: Fault | None = None
        """Fault that the newest verdict gives as its reason."""
        self.guards = Guards(config, restored.pressed)
        self._tick_length = TickLength(1.0 / config.rate_hz)
        self._landing = Landing(config, restored.landing)
        self._gate = PathGate(config)
        self._monitor, self._came_to_rest = MotionMonitor(config), True
        self.inputs = Inputs(config, self._gate.footprint)
        self._fence = config.geofence
        self._motion = REST
        self._reason_chooser = SteadyReason()
        self._last_motion_ns: int | None = None
        self._settling = Settling(config.resume_after_s)
        if not self.save_latches() and self.state not in WAITING_FOR_PERSON:
            self.state = State.LATCHED

    def press_estop(self, pressed: bool, source: str = SERVICE) -> None:
        """Press or release the emergency stop from one of its sources. After a release a reset is needed, too."""
        self.guards.estop.press(pressed, source)

    def fail(self, defect: str, now: Instant) -> Verdict:
        """Command zero and latch because of a defect in our own code."""
        self._command(REST)
        fault = Fault(FaultKind.INTERNAL, f"defect in the supervisor: {defect}")
        self._latches.add(fault)
        self.faults = (fault,)
        self.state = TRANSITIONS[self.state, Condition.LATCH]
        return self._verdict(GateDecision(), now)

    def overrun(self, spent_s: float, limit_s: float, now: Instant) -> Verdict:
        """Command zero after all, because the tick that just ended took too long to keep up with the inputs.

        Args:
            spent_s: processor time of the tick, with the conversion of its messages.
            limit_s: longest processor time of a tick.
            now: present time.
        """
        text = f"a tick took {1e3 * spent_s:.0f} ms of processor time, the limit is {1e3 * limit_s:.0f} ms"
        faults = [fault for fault in self.faults if fault.kind is not FaultKind.SETTLING]
        faults.append(Fault(FaultKind.OVERRUN, text))
        self.faults = tuple(self._settling.add(sorted(faults, key=seriousness), now.steady_ns))
        self.state = TRANSITIONS[self.state, self._condition(GateDecision(), now)]
        self._command(REST)
        return self._verdict(GateDecision(), now)

    def reset(self, now: Instant) -> tuple[bool, str]:
        """Let the robot move again, on behalf of a person. Refused while the reason for the latch lasts.

        Returns:
            Whether the reset was accepted, and a text for the person.
        """
        if self.guards.estop.pressed:
            sources = ", ".join(sorted(self.guards.estop.sources)) or "since the last tick"
            return False, f"Refused: the emergency stop is pressed ({sources}). {FaultKind.ESTOP.value}"
        if self.state not in WAITING_FOR_PERSON:
            return True, f"Nothing to reset: the state is {self.state.name}."
        if (fault := self._lasting_cause(now)) is not None:
            return False, f"Refused: {fault.text}. {fault.kind.value}"
        if problem := self._latches.clear():
            return False, f"Refused: {problem}. {FaultKind.RECORD.value}"
        self.state = TRANSITIONS[self.state, Condition.RESET]
        self._settling.restart(now.steady_ns)
        return True, "Reset. The robot moves again as soon as all checks pass."

    def motion_hindrance(self, now: Instant) -> str:
        """Return why the robot may not be moved without a plan of the planner; empty if it stands and may."""
        if self.state in WAITING_FOR_PERSON:
            return f"the state is {self.state.name}"
        others = [fault.text for fault in self.faults if fault.kind not in _ABOUT_PLANS]
        odometry = self.inputs.trusted_odometry(now)
        if others or odometry is None:
            return others[0] if others else "there is no odometry to trust"
        moves = self._motion.twist.any() or (np.abs(odometry.twist) > _AT_REST).any()
        return "the robot is not at rest" if moves else ""

    def save_latches(self) -> bool:
        """Record what waits for a person, if it has changed; return whether it is recorded.

        Call it after the command of a tick was sent and before anything else is said of the tick: writing may take
        long, and the robot must already have its zero.
        """
        waits = self.state in WAITING_FOR_PERSON
        state = self.state if waits else State.STARTING
        reason = self._landing.cause if self.state is State.LANDING else ""
        return self._latches.save(state, self.guards.estop.sources, reason)

    def _lasting_cause(self, now: Instant) -> Fault | None:
        """Return why the robot may not be reset yet: a cause that lasts, or one whose end cannot be seen."""
        present = self._geofence_fault(now) or self.guards.battery_fault()
        if present is not None:
            return present
        witnesses = {
            FaultKind.GEOFENCE: self.inputs.odometry.fault(now) if self._fence.size else None,
            FaultKind.BATTERY: self.guards.battery_witness(now),
        }
        for cause in self._latches.causes:
            if (witness := witnesses.get(cause.kind)) is not None:
                return Fault(cause.kind, f"{cause.text}, and whether this is over is unknown: {witness.text}")
        return None

    def supervise(self, now: Instant) -> Verdict:
        """Decide the command of this tick. A failed check commands zero in the same tick."""
        self.inputs.begin_tick(now)
        self.guards.watch_panels(now)
        if self._tick_length.was_held_up(now):
            # The watchdog has stopped the base meanwhile, and speeds it up from there.
            self._command(REST)
        dt_s = self._tick_length.take_s(now)
        faults = self._input_faults(now)
        decision = GateDecision() if faults else self._gated_command(now, dt_s)
        if decision.fault is not None:
            faults.append(decision.fault)
        self.faults = tuple(self._settling.add(faults, now.steady_ns))
        self.state = TRANSITIONS[self.state, self._condition(decision, now)]
        self._command(decision.motion if self.state in PASSING else REST)
        if self._motion.twist.any():
            self._last_motion_ns = now.steady_ns
        return self._verdict(decision, now)

    def _command(self, motion: Motion) -> None:
        self._motion, self.inputs.commanded = motion, motion.twist

    def _input_faults(self, now: Instant) -> list[Fault]:
        """Check all inputs; return their faults, the most serious first."""
        odometry = self.inputs.trusted_odometry(now)
        checks = (
            self.guards.estop_fault(),
            *self._defects(),
            self._geofence_fault(now),
            self.guards.battery_fault(),
            self._motion_fault(odometry, now),
            self.guards.command_topic_fault(),
            self.inputs.clock_fault(now),
            *(sensor.fault(now) for sensor in self.inputs.sensors.values()),
            None if self.config.unsafe_without_odometry else self.inputs.odometry.fault(now),
            self.guards.height_fault(odometry),
            *self.guards.signal_faults(now),
            self.inputs.plan.fault(now) or self._plan_fault(now),
        )
        return [fault for fault in checks if fault is not None]

    def _defects(self) -> list[Fault]:
        """Return latched faults that no check finds again in this tick, because they are not about the robot."""
        return [fault for fault in self._latches.causes if fault.kind in (FaultKind.RECORD, FaultKind.INTERNAL)]

    def _geofence_fault(self, now: Instant) -> Fault | None:
        pose = self.inputs.pose(now) if self._fence.size else None
        if pose is None or self._gate.footprint.is_inside(self._fence, pose[None]):
            return None
        return Fault(FaultKind.GEOFENCE, f"outside the geofence at x {pose[0]:.2f} m, y {pose[1]:.2f} m")

    def _motion_fault(self, odometry: OdometrySample | None, now: Instant) -> Fault | None:
        """Compare measured and commanded motion. A robot that was stopped and is at rest may be moved by hand."""
        self._monitor.note_command(self._motion.twist, now.steady_ns)
        if self.state in PASSING:
            self._came_to_rest = False
        elif not self._still_moves(now):
            self._came_to_rest = True
        if odometry is None or self._came_to_rest:
            self._monitor.reset()
            return None
        age_s = self.inputs.odometry.age_s(now)
        return self._monitor.fault(odometry.twist, odometry.stamp_ns, age_s, now.steady_ns, self._gate.brakes)

    def _plan_fault(self, now: Instant) -> Fault | None:
        plan = self.inputs.plan.value
        assert plan is not None
        if now.ros_ns >= plan.valid_until_ns:
            expired_s = to_seconds(now.ros_ns - plan.valid_until_ns)
            return Fault(FaultKind.PLAN, f"plan: expired {expired_s:.2f} s ago")
        if plan.risk > self.config.risk_limit:
            return Fault(FaultKind.RISK, f"risk {plan.risk:.2f} is over the limit {self.config.risk_limit:g}")
        return None

    def _gated_command(self, now: Instant, dt_s: float) -> GateDecision:
        """Turn the plan into the command of this tick. All inputs have passed their checks."""
        config, plan, pose = self.config, self.inputs.plan.value, self.inputs.pose(now)
        assert plan is not None
        validity_s = to_seconds(plan.valid_until_ns - plan.stamp_ns)
        planned, distance_m = follow(plan.trajectory, to_seconds(now.ros_ns - plan.stamp_ns), pose, config, validity_s)
        if not np.isfinite(planned).all():
            return GateDecision(fault=Fault(FaultKind.INTERNAL, "the command is not finite"))
        # Written so that a NaN fails, too.
        if not distance_m <= config.max_tracking_error_m:
            text = f"the robot is {distance_m:.2f} m away from its plan"
            return GateDecision(fault=Fault(FaultKind.TRACKING, text))
        measured = self.inputs.measured_twist(now)
        obstacles = self.inputs.obstacles(measured, now, pose)
        fence_pose, downhill = pose if self._fence.size else None, self.inputs.downhill
        return self._gate.decide(planned, measured, self._motion, obstacles, fence_pose, dt_s, downhill)

    def _condition(self, decision: GateDecision, now: Instant) -> Condition:
        """Return the condition that this tick found."""
        if not self.faults:
            self._landing.all_good(now)
            return Condition.LIMITED if decision.slowed else Condition.CLEAR
        is_drone = self.config.vehicle == "drone"
        airborne = self._landing.is_airborne(self.inputs.trusted_odometry(now))
        waits_on_ground = is_drone and self.state is State.STARTING and not airborne
        flown_by_pilot = is_drone and self.guards.is_flown_by_pilot
        not_ours = waits_on_ground or flown_by_pilot
        latching = [] if not_ours else [fault for fault in self.faults if fault.kind in LATCHING]
        for fault in latching:
            self._latches.add(fault)
        if self.guards.estop.pressed:
            self._latches.add(Fault(FaultKind.ESTOP, "emergency stop was pressed"))
            self.guards.estop.acknowledge()
            return Condition.ESTOP
        if flown_by_pilot:
            # The time to hold before landing begins when the pilot hands over.
            self._landing.all_good(now)
        if not_ours:
            return Condition.HOVER
        if is_drone and self._landing.is_due(self.faults, now):
            if self.state is not State.LANDING:
                self._landing.begin(self.faults[0])
            return Condition.LAND
        if latching:
            return Condition.LATCH
        if is_drone:
            return Condition.HOVER
        return Condition.MOVING if self._still_moves(now) else Condition.AT_REST

    def _still_moves(self, now: Instant) -> bool:
        """Return whether the robot still moves: by odometry, or else by the longest time that braking can take."""
        odometry = self.inputs.trusted_odometry(now)
        if odometry is not None:
            return bool((np.abs(odometry.twist) > _AT_REST).any())
        if self._last_motion_ns is None:
            return False
        longest_s = 2.0 * self._gate.brakes.braking_s(self._gate.limits.upper) + self._gate.brakes.reaction_s
        return to_seconds(now.steady_ns - self._last_motion_ns) < longest_s

    def _reason(self, decision: GateDecision, now: Instant) -> str:
        """Return the reason for the state, for people. It does not change faster than a person can read."""
        self.reported = fault = self._reason_chooser.choose(self.faults, now.steady_ns)
        if self.state is State.ACTIVE:
            return ""
        if self.state is State.LIMITING:
            return f"slower than planned: {', '.join(decision.limits)}"
        if self.state is State.LANDING:
            waits = [same.text for same in self.faults if same.kind is FaultKind.AUTOPILOT]
            return "; ".join((self._landing.reason(), *waits))
        if self.state is State.LATCHED:
            self.reported = self._latches.causes[0]
            return f"{self.reported.text}; call supervisor/reset to go on"
        assert fault is not None
        return fault.text

    def _verdict(self, decision: GateDecision, now: Instant) -> Verdict:
        passing, plan = self.state in PASSING, self.inputs.plan.value
        lands = self.state is State.LANDING and (self._landing.landed or not self.guards.is_flown_by_pilot)
        climb_mps = self._landing.climb_mps(lands, self.inputs.trusted_odometry(now), now)
        return Verdict(
            stamp_ns=now.ros_ns,
            frame_id=self.config.base_frame,
            state=int(self.state),
            reason=self._reason(decision, now),
            command=self._motion.twist.copy(),
            climb_mps=climb_mps,
            limits=decision.limits if passing else (),
            clearance_margin_m=decision.clearance_m,
            plan_age_s=self.inputs.plan.age_s(now),
            sensor_age_s=self.inputs.latest_age_s(now),
            risk=plan.risk if plan is not None else math.nan,
        )
