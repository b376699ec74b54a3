"""Commands in the frames that autopilots take them in; numbers in, numbers out.

A setpoint is an array (4,): velocity along three axes [m/s] and yaw rate about the third one [rad/s].
"""

from __future__ import annotations

import math

import numpy as np

from edge_worldmodel.core.types import Floats


def body_setpoint(command: Floats, climb_mps: float) -> Floats:
    """Return a command (3,) of the base frame as a setpoint forward, left, up."""
    return np.array([command[0], command[1], climb_mps, command[2]], dtype=np.float64)


def enu_setpoint(command: Floats, climb_mps: float, heading_rad: float | None) -> Floats:
    """Turn a command of the base frame into the fixed frame of odometry: east, north, up.

    Args:
        command: vx, vy, yaw rate (3,) in the base frame.
        climb_mps: vertical speed, up.
        heading_rad: yaw of the base in that frame (0: east); None: unknown, and then nothing but the climb is right.
    """
    if heading_rad is None:
        return body_setpoint(np.zeros(3), climb_mps)
    cos, sin = math.cos(heading_rad), math.sin(heading_rad)
    forward, left, yaw_rate = command.tolist()
    return np.array([cos * forward - sin * left, sin * forward + cos * left, climb_mps, yaw_rate])


def ned_from_enu(setpoint: Floats) -> Floats:
    """Return a setpoint east, north, up as north, east, down; the yaw rate turns about the third axis of each."""
    east, north, up, yaw_rate = setpoint.tolist()
    return np.array([north, east, -up, -yaw_rate])
