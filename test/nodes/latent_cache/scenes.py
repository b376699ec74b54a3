"""Scenes for the tests of what is kept on disk."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core.cache.window_store import EMBEDDING_SIZE, Entry


def scene(number: int, model_id: str = "m") -> Entry:
    """Return one of many scenes that have much in common, as contexts do, all different."""
    random = np.random.default_rng(number)
    embedding = np.abs(random.standard_normal(EMBEDDING_SIZE)).astype(np.float32)
    latents = random.standard_normal((4, 8, 16, 16)).astype(np.float32)
    return Entry(number, np.array([number, 0.0, 0.5]), model_id, embedding / np.linalg.norm(embedding), latents)


def assert_same(found: Entry | None, wanted: Entry) -> None:
    """Compare all but what half precision takes."""
    assert found is not None
    assert (found.stamp_ns, found.model_id) == (wanted.stamp_ns, wanted.model_id)
    np.testing.assert_array_equal(found.pose, wanted.pose)
    np.testing.assert_allclose(found.latents, wanted.latents, atol=2e-3)
    np.testing.assert_allclose(found.embedding, wanted.embedding, atol=1e-3)
