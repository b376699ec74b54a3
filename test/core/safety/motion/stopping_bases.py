"""Three models of a drive base that is told to stop, for many robots at once: how far each of them still goes.

Every array has one row per robot; ``u`` is what the base hears, which is the command of a dead time ago. All follow it
with a lag and with limited accelerations. Slip changes the deceleration, and a slope the deceleration along the motion.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

DT_S = 0.01
TICK_S = 0.02
WATCHDOG_S = 0.00035
GRAVITY_MPS2 = 9.81
LAG, AXES, ACKERMANN = 0, 1, 2
NAMES = ("first-order lag", "separate axes", "ackermann")
LONGEST_STOP_S = 20.0


@dataclass
class Bases:
    """``kind``, dead time, lag, true decelerations, slope in the odom frame, and the steering of cars."""

    kind: np.ndarray
    dead_time_s: np.ndarray
    lag_s: np.ndarray
    acceleration: np.ndarray  # (n, 2), along and yaw, when speeding up
    deceleration: np.ndarray  # (n, 2), slip included
    downhill: np.ndarray  # (n, 2), sine of the slope along x and y of the odom frame
    wheelbase_m: np.ndarray
    steering_rate_radps: np.ndarray
    straightens: np.ndarray  # whether the wheels turn straight ahead on a zero command, as in ros2_controllers

    def of(self, rows):
        return Bases(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass
class Motions:
    """State of each robot: pose (n, 3) in the odom frame, twist (n, 3) in the base frame, angle of the wheels (n,)."""

    pose: np.ndarray
    twist: np.ndarray
    steering_rad: np.ndarray

    def of(self, rows):
        return Motions(self.pose[rows].copy(), self.twist[rows].copy(), self.steering_rad[rows].copy())


def downhill_of(bases, pose):
    """Return the slope (n, 2) along the axes of each base."""
    cos, sin = np.cos(pose[:, 2]), np.sin(pose[:, 2])
    x, y = bases.downhill.T
    return np.stack((cos * x + sin * y, cos * y - sin * x), axis=-1)


def advance(bases, state, heard):
    """Let ``DT_S`` pass; ``heard`` (n, 3) is what each base is told."""
    twist = state.twist
    missing = heard - twist
    along, turn = np.hypot(missing[:, 0], missing[:, 1]), np.abs(missing[:, 2])
    speed = np.hypot(twist[:, 0], twist[:, 1])
    slows = (missing[:, :2] * twist[:, :2]).sum(axis=1) < 0.0
    slope = downhill_of(bases, state.pose)
    pull = GRAVITY_MPS2 * (slope * twist[:, :2]).sum(axis=1) / np.maximum(speed, 1e-9)
    brakes = np.maximum(bases.deceleration[:, 0] - pull, 0.02)
    limit = np.where(slows, brakes, bases.acceleration[:, 0])
    slows_turn = missing[:, 2] * twist[:, 2] < 0.0
    turn_limit = np.where(slows_turn, bases.deceleration[:, 1], bases.acceleration[:, 1])
    lag = np.minimum(DT_S / np.maximum(bases.lag_s, DT_S), 1.0)
    k_along = np.minimum(lag, limit * DT_S / np.maximum(along, 1e-9))
    k_turn = np.minimum(lag, turn_limit * DT_S / np.maximum(turn, 1e-9))
    both = np.minimum(k_along, k_turn)
    keeps_arc = bases.kind == LAG
    k_along, k_turn = np.where(keeps_arc, both, k_along), np.where(keeps_arc, both, k_turn)
    new = twist + missing * np.stack((k_along, k_along, k_turn), axis=-1)
    _steer(bases, state, heard, new)
    new[np.abs(new) < 1e-4] = 0.0
    middle = 0.5 * (twist + new)
    yaw = state.pose[:, 2] + 0.5 * DT_S * middle[:, 2]
    cos, sin = np.cos(yaw), np.sin(yaw)
    state.pose[:, 0] += DT_S * (cos * middle[:, 0] - sin * middle[:, 1])
    state.pose[:, 1] += DT_S * (sin * middle[:, 0] + cos * middle[:, 1])
    state.pose[:, 2] += DT_S * middle[:, 2]
    state.twist = new


def _steer(bases, state, heard, twist):
    """Cars: turn the wheels, and let the yaw rate follow from them."""
    cars = bases.kind == ACKERMANN
    rolls = np.abs(heard[:, 0]) > 1e-3
    wanted = np.arctan(bases.wheelbase_m * heard[:, 2] / np.where(rolls, heard[:, 0], 1.0))
    wanted = np.where(rolls, wanted, np.where(bases.straightens, 0.0, state.steering_rad))
    most = bases.steering_rate_radps * DT_S
    state.steering_rad += np.clip(wanted - state.steering_rad, -most, most)
    twist[cars, 2] = (twist[:, 0] * np.tan(state.steering_rad) / bases.wheelbase_m)[cars]


def history(begin, end, ramp_s, now_s, t_s):
    """Return the commands (n, 3) at a time before now (0): from ``begin`` to ``end`` in a straight ramp."""
    share = np.clip((now_s + t_s) / ramp_s, 0.0, 1.0)
    return begin + (end - begin) * share[:, None]


def run_up(bases, pose, begin, end, ramp_s, now_s):
    """Return the state at time 0 of robots that were driving at ``begin`` and are on their way to ``end``."""
    cars = bases.kind == ACKERMANN
    steering = np.where(cars & (begin[:, 0] != 0.0), np.arctan(bases.wheelbase_m * begin[:, 2] / _not_zero(begin)), 0.0)
    state = Motions(pose.copy(), begin.copy(), steering)
    for step in range(-round(1.5 / DT_S), 0):
        advance(bases, state, history(begin, end, ramp_s, now_s, step * DT_S - bases.dead_time_s))
    state.pose = pose.copy()
    return state


def _not_zero(twist):
    return np.where(twist[:, 0] == 0.0, 1.0, twist[:, 0])


def stop(bases, state, begin, end, ramp_s, now_s, passed):
    """Return the poses (steps, n, 3) from now until all stand; the last command is ``passed``, for one tick."""
    poses = [state.pose.copy()]
    for step in range(round(LONGEST_STOP_S / DT_S)):
        sent_s = step * DT_S - bases.dead_time_s - WATCHDOG_S
        heard = history(begin, end, ramp_s, now_s, np.minimum(sent_s, 0.0))
        heard = np.where(sent_s[:, None] >= 0.0, np.where(sent_s[:, None] < TICK_S, passed, 0.0), heard)
        advance(bases, state, heard)
        poses.append(state.pose.copy())
        if step * DT_S > 0.6 and not state.twist.any():
            break
    return np.array(poses)
