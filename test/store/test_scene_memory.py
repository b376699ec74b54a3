"""Scenes survive restarts and kills; whatever is wrong with the disk becomes a note, and the window goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_worldmodel.core.cache.window_store import Entry, WindowStore
from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.store import scene_memory
from edge_worldmodel.store.scene_memory import SceneMemory, SceneMemoryConfig, default_folder

from .scenes import assert_same, scene

pytest.importorskip("qdrant_edge", reason="needs Qdrant Edge")

CONFIG = SceneMemoryConfig(store="qdrant", flush_period_s=0.2, min_free_mb=1.0)
PATIENCE_S = 60.0
Opener = Callable[..., SceneMemory]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Open memories of one folder, one after the other; all are closed at the end."""
    memories: list[SceneMemory] = []

    def open_next(folder: Path = tmp_path / "store", **changes: object) -> SceneMemory:
        for memory in memories:
            memory.close(5.0)
        memories.append(SceneMemory(WindowStore(10), folder, replace(CONFIG, **changes)))
        return memories[-1]

    yield open_next
    for memory in memories:
        memory.close(5.0)


def filled(memory: SceneMemory, numbers: range) -> SceneMemory:
    for number in numbers:
        memory.add(scene(number))
        if number % 50 == 49:
            assert memory.wait_idle(PATIENCE_S)
    assert memory.wait_idle(PATIENCE_S)
    return memory


def recalled(memory: SceneMemory, wanted: Entry) -> Entry | None:
    """Return what is found on disk for a scene: the answer is there for the second question."""
    memory.clear()
    memory.nearest(wanted.embedding, wanted.model_id)
    assert memory.wait_idle(PATIENCE_S)
    found = memory.nearest(wanted.embedding, wanted.model_id)
    return None if found is None else found[0]


def on_disk(memory: SceneMemory) -> int:
    assert memory.wait_idle(PATIENCE_S), memory.take_notes()
    return int(memory.figures["scenes_on_disk"])


def aside(folder: Path) -> list[Path]:
    return sorted(folder.glob("set-aside-*"))


def test_scenes_survive_a_restart(opened: Opener) -> None:
    assert len(filled(opened(), range(20))) == 10, "the window has its own capacity"
    again = opened()
    assert on_disk(again) == 20 and len(again) == 0 and again.newest() is None
    assert_same(recalled(again, scene(3)), scene(3))
    assert again.nearest(scene(3).embedding, "other") is None
    assert again.take_notes() == [] and again.problem == ""


def test_a_scene_like_the_last_is_not_written_again(opened: Opener) -> None:
    memory = opened()
    for stamp_ns in range(5):
        memory.add(replace(scene(0), stamp_ns=stamp_ns))
    memory.add(scene(1))
    memory.add(scene(0))
    assert on_disk(memory) == 3


def test_kill_9_of_the_keeper_during_writes_loses_at_most_what_was_on_the_way(opened: Opener, tmp_path: Path) -> None:
    memory = opened()
    assert memory.wait_idle(PATIENCE_S)
    written = 0
    for kill in range(3):
        for number in range(30):
            memory.add(scene(100 * kill + number))
        wait_until(lambda: memory.figures["scenes_waiting"] < 20)
        pid = memory.keeper_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda killed=pid: memory.keeper_pid not in (None, killed))
        written += 30
        assert on_disk(memory) >= written - (kill + 1), memory.take_notes()
    assert memory.figures["keeper_deaths"] == 3 and not aside(tmp_path / "store")
    again = opened()
    assert on_disk(again) >= written - 3
    assert_same(recalled(again, scene(205)), scene(205))


def test_a_keeper_that_dies_at_rest_is_started_again(opened: Opener) -> None:
    memory = filled(opened(), range(3))
    pid = memory.keeper_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: memory.keeper_pid not in (None, pid))
    assert on_disk(memory) == 3 and "SIGKILL" in memory.take_notes()[0]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)


def _garbage(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(max(path.stat().st_size, 100)))


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 3)


@pytest.mark.parametrize("damage", [_garbage, _truncate, Path.unlink], ids=["garbage", "truncated", "missing"])
@pytest.mark.parametrize("part", ["tag", "wal", "payload", "vectors", "ids", "config", "segment"])
def test_a_damaged_store_is_replaced_or_repaired(
    opened: Opener, tmp_path: Path, part: str, damage: Callable[[Path], None]
) -> None:
    filled(opened(), range(30)).close(5.0)
    wait_until(lambda: not in_use(tmp_path / "store"))
    patterns = {
        "tag": "scenes/tag.json",
        "wal": "scenes/shard/wal/*open-*",
        "payload": "scenes/shard/segments/*/payload_storage/*",
        "vectors": "scenes/shard/segments/*/vector_storage*/**/*",
        "ids": "scenes/shard/segments/*/mutable_id_tracker*",
        "config": "scenes/shard/*.json",
        "segment": "scenes/shard/segments/*/*.json",
    }
    files = [path for path in (tmp_path / "store").glob(patterns[part]) if path.is_file()]
    assert files, "the layout of the store changed"
    for path in files:
        damage(path)
    memory = opened()
    kept = on_disk(memory)
    told = " ".join(memory.take_notes())
    if kept < 30:
        assert aside(tmp_path / "store") or "damaged" in told, told
        assert told, "a loss must be told"
    memory.add(scene(500))
    assert on_disk(memory) == kept + 1
    if part != "vectors":  # garbage for a sketch hides its scene, and is harmless: likeness is checked in full
        assert_same(recalled(memory, scene(500)), scene(500))
    found = recalled(memory, scene(7))
    if found is not None and found.stamp_ns == 7:
        assert_same(found, scene(7))
    assert memory.problem == ""


def in_use(folder: Path) -> bool:
    import fcntl

    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


@pytest.mark.parametrize(
    ("name", "content"),
    [("scenes", b"a file where a folder should be"), ("scenes/tag.json", b'{"schema": 99}'), ("scenes/x", b"")],
)
def test_a_foreign_store_is_set_aside(opened: Opener, tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / "store" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    memory = filled(opened(), range(3))
    assert on_disk(memory) == 3
    notes = memory.take_notes()
    assert len(notes) == 1 and "set aside as" in notes[0] and len(aside(tmp_path / "store")) == 1


def test_another_vector_size_is_set_aside(opened: Opener, tmp_path: Path) -> None:
    filled(opened(), range(3)).close(5.0)
    wait_until(lambda: not in_use(tmp_path / "store"))
    tag = tmp_path / "store" / "scenes" / "tag.json"
    tag.write_text(tag.read_text().replace("1024", "512"))
    memory = opened()
    assert on_disk(memory) == 0
    assert "another kind" in memory.take_notes()[0]


def test_another_model_begins_a_store_of_its_own(opened: Opener, tmp_path: Path) -> None:
    memory = filled(opened(), range(3))
    memory.add(scene(7, "other"))
    assert on_disk(memory) == 1
    assert "of model 'm', the robot now uses 'other'" in memory.take_notes()[0]
    assert_same(recalled(memory, scene(7, "other")), scene(7, "other"))
    assert len(aside(tmp_path / "store")) == 1


def test_a_store_that_ends_its_keeper_is_set_aside(opened: Opener, tmp_path: Path) -> None:
    filled(opened(), range(3)).close(5.0)
    wait_until(lambda: not in_use(tmp_path / "store"))
    (tmp_path / "store" / "opening").write_text("2")
    memory = opened()
    assert on_disk(memory) == 0
    assert "attempts to open it ended the program" in memory.take_notes()[0]


def test_a_keeper_that_crashes_again_and_again_gets_a_new_store(opened: Opener, tmp_path: Path) -> None:
    memory = filled(opened(), range(3))
    for _ in range(3):
        pid = memory.keeper_pid
        assert pid is not None
        os.kill(pid, signal.SIGBUS)  # as a file does that is mapped into memory and too short
        wait_until(lambda crashed=pid: memory.keeper_pid not in (None, crashed))
        assert memory.wait_idle(PATIENCE_S)
    assert on_disk(memory) == 0 and len(aside(tmp_path / "store")) == 1
    assert "its keeper died 3 times in a row" in " ".join(memory.take_notes())


@pytest.mark.parametrize("folder", ["/proc/scenes", "/dev/null/scenes"])
def test_a_folder_that_cannot_be_written_leaves_the_window(opened: Opener, folder: str) -> None:
    memory = opened(Path(folder))
    wait_until(lambda: memory.problem != "")
    assert "memory only" in memory.problem and folder in memory.problem
    memory.add(scene(0))
    found = memory.nearest(scene(0).embedding, "m")
    assert found is not None and found[0].stamp_ns == 0
    assert memory.take_notes() == [memory.problem]


def test_nothing_is_written_to_a_disk_that_is_nearly_full(opened: Opener) -> None:
    memory = opened(min_free_mb=1e9)
    assert memory.wait_idle(PATIENCE_S)
    memory.add(scene(0))
    assert on_disk(memory) == 0
    assert "are free on the disk" in memory.problem
    assert memory.nearest(scene(0).embedding, "m") is not None


def test_a_disk_that_is_full_leaves_the_window(opened: Opener, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True, check=False
    ).returncode:
        pytest.skip("needs the right to mount")
    try:
        memory = opened(disk / "store", min_free_mb=0.0)
        assert memory.wait_idle(PATIENCE_S)
        for number in range(400):
            memory.add(scene(number))
            assert memory.nearest(scene(number).embedding, "m") is not None
            time.sleep(0.005)
        wait_until(lambda: memory.problem != "" or bool(memory.take_notes()))
        memory.close(5.0)
        wait_until(lambda: not in_use(disk / "store"))
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_two_robots_in_one_folder_are_told_apart(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = filled(opened(), range(3))
    second = SceneMemory(WindowStore(10), tmp_path / "store", CONFIG)
    wait_until(lambda: second.problem != "")
    assert "in use by another process" in second.problem
    with pytest.raises(OSError, match="nothing on disk"):
        second.delete_all()
    second.close()
    assert on_disk(first) == 3


def test_number_and_age_are_limited(opened: Opener) -> None:
    assert on_disk(filled(opened(disk_scenes=8), range(20))) == 8
    assert on_disk(opened(disk_scenes=5)) == 5
    memory = opened(retention_s=1.0)
    time.sleep(1.1)
    memory.add(scene(50))
    assert on_disk(memory) == 1
    assert_same(recalled(memory, scene(50)), scene(50))


def test_delete_all_leaves_nothing(opened: Opener, tmp_path: Path) -> None:
    memory = filled(opened(), range(5))
    (tmp_path / "store" / "set-aside-earlier").mkdir()
    begin_s = time.perf_counter()
    said = memory.delete_all()
    assert time.perf_counter() - begin_s < 1.0
    assert said == "5 solutions in memory deleted, 5 scenes on disk deleted, with all that had been set aside"
    assert len(memory) == 0 and recalled(memory, scene(3)) is None and on_disk(memory) == 0
    wait_until(lambda: [path.name for path in (tmp_path / "store").iterdir()] == ["lock"])
    assert on_disk(filled(memory, range(2))) == 2, "and it goes on"
    assert memory.take_notes() == []


def test_what_a_crash_left_of_a_deletion_is_deleted(opened: Opener, tmp_path: Path) -> None:
    left = tmp_path / "store" / ".deleted-1" / "scenes"
    left.mkdir(parents=True)
    assert opened().wait_idle(PATIENCE_S)
    assert not left.exists()


def test_the_node_never_waits_for_a_keeper_that_hangs(opened: Opener) -> None:
    memory = opened()
    assert memory.wait_idle(PATIENCE_S)
    pid = memory.keeper_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    longest_s = 0.0
    for number in range(100):
        begin_s = time.perf_counter()
        memory.add(scene(number))
        memory.nearest(scene(number).embedding, "m")
        memory.drop_before(number - 5)
        _ = memory.figures, memory.problem, memory.take_notes()
        longest_s = max(longest_s, time.perf_counter() - begin_s)
    assert memory.figures["scenes_dropped"] >= 30
    begin_s = time.perf_counter()
    memory.delete_all()
    assert max(longest_s, time.perf_counter() - begin_s) < 1.0


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="qdrant, memory"):
        SceneMemoryConfig(store="redis")


def test_every_robot_has_its_own_default_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_folder("/", {"HOME": "/home/a"}) == Path("/home/a/.local/state/edge_worldmodel/latent_cache")
    assert default_folder("/robot_1", {"XDG_STATE_HOME": "/s"}) == Path("/s/edge_worldmodel/latent_cache/robot_1")
    monkeypatch.setattr(scene_memory.importlib.util, "find_spec", lambda name: None)
    assert not scene_memory.installed()
