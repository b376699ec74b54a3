"""Scenes in a folder, in a shard of Qdrant Edge: the only module that knows it.

Run it in a process of its own (scene_keeper): Qdrant Edge 0.9 holds Python's lock while it flushes and loads, and a
damaged file that it maps into memory ends the process.

The folder holds ``scenes/`` (what is in use: ``tag.json``, ``shard/`` and ``flushed``, the number of scenes last
written), ``set-aside-*`` (what could not be used), ``lock`` and, while a shard is being opened, ``opening``.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as qdrant
from numpy.typing import NDArray

from edge_worldmodel.core.cache.window_store import CANDIDATES, EMBEDDING_SIZE, SKETCH_NAME, SKETCH_SIZE, Entry, sketch
from edge_worldmodel.core.errors import EdgeWorldModelError
from edge_worldmodel.core.types import Tensor
from edge_worldmodel.store.scene_wire import decode, encode

SCHEMA = 1
SCENES, FRESH, SHARD, TAG, FLUSHED = "scenes", "scenes.fresh", "shard", "tag.json", "flushed"
OPENING = "opening"
ASIDE, DELETED = "set-aside-", ".deleted-"
_VECTOR = "sketch"
_BATCH = 256
_KEPT_ASIDE = 2
_OPENINGS = 2
"""A shard whose opening ended the process this often is set aside."""
_HOLES = 8
"""Rewritten when this many times the scenes it may hold went through it."""
_MAX_SET_ASIDE = 3
"""More in one run, and the fault is elsewhere."""
_FULL = 2 / 3
"""Halved at this share of the size allowed: the copy needs room, too."""


class StoreError(EdgeWorldModelError):
    """Scenes cannot be kept on disk."""


class InUseError(StoreError):
    """Another process keeps its scenes in this folder."""


@dataclass(frozen=True)
class ShardLimits:
    """How much is kept: number, age [s], size of the folder and free space of its disk [bytes]."""

    scenes: int
    retention_s: float
    max_disk_bytes: int
    min_free_bytes: int


class SceneShard:
    """A folder of scenes of one model. What cannot be used is set aside and replaced, and ``notes`` says so."""

    def __init__(self, folder: Path, limits: ShardLimits) -> None:
        self._folder = folder
        self._limits = limits
        self._shard: Any = None
        self._saved_s: OrderedDict[int, float] = OrderedDict()
        self._embeddings: dict[int, NDArray[np.float16]] = {}
        self._next = 1
        self._first = 1
        self.model_id = ""
        self.dirty = False
        self.set_aside_count = 0
        self.notes: list[str] = []

    def __len__(self) -> int:
        """Return the number of scenes."""
        return len(self._saved_s)

    def open(self) -> None:
        """Load what is there; set it aside when it cannot be used.

        Raises:
            StoreError: the folder cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for left in self._folder.glob(DELETED + "*"):
                shutil.rmtree(left, ignore_errors=True)
            if (self._folder / SCENES).exists():
                shutil.rmtree(self._folder / FRESH, ignore_errors=True)
            elif (self._folder / FRESH).exists():
                (self._folder / FRESH).rename(self._folder / SCENES)
            openings = _number(self._folder / OPENING)
            (self._folder / OPENING).write_text(str(openings + 1))
        except OSError as error:
            raise StoreError(f"'{self._folder}' cannot be written ({error.strerror}); scenes stay in memory") from error
        try:
            if os.path.lexists(self._folder / SCENES):
                self._open(openings)
        finally:
            (self._folder / OPENING).unlink(missing_ok=True)

    def _open(self, openings: int) -> None:
        try:
            if openings >= _OPENINGS:
                raise ValueError(f"{openings} attempts to open it ended the program")
            self._load()
        except BaseException as error:
            _let_go(error)
            self.set_aside(_words(error))

    def save(self, entry: Entry, saved_s: float) -> bool:
        """Keep a scene that was solved at ``saved_s`` (Unix time); False when there is no room on the disk."""
        if self.model_id != entry.model_id:
            self._change_model(entry.model_id)
        if not self._has_room():
            return False
        payload = _payload(entry, saved_s)
        self._guarded(self._upsert, self._next, entry, payload)
        self._trim(saved_s)
        return True

    def find(self, embedding: Tensor, model_id: str) -> Entry | None:
        """Return the scene most like this one, of the same model."""
        if model_id != self.model_id or not self._saved_s:
            return None
        found: Entry | None = self._guarded(self._find, embedding)
        return found

    def flush(self, now_s: float) -> None:
        """Write everything to disk, forget what is too old, and keep to the size allowed."""
        self._trim(now_s)
        if self._shard is not None:
            self._guarded(self._flush)
            self._keep_to_size()

    def close(self) -> None:
        """Write everything to disk and let the files go."""
        if self._shard is not None:
            self._guarded(self._flush)
        if self._shard is not None:
            self._guarded(self._shard.close)
        self._shard = None

    def set_aside(self, why: str) -> None:
        """Rename what is in use, so that a person may look at it, and begin anew."""
        self._forget()
        self.set_aside_count += 1
        place = self._folder / f"{ASIDE}{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{time.time_ns() % 10**9}"
        try:
            (self._folder / SCENES).rename(place)
            self.notes.append(f"store of scenes set aside as '{place}' and begun anew: {why}")
        except FileNotFoundError:
            self.notes.append(f"store of scenes begun anew: {why}")
        except OSError as error:
            raise StoreError(f"'{self._folder / SCENES}' cannot be set aside ({error.strerror}): {why}") from error
        for old in self._aside()[:-_KEPT_ASIDE]:
            shutil.rmtree(old, ignore_errors=True)
        if self.set_aside_count > _MAX_SET_ASIDE:
            raise StoreError(f"{self.set_aside_count} stores of scenes failed one after the other; the last: {why}")

    def disk_bytes(self) -> int:
        """Return what the folder takes on disk, with what was set aside."""
        return sum(_blocks(path) for path in self._folder.rglob("*"))

    # --- one shard ------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        place = self._folder / SCENES
        if place.is_symlink() or not place.is_dir():
            raise ValueError("it is no folder")
        tag = json.loads((place / TAG).read_text(encoding="utf-8"))
        own = _tag(str(tag.get("model_id")) if isinstance(tag, dict) else "")
        if tag != own:
            raise ValueError(f"it is of another kind: {str(tag)[:200]}, this program writes {own}")
        if not self._has_room():
            # Even opening takes room for a log; better not to risk what is there.
            raise StoreError(f"too little free space on the disk of '{self._folder}' to open it")
        self._shard = qdrant.EdgeShard.load(str(place / SHARD), _config())
        self.model_id = own["model_id"]
        damaged: list[int] = []
        for number, entry, saved_s in self._scroll():
            if entry is None or entry.model_id != self.model_id:
                damaged.append(number)
            else:
                self._saved_s[number] = saved_s
                self._embeddings[number] = entry.embedding.astype(np.float16)
            self._next = number + 1
        lost = _number(place / FLUSHED) - len(self) - len(damaged)
        if lost > 0:
            # Qdrant Edge does not notice when its list of points is cut short.
            self.notes.append(f"{lost} scenes that had been written are gone: damaged files; {len(self)} kept")
        if damaged:
            self.notes.append(f"{len(damaged)} damaged scenes dropped, {len(self)} kept")
            _remove(self._shard, damaged)
        self._first = next(iter(self._saved_s), self._next)

    def _upsert(self, number: int, entry: Entry, payload: dict[str, Any]) -> None:
        if self._shard is None:
            self._shard = _create(self._folder / SCENES, self.model_id)
        _put(self._shard, number, entry, payload)
        self._saved_s[number] = payload["saved_s"]
        self._embeddings[number] = entry.embedding.astype(np.float16)
        self._next = number + 1
        self.dirty = True

    def _flush(self) -> None:
        self._shard.flush()
        (self._folder / SCENES / FLUSHED).write_text(str(len(self)))
        self.dirty = False

    def _find(self, embedding: Tensor) -> Entry | None:
        nearest = qdrant.Query.Nearest(sketch(embedding).tolist(), using=_VECTOR)
        points = self._shard.query(qdrant.QueryRequest(query=nearest, limit=CANDIDATES))
        numbers = [int(point.id) for point in points]
        best = max(numbers, key=lambda number: float(self._embeddings[number] @ embedding))
        return _entry(self._shard.retrieve([best], with_payload=True, with_vector=False)[0].payload)

    def _scroll(self) -> Iterator[tuple[int, Entry | None, float]]:
        """Yield number, entry (None when damaged) and time of saving [s] of every scene, oldest first."""
        offset: int | None = 0
        while offset is not None:
            request = qdrant.ScrollRequest(offset=offset, limit=_BATCH, with_payload=True)
            records, offset = self._shard.scroll(request)
            for record in records:
                payload = record.payload or {}
                saved_s = payload.get("saved_s")
                if isinstance(saved_s, (int, float)):
                    yield int(record.id), _entry(payload), float(saved_s)
                else:
                    yield int(record.id), None, 0.0

    # --- limits ---------------------------------------------------------------------------------------------------

    def _trim(self, now_s: float) -> None:
        old = []
        while self._saved_s:
            number, saved_s = next(iter(self._saved_s.items()))
            if len(self._saved_s) <= self._limits.scenes and now_s - saved_s <= self._limits.retention_s:
                break
            del self._saved_s[number], self._embeddings[number]
            old.append(number)
        if old and self._shard is not None:
            self._guarded(_remove, self._shard, old)
            self.dirty = True

    def _keep_to_size(self) -> None:
        """Drop what was set aside, then the older half of the scenes, until the folder has the size allowed."""
        aside = self._aside()
        while aside and self.disk_bytes() > self._limits.max_disk_bytes:
            shutil.rmtree(aside.pop(0), ignore_errors=True)
        if self.disk_bytes() > _FULL * self._limits.max_disk_bytes:
            self._guarded(self._rewrite, len(self) // 2)
        elif self._next - self._first > _HOLES * self._limits.scenes:
            self._guarded(self._rewrite, len(self))

    def _rewrite(self, count: int) -> None:
        """Copy the newest ``count`` scenes to a new shard: Qdrant Edge's own files do not shrink."""
        place, fresh, old = self._folder / SCENES, self._folder / FRESH, self._folder / f"{DELETED}{time.time_ns()}"
        dropped = len(self) - count
        keep = dict(list(self._saved_s.items())[dropped:])
        shutil.rmtree(fresh, ignore_errors=True)
        copy = _create(fresh, self.model_id)
        for number, entry, saved_s in self._scroll():
            if entry is not None and number in keep:
                _put(copy, number, entry, _payload(entry, saved_s))
        copy.flush()
        copy.close()
        self._shard.close()
        place.rename(old)
        fresh.rename(place)
        self._shard = qdrant.EdgeShard.load(str(place / SHARD), _config())
        self._saved_s = OrderedDict(keep)
        self._embeddings = {number: self._embeddings[number] for number in keep}
        self._first = next(iter(keep), self._next)
        (place / FLUSHED).write_text(str(count))
        shutil.rmtree(old, ignore_errors=True)
        if dropped:
            self.notes.append(f"store of scenes reached its size: the oldest {dropped} scenes dropped, {count} kept")

    def _has_room(self) -> bool:
        return shutil.disk_usage(self._folder).free >= self._limits.min_free_bytes

    def _change_model(self, model_id: str) -> None:
        if self._shard is not None:
            self.close()
            self.set_aside(f"its scenes are of model '{self.model_id}', the robot now uses '{model_id}'")
        self.model_id = model_id

    def _guarded(self, action: Any, *arguments: Any) -> Any:
        """Run what Qdrant Edge does; when it fails, panics included, set the store aside and return None."""
        try:
            return action(*arguments)
        except BaseException as error:
            _let_go(error)
            if not self._has_room():
                raise StoreError(f"the disk of '{self._folder}' is full: {_words(error)}") from error
            model_id = self.model_id
            self.set_aside(_words(error))
            self.model_id = model_id
            return None

    def _forget(self) -> None:
        self._shard = None
        self._saved_s.clear()
        self._embeddings.clear()
        self._next = self._first = 1
        self.model_id = ""
        self.dirty = False

    def _aside(self) -> list[Path]:
        return sorted(self._folder.glob(ASIDE + "*"))


def _config() -> Any:
    params = qdrant.EdgeVectorParams(size=SKETCH_SIZE, distance=qdrant.Distance.Dot)
    return qdrant.EdgeConfig(vectors={_VECTOR: params}, max_search_threads=1, wal_enabled=True)


def _create(place: Path, model_id: str) -> Any:
    place.mkdir()
    (place / TAG).write_text(json.dumps(_tag(model_id)), encoding="utf-8")
    (place / SHARD).mkdir()
    return qdrant.EdgeShard.create(str(place / SHARD), _config())


def _put(shard: Any, number: int, entry: Entry, payload: dict[str, Any]) -> None:
    point = qdrant.Point(id=number, vector={_VECTOR: sketch(entry.embedding).tolist()}, payload=payload)
    shard.update(qdrant.UpdateOperation.upsert_points([point]))


def _remove(shard: Any, numbers: list[int]) -> None:
    shard.update(qdrant.UpdateOperation.delete_points([*numbers]))


def _payload(entry: Entry, saved_s: float) -> dict[str, Any]:
    header, blob = encode(entry)
    return header | {"saved_s": saved_s, "data": base64.b64encode(blob).decode()}


def _tag(model_id: str) -> dict[str, Any]:
    return {"schema": SCHEMA, "model_id": model_id, "sketch": SKETCH_NAME, "embedding_size": EMBEDDING_SIZE}


def _entry(payload: dict[str, Any] | None) -> Entry | None:
    try:
        return decode(payload or {}, base64.b64decode(str((payload or {}).get("data", ""))))
    except ValueError:
        return None


def _let_go(error: BaseException) -> None:
    """Raise again what is meant for the process; a panic of the library is an error like any other."""
    if isinstance(error, (KeyboardInterrupt, SystemExit, StoreError)):
        raise error


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"


def _number(path: Path) -> int:
    try:
        return int(path.read_text()[:9])
    except (OSError, ValueError):
        return 0


def _blocks(path: Path) -> int:
    try:
        return path.lstat().st_blocks * 512
    except OSError:
        return 0
