"""Why the supervisor does not pass a command on: each cause with what a person should do about it."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Cause(Enum):
    """Causes of a stop, the gravest first; the value says what to do."""

    ESTOP = "Release the emergency stop, look around the robot, then call supervisor/reset."
    INTERNAL = "A defect in the supervisor. Save the log, call supervisor/reset and report it."
    GEOFENCE = "Bring the robot back inside the geofence by hand, then call supervisor/reset."
    BATTERY = "Charge or change the battery, then call supervisor/reset."
    CLOCK = "Check that /clock advances (simulation paused?) and that no clock is being set."
    SENSOR = "Check the sensor's power, driver, topic name, frame and stamps."
    ODOMETRY = "Check the odometry topic, its frames and stamps; the drive base may be off."
    BATTERY_SIGNAL = "Check the battery_state topic: it must give a percentage from 0 to 1."
    HEIGHT = "Bring the drone back between the heights of height_band_m."
    LINK = "Check the operator's station and its radio: nothing arrives on operator_heartbeat."
    DEADMAN = "Hold the deadman switch, and check that its topic supervisor/deadman keeps coming."
    PLAN = "Check that rollout_planner is active and fed: ros2 lifecycle get, ros2 topic hz planner/plan."
    TRACKING = "The robot is not where its plan is: look for slip, a jump in odometry or a blocked wheel."
    RISK = "The planner found no safe way; it goes on when the scene clears."
    OBSTACLE = "Something stands in the braking path. Clear it, or wait for another plan."
    GEOFENCE_AHEAD = "The plan leaves the geofence. Choose another goal or widen geofence_m."
    SETTLING = "Nothing to do: it goes on when everything has held for resume_after_s."


LATCHING = frozenset({Cause.INTERNAL, Cause.GEOFENCE, Cause.BATTERY})
"""Causes after which a person has to look and reset; the emergency stop has a state of its own."""
LANDING_AT_ONCE = frozenset({Cause.BATTERY})
"""Causes for which a drone does not hold its place first."""


class Fault(NamedTuple):
    """One reason, found in this tick, for not passing a command on."""

    cause: Cause
    text: str
