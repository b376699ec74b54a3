"""A robot that creeps where no sensor has looked stays as slow while its command changes."""

import numpy as np
import pytest

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.limits import Motion
from edge_worldmodel.core.safety.motion.path_gate import ObstaclePoints, PathGate


def test_a_new_plan_with_another_turn_makes_no_point_faster_than_it_creeps():
    outline = (0.4, 0.3, -0.4, 0.3, -0.4, -0.3, 0.4, -0.3)
    gate = PathGate(SupervisorConfig(footprint_m=outline, max_yaw_acceleration_radps2=8.0, max_yaw_jerk_radps3=100.0))
    motion = Motion(np.array([0.15, 0.0, 0.0]), np.zeros(3))
    look = ObstaclePoints(np.empty((0, 2)), np.empty((0, 2)), lambda places: np.zeros(len(places), dtype=bool))
    for planned in ((0.0, 0.0, 1.5), (0.5, 0.0, -1.5), (0.05, 0.0, 0.05), (0.4, 0.0, 0.0)):
        for _ in range(50):
            motion = gate.decide(np.array(planned), np.zeros(3), motion, look, None, 0.02).motion
            assert abs(motion.twist[0]) + abs(motion.twist[2]) * 0.5 <= 0.15 + 1e-9
    assert motion.twist[0] == pytest.approx(0.15, abs=1e-3)
