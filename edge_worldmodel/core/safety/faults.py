"""Reasons why the supervisor does not pass a command on, each with advice for the operator."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class FaultKind(Enum):
    """Kinds of faults, the most serious first; the value tells the operator what to do."""

    ESTOP = "Release the emergency stop, check the robot's surroundings, then call supervisor/reset."
    INTERNAL = "This is a bug in the supervisor. Save the log, report it, then call supervisor/reset."
    GEOFENCE = "Bring the robot back inside the geofence by hand, then call supervisor/reset."
    BATTERY = "Charge or replace the battery, then call supervisor/reset."
    CLOCK = "Check that the ROS clock advances (is the simulation paused?) and that nothing sets it back."
    SENSOR = "Check the sensor's power, driver, topic name, frame and stamps."
    ODOMETRY = "Check the odometry topic, its frames and its stamps, and that the drive base is on."
    BATTERY_SIGNAL = "Check the topic battery_state: its percentage must lie between 0 and 1."
    HEIGHT = "Bring the drone back between the heights of height_band_m."
    LINK = "Check the operator's station and its radio: no operator_heartbeat arrives."
    DEADMAN = "Hold the deadman switch, and check that supervisor/deadman is being published."
    PLAN = "Check that rollout_planner is active and gets its inputs: ros2 lifecycle get, ros2 topic hz planner/plan."
    TRACKING = "The robot is not where its plan says. Check for slip, a jump in odometry or a blocked wheel."
    RISK = "The planner found no maneuver with an acceptable risk. The robot resumes when it finds one."
    OBSTACLE = "Clear the braking path, or wait for a plan around the obstacle."
    GEOFENCE_AHEAD = "The plan leaves the geofence. Choose another goal or enlarge geofence_m."
    SETTLING = "Nothing to do: the robot resumes when all checks have passed for resume_after_s."


LATCHING = frozenset({FaultKind.INTERNAL, FaultKind.GEOFENCE, FaultKind.BATTERY})
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
