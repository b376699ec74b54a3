"""Entropy and surprise, in bits."""

from __future__ import annotations

import numpy as np
import pytest

from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.perception.uncertainty import entropy_bits, surprise_bits

HERE = np.zeros(3)


def unknown(frames: int = 5) -> np.ndarray:
    return np.zeros((frames, 2, 64, 64), dtype=np.float32)


def test_entropy_is_one_bit_before_anything_is_seen_and_falls_with_each_look() -> None:
    frames = unknown()
    bits = [entropy_bits(frames)]
    for i in range(5):
        frames[i, 1] = 1.0
        bits.append(entropy_bits(frames))
    assert bits[0] == pytest.approx(1.0)
    assert all(later < earlier for earlier, later in zip(bits, bits[1:], strict=False))
    assert 0.0 < bits[-1] < 0.1


def test_contradicting_frames_leave_doubt() -> None:
    agree, contradict = unknown(4), unknown(4)
    agree[:, 0] = 1.0
    contradict[:2, 0] = 1.0
    contradict[2:, 1] = 1.0
    assert entropy_bits(contradict) > 5 * entropy_bits(agree)


def test_half_the_cells_seen() -> None:
    frames = unknown(1)
    frames[0, 1, :, :32] = 1.0
    p = 0.25
    seen = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    assert entropy_bits(frames) == pytest.approx(0.5 + 0.5 * seen)


def observed() -> np.ndarray:
    grid = np.zeros((2, 64, 64), dtype=np.float32)
    grid[1, 20:40, 20:40] = 1.0
    grid[:, 30, 30] = 1.0, 0.0
    return grid


def test_surprise_in_bits() -> None:
    grid = observed()
    assert surprise_bits(np.full((64, 64), 0.5, np.float32), HERE, grid, HERE) == pytest.approx(1.0)
    assert surprise_bits(grid[0], HERE, grid, HERE) == pytest.approx(-np.log2(0.99), rel=1e-3)
    wrong = surprise_bits(1.0 - grid[0], HERE, grid, HERE)
    assert wrong == pytest.approx(-np.log2(0.01), rel=1e-3), "certainly wrong costs a bounded number of bits"


def test_the_imagined_map_is_moved_to_where_the_robot_is_now() -> None:
    grid = observed()
    imagined_pose = np.array([3.0, -1.0, np.pi / 2])
    pose = np.array([3.0, -1.0, np.pi])  # a quarter turn to the left since
    turned = np.rot90(grid[0], -1).copy()  # what lies ahead now lay to the left then
    assert surprise_bits(turned, imagined_pose, grid, pose) < 0.05
    assert surprise_bits(turned, pose, grid, pose) > 0.01 + surprise_bits(turned, imagined_pose, grid, pose)


def test_no_overlap_or_nothing_seen_is_not_a_number() -> None:
    half = np.full((64, 64), 0.5, np.float32)
    assert np.isnan(surprise_bits(half, [50.0, 0.0, 0.0], observed(), HERE))
    assert np.isnan(surprise_bits(half, HERE, np.zeros((2, 64, 64), np.float32), HERE))


def test_only_cells_inside_the_imagined_map_count() -> None:
    grid = np.zeros((2, 64, 64), dtype=np.float32)
    grid[1] = 1.0
    imagined = np.full((64, 64), 0.25, np.float32)
    moved = surprise_bits(imagined, [EGO_GRID.extent_m / 2, 0.0, 0.0], grid, HERE)
    assert moved == pytest.approx(-np.log2(0.75), rel=1e-4)
