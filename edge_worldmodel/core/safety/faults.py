"""Reasons why the supervisor does not pass a command on, each with advice for the operator."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from edge_worldmodel.core.time_units import to_seconds


class FaultKind(Enum):
    """Kinds of faults, the most serious first; the value tells the operator what to do."""

    ESTOP = "Release the emergency stop, check the robot's surroundings, then call supervisor/reset."
    RECORD = (
        "Check the folder of the record and its disk (see docs/safety.md) and the robot, then call supervisor/reset."
    )
    INTERNAL = "This is a bug in the supervisor. Save the log, report it, then call supervisor/reset."
    GEOFENCE = "Bring the robot back inside the geofence by hand, then call supervisor/reset."
    BATTERY = "Charge or replace the battery, then call supervisor/reset."
    MOTION = "Look for a blocked wheel, a broken encoder or a base that ignores commands, then call supervisor/reset."
    COMMAND_TOPIC = "End the other program that commands the drive base: ros2 topic info --verbose names it."
    CLOCK = "Check that the ROS clock advances (is the simulation paused?) and that nothing sets it back."
    OVERRUN = (
        "Send smaller clouds and scans, or use a faster computer; /diagnostics say whether the kernels are compiled."
    )
    SENSOR = "Check the sensor's power, driver, topic name, frame and stamps."
    ODOMETRY = "Check the odometry topic, its frames and its stamps, and that the drive base is on."
    BATTERY_SIGNAL = "Check the topic battery_state: its percentage must lie between 0 and 1."
    HEIGHT = "Bring the drone back between the heights of height_band_m."
    ESTOP_SIGNAL = "Check that the emergency stop panel is on and publishes at least every estop_heartbeat_s."
    LINK = "Check the operator's station and its radio: no operator_heartbeat arrives."
    DEADMAN = "Hold the deadman switch, and check that supervisor/deadman is being published."
    AUTOPILOT = (
        "Arm the autopilot and switch it to its offboard or guided mode when the robot may move; if it is silent, check"
        " the topic of its status (see docs/safety.md)."
    )
    PLAN = "Check that rollout_planner is active and gets its inputs: ros2 lifecycle get, ros2 topic hz planner/plan."
    TRACKING = "The robot is not where its plan says. Check for slip, a jump in odometry or a blocked wheel."
    RISK = "The planner found no maneuver with an acceptable risk. The robot resumes when it finds one."
    SLOPE = (
        "Drive the robot off the slope by hand. If it can brake there, raise braking_deceleration_mps2 to what it does."
    )
    OBSTACLE = "Clear the braking path, or wait for a plan around the obstacle."
    GEOFENCE_AHEAD = "The plan leaves the geofence. Choose another goal or enlarge geofence_m."
    SETTLING = "Nothing to do: the robot resumes when all checks have passed for resume_after_s."


LATCHING = frozenset({FaultKind.RECORD, FaultKind.INTERNAL, FaultKind.GEOFENCE, FaultKind.BATTERY, FaultKind.MOTION})
"""Kinds that stop the robot until a person resets it. The emergency stop has its own state."""
LANDING_AT_ONCE = frozenset({FaultKind.BATTERY})
"""Kinds for which a drone lands without holding its place first."""


class Fault(NamedTuple):
    """One reason, found in this tick, for not passing a command on.

    Attributes:
        kind: kind of the fault, with the advice for it.
        text: description with the measured values, for people.
    """

    kind: FaultKind
    text: str


_REASON_HELD_S = 0.5
"""A fault that comes and goes stays the reason for so long after it was last found."""
_NUMBERS = re.compile(r"-?\d+(\.\d+)?")


class SteadyReason:
    """Chooses the fault to report, so that the reason does not flip between faults that come and go.

    The first fault stays the reason until it has been gone for 0.5 s, or a more serious one is found.
    """

    def __init__(self) -> None:
        self._fault: Fault | None = None
        self._found_ns = 0

    def choose(self, faults: Sequence[Fault], steady_ns: int) -> Fault | None:
        """Return the fault to report in this tick; None without any.

        Args:
            faults: faults of this tick, the most serious first.
            steady_ns: time of the tick.
        """
        if not faults:
            self._fault = None
            return None
        held = self._fault
        same = next((fault for fault in faults if held is not None and _is_same(fault, held)), None)
        if (
            held is None
            or (same is None and to_seconds(steady_ns - self._found_ns) > _REASON_HELD_S)
            or seriousness(faults[0]) < seriousness(held)
        ):
            same = faults[0]
        if same is not None:
            self._fault, self._found_ns = same, steady_ns
        return self._fault


class Settling:
    """Delays the restart until all checks have passed for a while, so that the robot does not stutter.

    Args:
        resume_after_s: time for which all checks must pass.
    """

    def __init__(self, resume_after_s: float) -> None:
        self._resume_after_s = resume_after_s
        self._last_fault_ns: int | None = None

    def restart(self, steady_ns: int) -> None:
        """Count the time from now, as after a fault."""
        self._last_fault_ns = steady_ns

    def add(self, faults: list[Fault], steady_ns: int) -> list[Fault]:
        """Return the faults of a tick; without any, the fault that the robot still waits."""
        if faults:
            self.restart(steady_ns)
        elif self._last_fault_ns is not None:
            left_s = self._resume_after_s - to_seconds(steady_ns - self._last_fault_ns)
            if left_s > 0.0:
                return [Fault(FaultKind.SETTLING, f"all checks pass again, resuming in {left_s:.1f} s")]
        return faults


def seriousness(fault: Fault) -> int:
    """Return the rank of a fault's kind; 0 is the most serious."""
    return list(FaultKind).index(fault.kind)


def _is_same(fault: Fault, other: Fault) -> bool:
    """Return whether two faults differ at most in the numbers of their texts."""
    return fault.kind is other.kind and _NUMBERS.sub("", fault.text) == _NUMBERS.sub("", other.text)
