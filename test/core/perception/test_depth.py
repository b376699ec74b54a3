"""Depth images to sweeps: units, optical frame, floor, every kind of bad image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_worldmodel.core.perception.config import PerceptionConfig
from edge_worldmodel.core.perception.depth import sweep_from_depth
from edge_worldmodel.core.rejection import RejectedInputError, RejectionKind
from edge_worldmodel.core.sweep import Sweep

CONFIG = PerceptionConfig(depth_stride=2)
ROWS, COLUMNS, FOCAL = 120, 160, 120.0
CAMERA_M = np.array([0.2, 0.1, 0.5])
# x right, y down, z forward, seen from a base with x forward, y left, z up
LEVEL = np.array([[0, 0, 1, CAMERA_M[0]], [-1, 0, 0, CAMERA_M[1]], [0, -1, 0, CAMERA_M[2]], [0, 0, 0, 1]])


def room(wall_m: float) -> np.ndarray:
    """Depth (rows, columns) in metres of a floor and a wall that far ahead of the camera, on the left half only."""
    down = (np.arange(ROWS) - ROWS / 2) / FOCAL
    floor_m = np.where(down > 0.0, CAMERA_M[2] / np.maximum(down, 1e-9), np.inf)
    depth = np.repeat(floor_m[:, None], COLUMNS, axis=1)
    depth[:, : COLUMNS // 2] = np.minimum(depth[:, : COLUMNS // 2], wall_m)
    return depth


def look(depth: Any, config: PerceptionConfig = CONFIG, pose: Any = LEVEL, fx: float = FOCAL) -> Sweep:
    return sweep_from_depth(3, np.asarray(depth), fx, FOCAL, COLUMNS / 2, ROWS / 2, pose, config)


@pytest.mark.filterwarnings("error")
def test_wall_on_the_left_floor_on_the_right() -> None:
    sweep = look(room(2.0).astype(np.float32))
    assert sweep.stamp_ns == 3
    np.testing.assert_allclose(sweep.origin, CAMERA_M[:2])
    np.testing.assert_allclose(sweep.endpoints[sweep.hit, 0], 2.2, atol=1e-3)
    left = sweep.endpoints[:, 1] > CAMERA_M[1] + 0.05
    assert sweep.hit[left].all()
    assert left.sum() == pytest.approx(COLUMNS // 4, abs=2), "one ray for each column used"
    right = sweep.endpoints[:, 1] < CAMERA_M[1] - 0.05
    assert right.any()
    assert not sweep.hit[right].any()
    assert sweep.endpoints[right, 0].max() > 4.0


def test_millimetres_are_converted() -> None:
    metres = np.where(room(2.0) < 6.0, room(2.0), 0.0)
    counted = look(np.rint(metres * 1000).astype(np.uint16))
    np.testing.assert_allclose(counted.endpoints[counted.hit, 0], 2.2, atol=1e-3)
    tenths = look(np.rint(metres * 10_000).astype(np.uint16), PerceptionConfig(depth_unit_m=1e-4))
    np.testing.assert_allclose(tenths.endpoints[tenths.hit, 0], 2.2, atol=1e-3)


def test_a_camera_that_looks_down_sees_the_same_wall() -> None:
    angle = 0.25
    turn = np.eye(4)
    turn[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    pose = turn @ LEVEL
    pose[:3, 3] = CAMERA_M
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    rays = np.stack(((columns - COLUMNS / 2) / FOCAL, (rows - ROWS / 2) / FOCAL, np.ones(rows.shape)), axis=-1)
    directions = rays @ pose[:3, :3].T
    to_wall = 2.0 / directions[..., 0]
    to_floor = np.where(directions[..., 2] < 0, -CAMERA_M[2] / np.minimum(directions[..., 2], -1e-9), np.inf)
    sweep = look(np.minimum(to_wall, to_floor), pose=pose)
    assert sweep.hit.sum() > 60
    np.testing.assert_allclose(sweep.endpoints[sweep.hit, 0], 2.2, atol=1e-3)


@pytest.mark.parametrize(
    ("depth", "changes", "cause"),
    [
        (np.zeros((ROWS, COLUMNS)), {}, RejectionKind.EMPTY),
        (np.full((ROWS, COLUMNS), np.nan), {}, RejectionKind.EMPTY),
        (np.full((ROWS, COLUMNS), -np.inf), {}, RejectionKind.EMPTY),
        (np.zeros((0, COLUMNS)), {}, RejectionKind.EMPTY),
        (np.ones(5), {}, RejectionKind.MALFORMED),
        (np.ones((4, 4, 3)), {}, RejectionKind.MALFORMED),
        (np.ones((ROWS, COLUMNS)), {"fx": 0.0}, RejectionKind.MALFORMED),
        (np.ones((ROWS, COLUMNS)), {"fx": np.nan}, RejectionKind.MALFORMED),
        (np.ones((ROWS, COLUMNS)), {"pose": np.full((4, 4), np.nan)}, RejectionKind.POSE_NOT_FINITE),
        (np.ones((ROWS, COLUMNS)), {"pose": np.eye(3)}, RejectionKind.POSE_NOT_FINITE),
    ],
)
def test_bad_images_are_refused_by_name(depth: np.ndarray, changes: dict[str, Any], cause: RejectionKind) -> None:
    with pytest.raises(RejectedInputError) as refused:
        look(depth, **changes)
    assert refused.value.kind is cause
