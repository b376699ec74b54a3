"""How quick the latent cache is with many entries: `evaluation.bench.cache_figures [ENTRIES]`.

What the node waits for (the window in memory, with the disk at work behind it) and what happens on disk.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge_worldmodel.core.cache.window_store import EMBEDDING_SIZE, Entry, WindowStore
from edge_worldmodel.core.types import Tensor
from edge_worldmodel.store.scene_memory import SceneMemory, SceneMemoryConfig
from edge_worldmodel.store.scene_shard import SceneShard, ShardLimits

_QUESTIONS = 1000
_PERIOD_S = 0.005


def main(entries: int) -> None:
    """Measure and print, times in milliseconds."""
    print(f"{entries} entries, {_QUESTIONS} questions; milliseconds")
    measure_window(entries)
    with tempfile.TemporaryDirectory() as folder:
        measure_disk(Path(folder), entries)
        measure_behind_disk(Path(folder), entries)


def measure_window(entries: int) -> None:
    """What `store: memory` and every answer take."""
    store = WindowStore(entries)
    scenes = _scenes(entries)
    _say("memory, insert", [_timed(store.add, scene) for scene in scenes])
    for scene in scenes[: entries // 2]:
        store.add(scene)
    questions = [scenes[i * entries // _QUESTIONS].embedding for i in range(_QUESTIONS)]
    _say("memory, query", [_timed(store.nearest, scene, "m") for scene in questions])


def measure_disk(folder: Path, entries: int) -> None:
    """What the keeper does, in this process."""
    limits = ShardLimits(entries, 1e9, 10**10, 0)
    shard = SceneShard(folder, limits)
    shard.open()
    inserts, flushes = [], []
    for number, scene in enumerate(_scenes(entries)):
        inserts.append(_timed(shard.save, scene, time.time()))
        if number % 50 == 49:
            flushes.append(_timed(shard.flush, time.time()))
    _say("Qdrant Edge, insert", inserts)
    _say("Qdrant Edge, flush of 50", flushes)
    questions = [scene.embedding for scene in _scenes(entries)[:: max(entries // _QUESTIONS, 1)]]
    _say("Qdrant Edge, query", [_timed(shard.find, scene, "m") for scene in questions])
    print(f"on disk: {shard.disk_bytes() / 1e6:.0f} MB")
    shard.close()
    again = SceneShard(folder, limits)
    print(f"loaded and checked in {_timed(again.open):.2f} s: {len(again)} scenes")
    again.close()


def measure_behind_disk(folder: Path, entries: int) -> None:
    """What the node waits for while scenes are written and flushed as quickly as they come."""
    config = SceneMemoryConfig(store="qdrant", flush_period_s=0.1, min_free_mb=0.0, disk_scenes=entries)
    memory = SceneMemory(WindowStore(entries), folder, config)
    memory.wait_idle(300.0)
    inserts, queries = [], []
    for scene in _scenes(_QUESTIONS, first=10**6):
        inserts.append(_timed(memory.add, scene))
        queries.append(_timed(memory.nearest, scene.embedding, "m"))
        time.sleep(_PERIOD_S)
    _say("node with the disk at work, insert", inserts)
    _say("node with the disk at work, query", queries)
    memory.wait_idle(60.0)
    print(f"last flush {memory.figures['last_flush_s'] * 1e3:.0f} ms, dropped {memory.figures['scenes_dropped']}")
    memory.close(10.0)


def _scenes(count: int, first: int = 0) -> list[Entry]:
    latents = np.random.default_rng(first).standard_normal((4, 8, 16, 16)).astype(np.float32)
    return [Entry(number, np.zeros(3), "m", _embedding(number), latents) for number in range(first, first + count)]


def _embedding(number: int) -> Tensor:
    values = np.abs(np.random.default_rng(number).standard_normal(EMBEDDING_SIZE)).astype(np.float32)
    unit: Tensor = values / np.linalg.norm(values)
    return unit


def _timed(action: Callable[..., object], *arguments: object) -> float:
    begin_s = time.perf_counter()
    action(*arguments)
    return time.perf_counter() - begin_s


def _say(what: str, times_s: list[float]) -> None:
    p50, p99, worst = (1e3 * value for value in np.quantile(times_s, (0.5, 0.99, 1.0)))
    print(f"{what:36s} p50 {p50:7.3f}  p99 {p99:7.3f}  max {worst:7.3f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
