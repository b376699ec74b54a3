"""The store of scenes as the node uses it: errors of the disk become notes, the window goes on, nothing waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_worldmodel.core.cache.window_store import Entry, WindowStore
from edge_worldmodel.core.errors import ConfigError, InputError, SceneStoreError, TensorMismatchError
from edge_worldmodel.nodes.latent_cache import scene_store
from edge_worldmodel.nodes.latent_cache.scene_disk import SceneDisk
from edge_worldmodel.nodes.latent_cache.scene_store import SceneStore, default_folder
from edge_worldmodel.nodes.latent_cache.scene_store_config import SceneStoreConfig

from .scenes import assert_same, scene

CONFIG = SceneStoreConfig(flush_period_s=0.05, min_free_mb=0.0, new_scene_period_s=0.0)
PATIENCE_S = 30.0
Opener = Callable[..., SceneStore]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Open stores of one folder, one after the other; all are closed at the end."""
    stores: list[SceneStore] = []

    def open_next(
        folder: Path = tmp_path / "store", disk: type[SceneDisk] = SceneDisk, **changes: object
    ) -> SceneStore:
        for store in stores:
            store.close(PATIENCE_S)
        config = replace(CONFIG, **changes)
        stores.append(SceneStore(WindowStore(10), disk(folder, config), config))
        return stores[-1]

    yield open_next
    for store in stores:
        store.close(PATIENCE_S)


def filled(store: SceneStore, numbers: range) -> SceneStore:
    for number in numbers:
        store.add(scene(number))
    assert store.wait_idle(PATIENCE_S), store.problem
    return store


def recalled(store: SceneStore, wanted: Entry) -> Entry | None:
    """Return what is found on disk for a scene: the answer is there for the second question."""
    store.clear()
    store.nearest(wanted.embedding, wanted.model_id)
    assert store.wait_idle(PATIENCE_S)
    found = store.nearest(wanted.embedding, wanted.model_id)
    return None if found is None else found[0]


def on_disk(store: SceneStore) -> int:
    assert store.wait_idle(PATIENCE_S), store.problem
    return int(store.figures["scenes_on_disk"])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)


def test_scenes_survive_a_restart(opened: Opener) -> None:
    assert len(filled(opened(), range(20))) == 10, "the window has its own capacity"
    again = opened()
    assert on_disk(again) == 20 and len(again) == 0 and again.newest() is None
    assert_same(recalled(again, scene(3)), scene(3))
    assert again.nearest(scene(3).embedding, "other") is None
    assert again.take_notes() == [] and again.problem == ""


def test_closing_writes_what_waits(opened: Opener) -> None:
    store = opened(flush_period_s=600.0)
    assert store.wait_idle(PATIENCE_S)
    store.add(scene(0))
    assert on_disk(opened()) == 1


def test_a_scene_like_the_last_is_not_written_again(opened: Opener) -> None:
    store = opened()
    for stamp_ns in range(5):
        store.add(replace(scene(0), stamp_ns=stamp_ns))
    store.add(scene(1))
    store.add(scene(0))
    assert on_disk(store) == 3


def test_scenes_are_written_no_more_often_than_asked(opened: Opener) -> None:
    store = opened(new_scene_period_s=0.5)
    for number in range(20):
        store.add(replace(scene(number), stamp_ns=number * 100_000_000))
    assert on_disk(store) == 4
    store.add(replace(scene(30), stamp_ns=-(10**9)))
    assert on_disk(store) == 5, "a clock that jumped back must not stop the writing"


def test_new_scenes_share_a_transaction(opened: Opener) -> None:
    class CountingDisk(SceneDisk):
        sizes: list[int] = []

        def save(self, scenes, now_s):  # type: ignore[no-untyped-def]
            self.sizes.append(len(scenes))
            super().save(scenes, now_s)

    filled(opened(disk=CountingDisk, flush_period_s=0.5), range(10))
    assert [size for size in CountingDisk.sizes if size] == [10]


@pytest.mark.parametrize("field", ["latents", "embedding", "pose"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(field: str, value: float) -> None:
    values = getattr(scene(0), field).copy()
    values.flat[-1] = value
    with pytest.raises(InputError, match=f"{field} has values that are not finite"):
        replace(scene(0), **{field: values})


@pytest.mark.parametrize("change", [{"latents": np.zeros((4, 8, 8, 8), np.float32)}, {"embedding": np.zeros(3)}])
def test_arrays_of_another_shape_are_refused(change: dict[str, np.ndarray]) -> None:
    with pytest.raises(TensorMismatchError):
        replace(scene(0), **change)


def test_a_folder_that_cannot_be_written_leaves_the_window(opened: Opener) -> None:
    store = opened(Path("/proc/scenes"))
    wait_until(lambda: store.problem != "")
    assert "memory only: '/proc/scenes' cannot be used" in store.problem
    store.add(scene(0))
    found = store.nearest(scene(0).embedding, "m")
    assert found is not None and found[0].stamp_ns == 0
    assert store.take_notes() == [store.problem]
    with pytest.raises(SceneStoreError, match="1 solutions in memory deleted, nothing on disk: .*/proc/scenes"):
        store.delete_all()


def test_a_foreign_folder_is_refused_and_left_alone(opened: Opener, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    store = opened(tmp_path)
    wait_until(lambda: store.problem != "")
    with pytest.raises(SceneStoreError, match="did not make"):
        store.delete_all()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_nothing_is_written_to_a_disk_that_is_nearly_full(opened: Opener) -> None:
    store = filled(opened(), range(2))
    store = opened(min_free_mb=1e9)
    assert on_disk(store) == 2
    store.add(scene(5))
    wait_until(lambda: store.problem != "")
    assert on_disk(store) == 2 and store.figures["scenes_dropped"] == 1
    assert "less than 1e+09 MB are free" in store.problem
    assert_same(recalled(store, scene(1)), scene(1))


def test_an_error_of_the_disk_passes(opened: Opener, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scene_store, "_RETRY_S", 0.2)
    folder = tmp_path / "store"
    folder.write_text("a file where the folder should be")
    store = opened(folder)
    wait_until(lambda: store.problem != "")
    folder.unlink()
    wait_until(lambda: store.problem == "")
    assert on_disk(filled(store, range(3))) == 3


def test_delete_all_leaves_nothing(opened: Opener, tmp_path: Path) -> None:
    store = filled(opened(), range(5))
    assert_same(recalled(store, scene(3)), scene(3))
    assert store.wait_idle(PATIENCE_S)
    store.add(scene(6))
    said = store.delete_all()
    assert said in (f"1 solutions in memory deleted, {count} scenes on disk deleted" for count in (5, 6))
    assert store.nearest(scene(3).embedding, "m") is None
    assert len(store) == 0 and recalled(store, scene(3)) is None and on_disk(store) == 0
    assert on_disk(filled(store, range(2))) == 2, "and it goes on"
    assert store.take_notes() == []


class HangingDisk(SceneDisk):
    """A disk that does not answer for a while."""

    hang_s = 0.0

    def save(self, scenes, now_s):  # type: ignore[no-untyped-def]
        time.sleep(self.hang_s)
        super().save(scenes, now_s)


def test_no_frame_waits_for_a_disk_that_hangs(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(disk=HangingDisk)
    assert store.wait_idle(PATIENCE_S)
    monkeypatch.setattr(HangingDisk, "hang_s", 2.0)
    store.add(scene(0))
    time.sleep(0.3)
    longest_s = 0.0
    for number in range(100):
        begin_s = time.perf_counter()
        store.add(scene(number))
        store.nearest(scene(number).embedding, "m")
        store.drop_before(number - 5)
        _ = store.figures, store.problem, store.take_notes()
        longest_s = max(longest_s, time.perf_counter() - begin_s)
    assert store.figures["scenes_dropped"] >= 30 and longest_s < 0.2
    monkeypatch.setattr(HangingDisk, "hang_s", 0.0)
    monkeypatch.setattr(scene_store, "_DELETE_TIMEOUT_S", 0.2)
    begin_s = time.perf_counter()
    with pytest.raises(SceneStoreError, match="deleted as soon as it answers"):
        store.delete_all()
    assert time.perf_counter() - begin_s < 1.0
    assert on_disk(store) == 0, "and then they are"


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="sqlite, memory"):
        SceneStoreConfig(store="redis")
    with pytest.raises(ConfigError, match="'qdrant': SQLite keeps the scenes now; use 'sqlite'"):
        SceneStoreConfig(store="qdrant")


def test_every_robot_has_its_own_default_folder() -> None:
    alone = default_folder("/", {"HOME": "/home/a"})
    assert alone == Path("/home/a/.local/state/edge_worldmodel/latent_cache/scene-store")
    first = default_folder("/robot_1", {"XDG_STATE_HOME": "/s"})
    assert first == Path("/s/edge_worldmodel/latent_cache/robot_1/scene-store")
    assert alone not in default_folder("/robot_1", {"HOME": "/home/a"}).parents
