"""The motion between poses tells in which frame a source gives its twist."""

from __future__ import annotations

import numpy as np
import pytest

from edge_worldmodel.core.perception.pose_buffer import extrapolate
from edge_worldmodel.core.twist_frame import TwistFrame

MS = 1_000_000


def drive(twist, heading_rad, *, fixed, noise_m=0.0, period_ms=20, seconds=3.0):
    """Return the watcher after a drive, and the last error of its twist in m/s."""
    frame, rng, error_mps = TwistFrame(), np.random.default_rng(0), np.nan
    true = np.array(twist)
    for ms in range(0, round(seconds * 1000), period_ms):
        pose = extrapolate(np.array([1.0, 2.0, heading_rad]), true, ms / 1000)
        given = true.copy()
        if fixed:
            cos, sin = np.cos(pose[2]), np.sin(pose[2])
            given[:2] = cos * true[0] - sin * true[1], sin * true[0] + cos * true[1]
        seen = pose + rng.normal(0.0, noise_m, 3)
        error_mps = float(np.hypot(*(frame.in_base(ms * MS, seen, given) - true)[:2]))
    return frame, error_mps


@pytest.mark.parametrize("twist", [(0.5, 0.0, 0.0), (0.5, 0.0, 1.2), (0.3, -0.4, -0.8), (-0.3, 0.0, 0.5)])
@pytest.mark.parametrize("heading_rad", [0.8, -2.0, np.pi])
@pytest.mark.parametrize("noise_m", [0.0, 0.002])
@pytest.mark.parametrize("period_ms", [10, 20, 100, 200])
def test_a_twist_in_the_fixed_frame_is_turned_and_one_in_the_base_frame_is_not(
    twist, heading_rad, noise_m, period_ms
) -> None:
    frame, error_mps = drive(twist, heading_rad, fixed=True, noise_m=noise_m, period_ms=period_ms)
    assert frame.is_fixed and error_mps < 0.01
    frame, error_mps = drive(twist, heading_rad, fixed=False, noise_m=noise_m, period_ms=period_ms)
    assert not frame.is_fixed and error_mps == 0.0


def test_nothing_is_concluded_from_standing_from_a_heading_of_zero_or_from_slip() -> None:
    assert not drive((0.0, 0.0, 1.0), 1.0, fixed=True, noise_m=0.001)[0].is_fixed
    assert not drive((0.5, 0.0, 0.0), 0.0, fixed=True, noise_m=0.001)[0].is_fixed
    slipping, poses = TwistFrame(), np.array([0.0, 0.0, 1.0])
    for step in range(200):
        slipping.in_base(step * 20 * MS, extrapolate(poses, np.array([0.2, 0.1, 0.0]), step * 0.02), np.ones(3))
    assert not slipping.is_fixed


def test_a_gap_or_a_jump_of_the_stamps_is_passed_over() -> None:
    frame = TwistFrame()
    for stamp_ms in (0, 5000, 100, 100, 50):
        frame.in_base(stamp_ms * MS, np.array([stamp_ms, 0.0, 1.0]), np.array([0.5, 0.0, 0.0]))
    assert not frame.is_fixed
