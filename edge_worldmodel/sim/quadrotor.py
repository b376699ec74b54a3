"""A quadrotor: four motors with a lag, drag in the wind, and an on-board flight controller.

The state is that of a rigid body: x, y, yaw, z, pitch and roll (rotations in the order yaw, pitch, roll).
"""

from __future__ import annotations

import math

import mujoco
import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.sim.robots import RobotSpec
from edge_worldmodel.sim.wind import Wind

GRAVITY_MPS2 = 9.81
_ARM_M = 0.16
_MOTOR_LAG_S = 0.04
_THRUST_TO_WEIGHT = 2.2
_YAW_NM_PER_N = 0.016
_MAX_TILT_RAD = 0.5
_VELOCITY_GAIN, _VELOCITY_INTEGRAL = 2.2, 0.9
_HEIGHT_GAIN, _CLIMB_GAIN = 4.0, 4.0
_TILT_GAIN, _RATE_GAIN, _YAW_GAIN = 90.0, 16.0, 6.0
_MOST_INTEGRAL_MPS2 = 3.0
# Front left, front right, rear right, rear left: positions in arm lengths, and senses of rotation.
_MOTORS = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) / math.sqrt(2)
_ROTATIONS = np.array([-1.0, 1.0, -1.0, 1.0])


class Quadrotor:
    """Flies at a fixed height; its commands are forward speed and yaw rate, as for a wheeled robot."""

    def __init__(self, spec: RobotSpec, model: mujoco.MjModel, body: int, address: int, wind: Wind | None) -> None:
        """Start in hover; the robot has qpos and qvel from ``address`` on."""
        self._spec, self._wind = spec, wind
        self._body, self._at = body, address
        self._mass_kg = float(model.body_mass[body])
        self._inertia = model.body_inertia[body].copy()
        hover_n = self._mass_kg * GRAVITY_MPS2 / 4
        self._most_n = _THRUST_TO_WEIGHT * hover_n
        self._thrusts_n = np.full(4, hover_n)
        self._integral = np.zeros(2)
        mix = np.stack([np.ones(4), _ARM_M * _MOTORS[:, 1], -_ARM_M * _MOTORS[:, 0], _YAW_NM_PER_N * _ROTATIONS])
        self._mix, self._unmix = mix, np.linalg.inv(mix)
        self.air_mps = np.zeros(3)

    def apply(self, data: mujoco.MjData, speeds: tuple[float, float], dt_s: float) -> None:
        """Set the forces of the next ``dt_s`` for commanded speeds (forward_mps, yaw_rate_radps)."""
        q, v = data.qpos[self._at : self._at + 6], data.qvel[self._at : self._at + 6]
        wanted = self._control(q, v, speeds, dt_s)
        # Motors have a first-order lag and a largest thrust.
        self._thrusts_n += (np.clip(self._unmix @ wanted, 0.0, self._most_n) - self._thrusts_n) * min(
            dt_s / _MOTOR_LAG_S, 1.0
        )
        total_n, *torque_nm = self._mix @ self._thrusts_n
        attitude = _rotation(q[2], q[4], q[5])
        velocity = np.array([v[0], v[1], v[3]])
        if self._wind is not None:
            self.air_mps = self._wind.advance(dt_s, float(np.linalg.norm(velocity - self.air_mps)))
        through_air = self.air_mps - velocity
        speed = float(np.linalg.norm(through_air))
        drag_n = (self._spec.drag_linear + self._spec.drag_quadratic * speed) * through_air
        force = attitude[:, 2] * total_n + drag_n - np.array([0.0, 0.0, self._mass_kg * GRAVITY_MPS2])
        data.xfrc_applied[self._body] = np.concatenate([force, attitude @ torque_nm])

    def _control(self, q: Floats, v: Floats, speeds: tuple[float, float], dt_s: float) -> Floats:
        """Return total thrust and three torques (4,): an outer loop for speed and height, an inner one for attitude."""
        c, s = math.cos(q[2]), math.sin(q[2])
        error = speeds[0] * np.array([c, s]) - v[:2]
        most = _MOST_INTEGRAL_MPS2
        # The integral compensates for steady wind; the limit prevents wind-up.
        self._integral = np.clip(self._integral + _VELOCITY_INTEGRAL * error * dt_s, -most, most)
        push = _VELOCITY_GAIN * error + self._integral
        ahead, left = c * push[0] + s * push[1], c * push[1] - s * push[0]
        lift = GRAVITY_MPS2 + _HEIGHT_GAIN * (self._spec.flight_height_m - q[3]) - _CLIMB_GAIN * v[3]
        lift = min(max(lift, 0.5 * GRAVITY_MPS2), 1.6 * GRAVITY_MPS2)
        pitch = min(max(math.atan2(ahead, lift), -_MAX_TILT_RAD), _MAX_TILT_RAD)
        roll = min(max(-math.atan2(left, lift), -_MAX_TILT_RAD), _MAX_TILT_RAD)
        turning = np.array(
            [
                _TILT_GAIN * (roll - q[5]) - _RATE_GAIN * v[5],
                _TILT_GAIN * (pitch - q[4]) - _RATE_GAIN * v[4],
                _YAW_GAIN * (speeds[1] - v[2]),
            ]
        )
        # A tilted vehicle needs more thrust for the same lift.
        upright = max(math.cos(q[4]) * math.cos(q[5]), 0.5)
        return np.concatenate([[self._mass_kg * lift / upright], self._inertia * turning])


def _rotation(yaw: float, pitch: float, roll: float) -> Floats:
    """Return the rotation from the body to the world frame."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (math.cos, math.sin))
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )
