"""The shard itself: its size and number are kept, and its questions are quick."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("qdrant_edge", reason="needs Qdrant Edge")

from edge_worldmodel.store.scene_shard import SceneShard, ShardLimits  # noqa: E402

from .scenes import assert_same, scene  # noqa: E402

LIMITS = ShardLimits(10_000, 1e9, 10**9, 0)


def opened(folder: Path, limits: ShardLimits = LIMITS) -> SceneShard:
    shard = SceneShard(folder, limits)
    shard.open()
    return shard


def test_the_folder_keeps_to_its_size(tmp_path: Path) -> None:
    limits = ShardLimits(10_000, 1e9, 15_000_000, 0)
    shard = opened(tmp_path, limits)
    largest = 0
    for number in range(600):
        shard.save(scene(number), time.time())
        if number % 20 == 19:
            largest = max(largest, shard.disk_bytes())
            shard.flush(time.time())
            assert shard.disk_bytes() <= limits.max_disk_bytes
    assert largest <= limits.max_disk_bytes
    assert 20 <= len(shard) < 600 and "reached its size" in shard.notes[0]
    assert_same(shard.find(scene(599).embedding, "m"), scene(599))
    count = len(shard)
    shard.close()
    assert len(opened(tmp_path, limits)) == count


def test_set_aside_stores_are_the_first_to_go(tmp_path: Path) -> None:
    shard = opened(tmp_path, ShardLimits(10_000, 1e9, 15_000_000, 0))
    shard.save(scene(0), time.time())
    shard.set_aside("for this test")
    (next(tmp_path.glob("set-aside-*")) / "big").write_bytes(bytes(16_000_000))
    shard.save(scene(1), time.time())
    shard.flush(time.time())
    assert not list(tmp_path.glob("set-aside-*")) and len(shard) == 1


def test_what_went_through_does_not_pile_up(tmp_path: Path) -> None:
    shard = opened(tmp_path, ShardLimits(10, 1e9, 10**9, 0))
    for number in range(100):
        shard.save(scene(number), time.time())
    shard.flush(time.time())
    assert len(shard) == 10 and shard.notes == []
    assert_same(shard.find(scene(95).embedding, "m"), scene(95))
    assert not list(tmp_path.glob(".deleted-*")) and not list(tmp_path.glob("scenes.fresh"))


def test_a_copy_that_was_cut_short_is_not_used(tmp_path: Path) -> None:
    shard = opened(tmp_path)
    shard.save(scene(0), time.time())
    shard.close()
    (tmp_path / "scenes.fresh").mkdir()
    assert len(opened(tmp_path)) == 1 and not (tmp_path / "scenes.fresh").exists()


def test_a_copy_that_was_finished_is_used(tmp_path: Path) -> None:
    shard = opened(tmp_path)
    shard.save(scene(0), time.time())
    shard.close()
    (tmp_path / "scenes").rename(tmp_path / "scenes.fresh")
    shard = opened(tmp_path)
    assert len(shard) == 1 and shard.set_aside_count == 0


def test_questions_stay_quick(tmp_path: Path) -> None:
    """Well below the millisecond on an idle machine; the bound leaves room for a busy one."""
    shard = opened(tmp_path)
    for number in range(500):
        shard.save(scene(number), time.time())
    took = []
    for number in range(0, 500, 5):
        begin_s = time.perf_counter()
        found = shard.find(scene(number).embedding, "m")
        took.append(time.perf_counter() - begin_s)
        assert found is not None and found.stamp_ns == number
    assert np.median(took) < 5e-3
