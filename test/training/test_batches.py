"""Batches: what is mirrored and turned stays one scene."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the training environment: make setup-train")

from edge_worldmodel.core.grid import EGO_GRID  # noqa: E402
from edge_worldmodel.core.tensors import OFF_GRID_M  # noqa: E402
from edge_worldmodel.training.batches import mirror, take, training_batch, turn  # noqa: E402

from .clip_factory import moving_blobs  # noqa: E402


@pytest.mark.parametrize("change", [mirror, turn])
def test_a_cell_under_the_robot_stays_under_the_robot(change) -> None:
    poses = np.tile(np.array([2.1, -3.7, 0.3], np.float32), (8, 1))
    column, row = EGO_GRID.world_to_cell(poses[0, :2])
    grids = np.zeros((3, 64, 64), np.uint8)
    grids[1, row, column] = 1
    changed, moved = change(grids, poses)
    column, row = EGO_GRID.world_to_cell(moved[0, :2])
    assert changed[1, row, column] == 1
    assert changed.sum() == 1


@pytest.mark.parametrize(("change", "back"), [(mirror, 2), (turn, 4)])
def test_changes_close(change, back: int) -> None:
    rng = np.random.default_rng(0)
    grids, poses = rng.integers(0, 2, (5, 64, 64), np.uint8), rng.normal(size=(8, 3)).astype(np.float32)
    changed, moved = grids, poses
    for _ in range(back):
        changed, moved = change(changed, moved)
    np.testing.assert_array_equal(changed, grids)
    np.testing.assert_allclose(np.exp(1j * moved[:, 2]), np.exp(1j * poses[:, 2]), atol=1e-5)
    np.testing.assert_allclose(moved[:, :2], poses[:, :2], atol=1e-6)


def test_a_left_turn_brings_ahead_to_the_left() -> None:
    ahead = np.tile(np.array([2.0, 0.0, 0.0], np.float32), (8, 1))
    _, moved = turn(np.zeros((1, 64, 64), np.uint8), ahead)
    np.testing.assert_allclose(moved[0], [0.0, 2.0, np.pi / 2], atol=1e-6)


def test_the_same_seed_gives_the_same_batch_and_another_another() -> None:
    clips = moving_blobs(40)
    first, again, other = (training_batch(clips, 16, (0, 1, step)) for step in (3, 3, 4))
    assert torch.equal(first.history, again.history) and torch.equal(first.maneuver, again.maneuver)
    assert not torch.equal(first.history, other.history)


def test_some_maneuvers_are_withheld() -> None:
    batch = training_batch(moving_blobs(10), 400, (0,))
    withheld = (batch.maneuver[:, 0, 0] == OFF_GRID_M).float().mean()
    assert 0.03 < withheld < 0.2


def test_clips_come_back_as_they_were_packed() -> None:
    clips = moving_blobs(5)
    batch = take(clips, np.array([3, 1]))
    assert batch.history.shape == (2, 10, 64, 64) and batch.present.shape == (2, 2, 64, 64)
    assert batch.moving.sum() == 2 * 8 * 9
    assert (batch.future >= batch.moving).all()
    assert torch.equal(batch.maneuver, torch.from_numpy(clips.maneuver[[3, 1]]))
