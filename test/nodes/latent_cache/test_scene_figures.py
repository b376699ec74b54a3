"""How quick the store of scenes is with 10,000 of them, and how much it writes: `pytest -s -m benchmark` here.

At real-time priority, and the best of several rounds: the program's figures, not those of a machine's other work.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_worldmodel.core import tensors
from edge_worldmodel.core.cache.latent_cache import LatentCache, LatentCacheConfig, window
from edge_worldmodel.core.cache.window_store import WindowStore
from edge_worldmodel.core.types import LatentFrame
from edge_worldmodel.nodes.latent_cache.scene_disk import SceneDisk
from edge_worldmodel.nodes.latent_cache.scene_store import SceneStore
from edge_worldmodel.nodes.latent_cache.scene_store_config import SceneStoreConfig

from .scenes import scene

SCENES, ROUNDS = 10_000, 5
CONFIG = SceneStoreConfig(min_free_mb=0.0, new_scene_period_s=0.0, flush_period_s=0.2)
PER_TRANSACTION = round(SceneStoreConfig().flush_period_s / SceneStoreConfig().new_scene_period_s)
PER_HOUR = round(3600 / SceneStoreConfig().new_scene_period_s)
_PAUSE_S = 0.006
"""Between a frame and its solution: longer than a recall, which may then meet either."""

pytestmark = pytest.mark.benchmark


@pytest.fixture(scope="module", autouse=True)
def undisturbed() -> Iterator[None]:
    """Real-time priority; the threads that a store starts inherit it."""
    before = os.sched_getscheduler(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    except PermissionError:
        pytest.skip("needs the right to real-time priority (ulimit -r)")
    yield
    os.sched_setscheduler(0, before, os.sched_param(0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with as many scenes as are kept."""
    folder = tmp_path_factory.mktemp("figures") / "scenes"
    disk = SceneDisk(folder, CONFIG)
    disk.open(0.0)
    for first in range(0, SCENES, 100):
        disk.save([(scene(number), 0.0) for number in range(first, first + 100)], 0.0)
    disk.close()
    return folder


@pytest.fixture
def disk(folder: Path) -> Iterator[SceneDisk]:
    disk = SceneDisk(folder, CONFIG)
    begin_s = time.perf_counter()
    disk.open(0.0)
    print(f"\nopened and checked in {time.perf_counter() - begin_s:.2f} s, {disk.disk_bytes() / 1e6:.0f} MB")
    yield disk
    disk.close()


def rounds(what: str, count: int, action: Callable[[int], object], per: int = 1) -> tuple[float, float]:
    """Print and return p50 and p99 [ms] of the best round."""
    best = (np.inf, np.inf, np.inf)
    for number in range(ROUNDS):
        took_s = []
        for i in range(count):
            begin_s = time.perf_counter()
            action(number * count + i)
            took_s.append((time.perf_counter() - begin_s) / per)
        p50, p99, worst = 1e3 * np.quantile(took_s, (0.5, 0.99, 1.0))
        best = min(best, (p99, p50, worst))
    print(f"{what:44s} p50 {best[1]:7.3f}  p99 {best[0]:7.3f}  max {best[2]:7.3f} ms")
    return float(best[1]), float(best[0])


def test_an_insert_takes_a_millisecond_at_most(disk: SceneDisk) -> None:
    new = [scene(SCENES + i) for i in range(100 * ROUNDS)]
    disk._db.execute("BEGIN")
    newest = disk._db.execute("SELECT max(number) FROM scenes").get
    _, p99 = rounds("insert into the open transaction", 100, lambda i: disk._insert(newest + 1 + i, new[i], 0.0))
    disk._db.execute("ROLLBACK")
    assert p99 <= 1.0
    batches = [[(entry, 0.0) for entry in new[first : first + 10]] for first in range(0, len(new), 10)]
    rounds("transaction of 10, by scene, with its commit", 10, lambda i: disk.save(batches[i], 0.0), 10)


def test_a_recall_takes_five_milliseconds_at_most(disk: SceneDisk) -> None:
    questions = [scene(7919 * i % SCENES) for i in range(100 * ROUNDS)]
    missed: list[int] = []

    def ask(i: int) -> None:
        found = disk.find(questions[i].embedding, "m")
        if found is None or found.stamp_ns != questions[i].stamp_ns:
            missed.append(i)

    _, p99 = rounds("recall", 100, ask)
    assert p99 <= 5.0
    assert len(missed) <= len(questions) // 5, "the oldest made room for the scenes of the test before"


def test_sqlite_leaves_pythons_lock_to_others(disk: SceneDisk) -> None:
    """A recall takes milliseconds; another thread must not stand still as long."""
    questions = [scene(7919 * i % SCENES).embedding for i in range(200)]
    asker = threading.Thread(target=lambda: [disk.find(question, "m") for question in questions])
    marks = [time.perf_counter()]
    asker.start()
    while asker.is_alive():
        time.sleep(1e-4)
        marks.append(time.perf_counter())
    late_ms = 1e3 * np.diff(marks) - 0.1
    p50, p99 = np.quantile(late_ms, (0.5, 0.99))
    print(f"another thread, during {len(questions)} recalls: late by p50 {p50:.3f} p99 {p99:.3f} ms")
    assert (late_ms > 1.0).sum() < len(questions) // 2


def frame(number: int, latents: bool = False) -> LatentFrame:
    random = np.random.default_rng(number)
    shape = tensors.LATENT.with_batch(4) if latents else tensors.CONTEXT.shape
    tensor = random.standard_normal(shape).astype(np.float32)
    pose, still = np.zeros(3), np.zeros(3)
    return LatentFrame(number * 100_000_000, "odom", "base_link", pose, still, tensor, 0.0, 0.0, "m", number)


def test_the_disk_delays_no_frame(folder: Path) -> None:
    """Every frame shows a scene that is not known and is solved: a question and a scene to write, each time."""
    store = SceneStore(WindowStore(600), SceneDisk(folder, CONFIG), CONFIG)
    assert store.wait_idle(60.0)
    config = LatentCacheConfig()
    caches = {"memory": LatentCache(config, window(config)), "sqlite": LatentCache(config, store)}
    took_s: dict[str, list[NDArray[np.float64]]] = {name: [] for name in caches}
    for block in range(ROUNDS):
        for name, cache in caches.items():
            took_s[name].append(np.array([driven(cache, number + 100 * block) for number in range(1, 101)]))
            store.wait_idle(10.0)
    store.close(10.0)
    best = {name: 1e3 * np.quantile(blocks, (0.5, 0.9, 0.99), axis=1).min(axis=1) for name, blocks in took_s.items()}
    for name, figures in best.items():
        for what, (p50, p90, p99) in zip(("frame", "solution"), figures.T, strict=True):
            print(f"store: {name:6s} {what:8s} p50 {p50:.3f}  p90 {p90:.3f}  p99 {p99:.3f} ms")
    # The p99 of a hundred is one frame's luck: shown, not held against a limit.
    assert (best["sqlite"] - best["memory"] <= 0.2)[:2].all()


def driven(cache: LatentCache, number: int) -> tuple[float, float]:
    """Return how long a frame and its solution took [s]."""
    seen, solved = frame(number), frame(number, latents=True)
    begin_s = time.perf_counter()
    cache.warm_start(seen)
    answered_s = time.perf_counter()
    time.sleep(_PAUSE_S)
    solved_s = time.perf_counter()
    cache.remember(solved)
    end_s = time.perf_counter()
    time.sleep(_PAUSE_S)
    return answered_s - begin_s, end_s - solved_s


def test_flash_memory_is_spared(disk: SceneDisk) -> None:
    count = 50
    batches = [
        [(replace(scene(i * PER_TRANSACTION + j), stamp_ns=i), 0.0) for j in range(PER_TRANSACTION)]
        for i in range(count)
    ]
    before = written_bytes()
    for batch in batches:
        disk.save(batch, 0.0)
    per_scene = (written_bytes() - before) / (count * PER_TRANSACTION)
    if per_scene == 0:
        pytest.skip("this file system does not count what is written")
    print(f"{per_scene / 1e3:.0f} kB written per scene, at most {PER_HOUR * per_scene / 1e6:.0f} MB an hour")
    assert PER_HOUR * per_scene <= 500e6


def written_bytes() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("write_bytes")))
