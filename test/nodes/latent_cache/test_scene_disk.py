"""The file of scenes: limits, damage, other programs' files, and that only its own files are ever deleted."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import apsw
import numpy as np
import pytest

from edge_worldmodel.core.errors import SceneStoreError
from edge_worldmodel.nodes.latent_cache.scene_disk import DATABASE, MARKER, SceneDisk
from edge_worldmodel.nodes.latent_cache.scene_store_config import SceneStoreConfig

from .scenes import assert_same, scene

CONFIG = SceneStoreConfig(min_free_mb=0.0)
REPOSITORY = Path(__file__).parents[3]
Opener = Callable[..., SceneDisk]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "robot" / "scenes"


@pytest.fixture
def opened(folder: Path) -> Iterator[Opener]:
    """Open one folder again and again, as restarts do; the one before is closed."""
    disks: list[SceneDisk] = []

    def open_next(now_s: float = 0.0, at: Path = folder, **changes: object) -> SceneDisk:
        for disk in disks:
            disk.close()
        disks.append(SceneDisk(at, replace(CONFIG, **changes)))
        disks[-1].open(now_s)
        return disks[-1]

    yield open_next
    for disk in disks:
        disk.close()


def save(disk: SceneDisk, numbers: range, now_s: float = 0.0) -> SceneDisk:
    disk.save([(scene(number), now_s) for number in numbers], now_s)
    return disk


def stored(disk: SceneDisk) -> list[int]:
    """Return the scenes that are found, by number."""
    found = [disk.find(scene(number).embedding, "m") for number in range(40)]
    return [number for number, entry in enumerate(found) if entry is not None and entry.stamp_ns == number]


def whole_file(folder: Path) -> Path:
    """Move what the write-ahead log holds into the database, and return that."""
    connection = apsw.Connection(str(folder / DATABASE))
    connection.execute(
        "PRAGMA wal_checkpoint(TRUNCATE); SELECT * FROM store; PRAGMA wal_checkpoint(TRUNCATE)"
    ).fetchall()
    connection.close()
    return folder / DATABASE


def test_scenes_survive_a_restart(opened: Opener) -> None:
    save(opened(), range(20))
    again = opened()
    assert len(again) == 20 and again.notes == []
    assert_same(again.find(scene(3).embedding, "m"), scene(3))


def test_scenes_of_another_model_are_never_answered(opened: Opener) -> None:
    disk = save(opened(), range(3))
    assert disk.find(scene(1).embedding, "other") is None
    disk.save([(scene(7, "other"), 0.0)], 0.0)
    assert_same(disk.find(scene(7).embedding, "other"), scene(7, "other"))
    assert_same(disk.find(scene(1).embedding, "m"), scene(1))
    assert_same(disk.find(scene(1).embedding, "other"), scene(7, "other"))


def test_the_window_on_disk_slides_by_count(opened: Opener, folder: Path) -> None:
    disk = opened(disk_scenes=8)
    for first in range(0, 40, 5):
        save(disk, range(first, first + 5))
    assert len(disk) == 8 and stored(disk) == list(range(32, 40))
    disk.close()
    connection = apsw.Connection(str(folder / DATABASE))
    assert connection.execute("SELECT count(*) FROM sketches_rowids").get == 8, "sketches go with their scenes"
    connection.close()
    assert stored(opened(disk_scenes=5)) == list(range(35, 40)), "a lower limit holds at once"


def test_the_window_on_disk_slides_by_time(opened: Opener) -> None:
    disk = save(opened(retention_s=100.0), range(3), now_s=1000.0)
    save(disk, range(3, 5), now_s=1060.0)
    disk.save([], 1101.0)
    assert stored(disk) == [3, 4]
    assert stored(opened(1200.0, retention_s=100.0)) == [], "old scenes go at the start, too"


def test_the_files_keep_to_their_size(opened: Opener, folder: Path) -> None:
    disk = opened(max_disk_mb=20.0)
    for first in range(0, 800, 10):
        save(disk, range(first, first + 10))
        assert disk.disk_bytes() <= 20e6
    assert 200 < len(disk) < 800
    assert_same(disk.find(scene(799).embedding, "m"), scene(799))
    assert len(opened(max_disk_mb=20.0)) > 200


def test_a_lower_limit_of_size_shrinks_the_file(opened: Opener, folder: Path) -> None:
    save(opened(), range(1000))
    whole_file_bytes = opened().disk_bytes()
    opened(max_disk_mb=20.0).close()
    assert whole_file(folder).stat().st_size <= 20e6 < whole_file_bytes


def test_only_the_owner_may_read(opened: Opener, folder: Path) -> None:
    before = os.umask(0)
    try:
        save(opened(), range(3)).close()
        folder.chmod(0o755)
        (folder / DATABASE).chmod(0o644)
        opened()
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = list(folder.iterdir())
    assert {path.name for path in files} >= {MARKER, DATABASE, f"{DATABASE}-wal"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


# --- damage -----------------------------------------------------------------------------------------------------------


def garbage(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(path.stat().st_size))


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 3)


def torn_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(20 * 4096)
        file.write(b"\xa5" * 4096)


def _sql(statement: str) -> Callable[[Path], None]:
    def run(path: Path) -> None:
        connection = apsw.Connection(str(path))
        connection.execute(statement).fetchall()
        connection.close()

    return run


DAMAGE = {
    "garbage": garbage,
    "truncated": truncated,
    "torn page": torn_page,
    "no table": _sql("DROP TABLE scenes"),
    "no index": _sql("DROP TABLE sketches_chunks"),
    "index cut": _sql("UPDATE sketches_vector_chunks00 SET vectors = x'00'"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_file_is_set_aside_and_replaced(opened: Opener, folder: Path, damage: Callable[[Path], None]) -> None:
    save(opened(), range(30)).close()
    damage(whole_file(folder))
    disk = opened()
    disk.find(scene(3).embedding, "m")
    assert len(disk.notes) == 1 and "was set aside as 'damaged-" in disk.notes[0], disk.notes
    assert len(list(folder.glob("damaged-*.sqlite"))) == 1
    assert stored(save(disk, range(5))) == list(range(5)), "and it goes on"
    assert stored(opened()) == list(range(5))


def test_damage_is_noticed_at_the_start(opened: Opener, folder: Path) -> None:
    save(opened(), range(30)).close()
    torn_page(whole_file(folder))
    assert "was set aside" in opened().notes[0]


def test_one_flipped_bit_costs_one_scene(opened: Opener, folder: Path) -> None:
    save(opened(), range(30)).close()
    _sql("UPDATE scenes SET latents = zeroblob(length(latents)) WHERE stamp_ns = 7")(whole_file(folder))
    disk = opened()
    assert disk.find(scene(7).embedding, "m") is None
    assert "one damaged scene removed" in disk.notes[0] and "checksum differs" in disk.notes[0]
    assert len(disk) == 29 and stored(disk) == [number for number in range(30) if number != 7]


def test_damaged_files_do_not_pile_up(opened: Opener, folder: Path) -> None:
    for _ in range(3):
        save(opened(), range(3)).close()
        garbage(whole_file(folder))
    disk = opened()
    assert len(list(folder.glob("damaged-*.sqlite"))) == 1
    os.truncate(next(folder.glob("damaged-*.sqlite")), 30_000_000)
    assert disk.disk_bytes() > 30e6
    assert opened(max_disk_mb=20.0).disk_bytes() <= 20e6, "what was set aside is the first to go"


def foreign_program(path: Path) -> None:
    _sql("CREATE TABLE thesis (text); INSERT INTO thesis VALUES ('years of work')")(path)


def foreign_store(path: Path) -> None:
    other = SceneDisk(path.parent.parent / "other", CONFIG)
    other.open(0.0)
    save(other, range(3)).close()
    whole_file(path.parent.parent / "other").rename(path)


def foreign_folder(path: Path) -> None:
    path.mkdir()
    (path / "thesis").write_text("years of work")


def foreign_link(path: Path) -> None:
    (path.parent.parent / "thesis").write_text("years of work")
    path.symlink_to(path.parent.parent / "thesis")


@pytest.mark.parametrize("put", [foreign_program, foreign_store, foreign_folder, foreign_link])
def test_a_foreign_file_is_set_aside_and_never_deleted(
    opened: Opener, folder: Path, put: Callable[[Path], None]
) -> None:
    opened().delete_all(0.0)
    opened().close()
    for path in folder.glob(f"{DATABASE}*"):
        path.unlink()
    put(folder / DATABASE)
    disk = opened()
    assert "set aside as 'foreign-" in disk.notes[0] and len(disk) == 0
    save(disk, range(3))
    disk.delete_all(0.0)
    (kept,) = folder.glob("foreign-*.sqlite")
    assert kept.exists() and not list(folder.glob("damaged-*"))


# --- whose files ------------------------------------------------------------------------------------------------------


def test_delete_all_removes_every_file_of_its_own_and_no_other(opened: Opener, folder: Path) -> None:
    save(opened(), range(5)).close()
    garbage(whole_file(folder))
    disk = save(opened(), range(5))
    (folder / "thesis").write_text("years of work")
    (folder / "damaged-folder.sqlite").mkdir()
    assert disk.delete_all(0.0) == 5
    names = {path.name for path in folder.iterdir()}
    assert names == {MARKER, DATABASE, f"{DATABASE}-wal", "thesis", "damaged-folder.sqlite"}
    assert len(disk) == 0 and stored(save(disk, range(2))) == [0, 1], "and it goes on"
    embedding = scene(3).embedding.astype(np.float16).tobytes()
    assert not [path for path in folder.iterdir() if path.is_file() and embedding in path.read_bytes()]


@pytest.mark.parametrize("name", ["thesis.txt", DATABASE])
def test_a_folder_with_files_and_no_marker_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("years of work")
    tmp_path.chmod(0o755)
    disk = SceneDisk(tmp_path, CONFIG)
    for action in (disk.open, disk.delete_all):
        with pytest.raises(SceneStoreError, match=f"did not make \\('{name}'\\); give 'store_dir' a new or an empty"):
            action(0.0)
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_text() == "years of work"
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_marker_that_is_not_ours_is_refused(opened: Opener, folder: Path) -> None:
    save(opened(), range(3)).close()
    (folder / MARKER).write_text("something else")
    with pytest.raises(SceneStoreError, match="did not make"):
        opened()


def test_a_start_that_was_cut_short_is_finished(opened: Opener, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / MARKER).touch()
    folder.chmod(0o755)
    assert len(save(opened(), range(3))) == 3
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_two_processes_do_not_share_a_folder(opened: Opener, folder: Path) -> None:
    first = save(opened(), range(3))
    second = SceneDisk(folder, CONFIG)
    for action in (second.open, second.delete_all):
        with pytest.raises(SceneStoreError, match="in use by another process"):
            action(0.0)
    assert stored(first) == [0, 1, 2] and first.notes == second.notes == []


# --- the disk ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["/proc/scenes", "/dev/null/scenes", "/dev/null"])
def test_a_folder_that_cannot_be_written_is_said(place: str) -> None:
    with pytest.raises(SceneStoreError, match=f"'{place}' cannot be used"):
        SceneDisk(Path(place), CONFIG).open(0.0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_is_said_and_costs_no_scene_before(opened: Opener, small_disk: Path) -> None:
    disk = opened(at=small_disk / "scenes")
    with pytest.raises(SceneStoreError, match="cannot be used"):
        for first in range(0, 1000, 10):
            save(disk, range(first, first + 10))
    again = opened(at=small_disk / "scenes")
    assert len(again) >= 50 and again.set_aside_count == 0
    assert again.delete_all(0.0) >= 50, "a full disk must not hinder deleting"
    assert stored(save(again, range(3))) == [0, 1, 2]


def test_a_disk_that_becomes_read_only_is_said(opened: Opener, small_disk: Path) -> None:
    save(opened(at=small_disk / "scenes"), range(3)).close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(SceneStoreError, match="cannot be used"):
        opened(at=small_disk / "scenes")
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert stored(opened(at=small_disk / "scenes")) == [0, 1, 2]


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from scenes import scene
from edge_worldmodel.nodes.latent_cache.scene_disk import SceneDisk
from edge_worldmodel.nodes.latent_cache.scene_store_config import SceneStoreConfig
disk = SceneDisk(Path({folder!r}), SceneStoreConfig(disk_scenes=60))
disk.open(0.0)
for number in range(10**6):
    disk.save([(scene(number % 40), 0.0)], 0.0)
    print(number, flush=True)
"""


def test_kill_9_while_writing_costs_at_most_the_transaction_on_its_way(opened: Opener, folder: Path) -> None:
    program = WRITER.format(tests=str(Path(__file__).parent), folder=str(folder))
    for kill in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        )
        assert writer.stdout is not None
        for _ in range(70 + 3 * kill):
            line = writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        written = int((line + writer.stdout.read()).split()[-1])
        writer.wait()
        disk = opened()
        assert len(disk) == 60 and disk.notes == []
        assert_same(disk.find(scene(written % 40).embedding, "m"), scene(written % 40))
        disk.close()
