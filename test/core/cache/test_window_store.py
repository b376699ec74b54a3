"""The window keeps what is new, within its caps, and finds the scene that is most alike quickly."""

from __future__ import annotations

import time

import numpy as np
import pytest

from edge_worldmodel.core.cache.window_store import EMBEDDING_SIZE, Entry, WindowStore, sketch


def scene(seed: int) -> np.ndarray:
    """Return the embedding of one of many scenes that have much in common, as contexts do."""
    values = np.abs(np.random.default_rng(seed).standard_normal(EMBEDDING_SIZE)).astype(np.float32)
    return values / np.linalg.norm(values)


def like(embedding: np.ndarray, seed: int, noise: float = 0.2) -> np.ndarray:
    """Return the embedding of nearly the same scene."""
    other = np.random.default_rng(seed).standard_normal(EMBEDDING_SIZE).astype(np.float32)
    mixed = embedding + noise * other / np.linalg.norm(other)
    return (mixed / np.linalg.norm(mixed)).astype(np.float32)


def entry(number: int, model_id: str = "m") -> Entry:
    latents = np.full((1, 8, 16, 16), number, np.float32)
    return Entry(number, np.zeros(3), model_id, scene(number), latents)


def test_finds_the_nearest_of_the_model() -> None:
    store = WindowStore(3)
    assert store.newest() is None and store.nearest(scene(0), "m") is None
    for number in range(5):
        store.add(entry(number, "a" if number == 4 else "m"))
    newest = store.newest()
    assert newest is not None and newest.stamp_ns == 4 and len(store) == 3
    found = store.nearest(scene(4), "m")
    assert found is not None and found[0].stamp_ns in (2, 3)
    found = store.nearest(scene(3), "m")
    assert found is not None and found[0].stamp_ns == 3 and found[1] == pytest.approx(1.0, abs=1e-5)
    assert store.nearest(scene(3), "unknown") is None
    store.clear()
    assert len(store) == 0 and store.nearest(scene(3), "m") is None


def test_a_scene_among_thousands_is_found_by_its_sketch() -> None:
    store = WindowStore(2000)
    for number in range(3000):
        store.add(entry(number))
    missed = 0
    for number in range(1000, 3000, 10):
        question = like(scene(number), number + 10**6)
        found = store.nearest(question, "m")
        assert found is not None and found[1] == pytest.approx(float(found[0].embedding @ question), abs=1e-5)
        missed += found[0].stamp_ns != number
    assert missed <= 2


def test_sketches_are_as_like_as_scenes() -> None:
    pairs = [(scene(n), like(scene(n), n + 10**6)) for n in range(50)]
    near = [float(sketch(a) @ sketch(b)) for a, b in pairs]
    far = [float(sketch(scene(n)) @ sketch(scene(n + 1))) for n in range(50)]
    assert min(near) > max(far)


def test_memory_is_capped_and_the_newest_stays() -> None:
    one = entry(0)
    size = one.latents.nbytes + one.embedding.nbytes + 256
    store = WindowStore(100, max_bytes=4 * size)
    for number in range(10):
        store.add(entry(number))
        newest = store.newest()
        assert newest is not None and newest.stamp_ns == number
    assert len(store) == 4
    found = store.nearest(scene(0), "m")
    assert found is not None and found[0].stamp_ns >= 6
    tiny = WindowStore(100, max_bytes=1)
    tiny.add(entry(0))
    tiny.add(entry(1))
    assert len(tiny) == 1


def test_drops_what_is_older_and_goes_on() -> None:
    store = WindowStore(4)
    for number in range(6):
        store.add(entry(number))
    store.drop_before(5)
    assert len(store) == 1
    found = store.nearest(scene(3), "m")
    assert found is not None and found[0].stamp_ns == 5
    assert store.delete_all() == "1 solutions in memory deleted"
    store.add(entry(7))
    assert len(store) == 1


def test_insert_and_query_stay_quick_at_10_000_entries() -> None:
    """Far below the millisecond on an idle machine; the bound leaves room for a busy one."""
    store = WindowStore(10_000)
    entries = [entry(number) for number in range(200)]
    for number in range(10_000):
        store.add(entries[number % 200])
    inserts, queries = [], []
    for number in range(200):
        begin_s = time.perf_counter()
        store.add(entries[number])
        middle_s = time.perf_counter()
        store.nearest(entries[number].embedding, "m")
        inserts.append(middle_s - begin_s)
        queries.append(time.perf_counter() - middle_s)
    assert np.median(inserts) < 1e-3 and np.median(queries) < 5e-3
