"""Stores of solved scenes: the protocol of all stores, and the window in memory.

Scenes are looked up by their sketch, a projection of the embedding that is 16 times faster to compare. The best few are
then compared by their embedding.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edge_worldmodel.core import tensors
from edge_worldmodel.core.errors import InputError
from edge_worldmodel.core.types import Pose, Tensor

POOL = 4
"""The scene channels of the context are pooled to 4 x 4 cells before scenes are compared."""
EMBEDDING_SIZE = tensors.SCENE_CHANNELS * POOL * POOL
_EMBEDDING = tensors.TensorSpec("embedding", (EMBEDDING_SIZE,))
SKETCH_SIZE = 64
SKETCH_NAME = "chirp-1"
"""Name of the projection in stored files; another projection needs another name."""
CANDIDATES = 16
"""Number of scenes that are compared by their embedding."""
_NO_MODEL = -1


@dataclass(frozen=True)
class Entry:
    """One solved scene: its latents (F, Cl, 16, 16), ego pose (3,) and unit embedding (EMBEDDING_SIZE,).

    Raises:
        TensorMismatchError: an array has another shape or dtype.
        InputError: a value is not finite.
    """

    stamp_ns: int
    pose: Pose
    model_id: str
    embedding: Tensor
    latents: Tensor

    def __post_init__(self) -> None:
        """Check every array; entries come from the graph and from the disk."""
        tensors.LATENT.check(self.latents)
        _EMBEDDING.check(self.embedding)
        for name, values in (("latents", self.latents), ("embedding", self.embedding), ("pose", self.pose)):
            if not np.isfinite(values).all():
                raise InputError(f"scene at {self.stamp_ns} ns: {name} has values that are not finite")


class LatentStore(Protocol):
    """A store of solved scenes: the window in memory, alone or with a store on disk."""

    def add(self, entry: Entry) -> None:
        """Keep an entry, dropping the oldest when full."""
        ...

    def newest(self) -> Entry | None:
        """Return the entry solved last."""
        ...

    def nearest(self, embedding: Tensor, model_id: str) -> tuple[Entry, float] | None:
        """Return the most similar entry of a model and its cosine similarity."""
        ...

    def drop_before(self, stamp_ns: int) -> None:
        """Drop entries that are older than ``stamp_ns``."""
        ...

    def clear(self) -> None:
        """Drop all entries whose pose may be compared with later poses."""
        ...

    def delete_all(self) -> str:
        """Delete all entries permanently; return a text with their number."""
        ...

    def __len__(self) -> int:
        """Return the number of entries whose pose may be compared."""
        ...


class WindowStore:
    """The newest entries in memory, limited in number and bytes: a ring with a matrix of all sketches."""

    def __init__(self, capacity: int, max_bytes: int = 1 << 40) -> None:
        """Hold at most ``capacity`` entries whose embeddings and latents take at most ``max_bytes``."""
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._embeddings = np.zeros((capacity, EMBEDDING_SIZE), np.float32)
        self._sketches = np.zeros((capacity, SKETCH_SIZE), np.float32)
        self._models = np.full(capacity, _NO_MODEL)
        self._model_numbers: dict[str, int] = {}
        self._count = 0
        self._bytes = 0
        self._max_bytes = max_bytes

    def add(self, entry: Entry) -> None:
        """Keep an entry, dropping the oldest when full."""
        slot = self._count % len(self._models)
        self._drop(slot)
        self._bytes += _size(entry)
        while self._entries and self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))
        self._entries[slot] = entry
        self._embeddings[slot] = entry.embedding
        self._sketches[slot] = sketch(entry.embedding)
        self._models[slot] = self._model_numbers.setdefault(entry.model_id, len(self._model_numbers))
        self._count += 1

    def newest(self) -> Entry | None:
        """Return the entry solved last."""
        return self._entries[next(reversed(self._entries))] if self._entries else None

    def nearest(self, embedding: Tensor, model_id: str) -> tuple[Entry, float] | None:
        """Return the most similar entry of a model and its cosine similarity."""
        number = self._model_numbers.get(model_id, _NO_MODEL)
        used = min(self._count, len(self._models))
        of_model = self._models[:used] == number
        if number == _NO_MODEL or not of_model.any():
            return None
        # einsum, as the BLAS threads behind the operator @ took 5 ms on busy cores, einsum takes 0.2 ms
        products = np.einsum("ij,j->i", self._sketches[:used], sketch(embedding))
        rough_similarity = np.where(of_model, products, -np.inf)
        best = np.argpartition(rough_similarity, -CANDIDATES)[-CANDIDATES:] if used > CANDIDATES else np.arange(used)
        best = best[of_model[best]]
        similarity = self._embeddings[best] @ embedding
        first = int(np.argmax(similarity))
        return self._entries[int(best[first])], float(similarity[first])

    def drop_before(self, stamp_ns: int) -> None:
        """Drop entries that are older than ``stamp_ns``."""
        while self._entries and next(iter(self._entries.values())).stamp_ns < stamp_ns:
            self._drop(next(iter(self._entries)))

    def clear(self) -> None:
        """Drop all entries."""
        self._entries.clear()
        self._models[:] = _NO_MODEL
        self._bytes = 0

    def delete_all(self) -> str:
        """Drop all entries; return a text with their number."""
        count = len(self)
        self.clear()
        return f"{count} solutions in memory deleted"

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._entries)

    def _drop(self, slot: int) -> None:
        entry = self._entries.pop(slot, None)
        if entry is not None:
            self._models[slot] = _NO_MODEL
            self._bytes -= _size(entry)


def sketch(embedding: Tensor) -> Tensor:
    """Return the unit sketch (SKETCH_SIZE,) of an embedding; their dot product approximates cosine similarity."""
    projected = _PROJECTION @ embedding
    unit: Tensor = projected / np.float32(max(float(np.linalg.norm(projected)), 1e-9))
    return unit


def _size(entry: Entry) -> int:
    return entry.latents.nbytes + entry.embedding.nbytes + 4 * SKETCH_SIZE


def _chirps() -> Tensor:
    """Return the projection matrix: rows of chirps, nearly orthogonal and equal on every machine."""
    prime = 1031  # the first above EMBEDDING_SIZE
    row, column = np.arange(1, SKETCH_SIZE + 1)[:, None], np.arange(EMBEDDING_SIZE)[None]
    phase = 2.0 * np.pi * ((row * column * column + 7 * column) % prime) / prime
    chirps: Tensor = np.cos(phase).astype(np.float32)
    return chirps


_PROJECTION = _chirps()
