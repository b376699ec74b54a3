"""The store of the latent cache: a window in memory, and a thread that keeps scenes on disk.

No call from the callback of a frame waits for the disk. New scenes are queued for the thread. Each lookup also starts a
search on disk, whose result is compared with the scene of the next frame.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge_worldmodel.core.cache.window_store import Entry, WindowStore
from edge_worldmodel.core.errors import SceneStoreError
from edge_worldmodel.core.time_units import to_seconds
from edge_worldmodel.core.types import Tensor
from edge_worldmodel.nodes.latent_cache.scene_disk import SceneDisk
from edge_worldmodel.nodes.latent_cache.scene_store_config import SceneStoreConfig
from edge_worldmodel.nodes.ros.state_folder import state_folder

_RETRY_S = 60.0
"""Pause after an error of the disk."""
_TRIM_PERIOD_S = 600.0
"""Scenes that are too old are deleted this often while no new ones come."""
_DELETE_TIMEOUT_S = 2.0
_MAX_WAITING = 64
"""Largest number of scenes that wait to be written; then the oldest is dropped."""


class SceneStore:
    """A LatentStore that survives a restart. Errors of the disk are reported as notes; the window keeps working.

    Args:
        window: the store in memory.
        disk: the scenes on disk; used by the thread of this store only.
        config: when scenes are written.
    """

    def __init__(self, window: WindowStore, disk: SceneDisk, config: SceneStoreConfig) -> None:
        self._window = window
        self._disk = disk
        self._config = config
        self._changed = threading.Condition()
        self._to_save: deque[tuple[Entry, float]] = deque()
        self._to_find: tuple[Tensor, str] | None = None
        self._found: Entry | None = None
        self._last_saved: Entry | None = None
        self._to_delete = False
        self._deleted: int | None = None
        self._busy = True
        self._closed = False
        self._flush_at_s = self._start_at_s = 0.0
        self._notes: deque[str] = deque(maxlen=20)
        self._problem = ""
        self._dropped = 0
        self._figures: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._work, daemon=True, name="scene store")
        self._thread.start()

    # --- called by the node: only delete_all waits for the disk, for up to two seconds ----------------------------

    def add(self, entry: Entry) -> None:
        """Keep an entry in the window, and on disk if its scene is new."""
        self._window.add(entry)
        if not self._is_new(entry):
            return
        self._last_saved = entry
        with self._changed:
            if not self._to_save:
                self._flush_at_s = time.monotonic() + self._config.flush_period_s
            if len(self._to_save) >= _MAX_WAITING:
                self._to_save.popleft()
                self._dropped += 1
            self._to_save.append((entry, time.time()))
            self._changed.notify_all()

    def newest(self) -> Entry | None:
        """Return the entry solved last."""
        return self._window.newest()

    def nearest(self, embedding: Tensor, model_id: str) -> tuple[Entry, float] | None:
        """Return the most similar entry of the window and the result of the last search on disk."""
        best = self._window.nearest(embedding, model_id)
        # after the window, so that the thread does not compete for the processor before
        with self._changed:
            self._to_find = (embedding, model_id)
            found = self._found
            self._changed.notify_all()
        if found is None or found.model_id != model_id:
            return best
        similarity = float(found.embedding @ embedding)
        return best if best is not None and best[1] >= similarity else (found, similarity)

    def drop_before(self, stamp_ns: int) -> None:
        """Drop older entries of the window; scenes on disk have an age limit of their own."""
        self._window.drop_before(stamp_ns)

    def clear(self) -> None:
        """Empty the window. Scenes on disk are found by similarity, which does not depend on odometry."""
        self._window.clear()

    def delete_all(self) -> str:
        """Delete all scenes, also on disk; return a text with their number.

        Raises:
            SceneStoreError: scenes on disk could not be deleted, or not yet.
        """
        in_memory = self._window.delete_all()
        with self._changed:
            self._to_save.clear()
            self._to_find = self._found = self._last_saved = self._deleted = None
            self._to_delete = True
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: not self._to_delete, _DELETE_TIMEOUT_S):
                raise SceneStoreError(f"{in_memory}; the disk is slow, scenes on it are deleted as soon as it answers")
            if self._deleted is None:
                raise SceneStoreError(f"{in_memory}, nothing on disk: {self._problem}")
            return f"{in_memory}, {self._deleted} scenes on disk deleted"

    def __len__(self) -> int:
        """Return the number of entries in the window."""
        return len(self._window)

    def take_notes(self) -> list[str]:
        """Return what a person should read, once."""
        with self._changed:
            notes = list(self._notes)
            self._notes.clear()
        return notes

    @property
    def problem(self) -> str:
        """Why nothing is kept on disk at present; empty when all is well."""
        return self._problem

    @property
    def figures(self) -> dict[str, Any]:
        """Figures for /diagnostics."""
        with self._changed:
            waiting = {"scenes_waiting": len(self._to_save), "scenes_dropped": self._dropped}
            return {"store": "sqlite"} | waiting | self._figures

    def close(self, timeout_s: float = 0.3) -> None:
        """Write the waiting scenes; return after ``timeout_s`` at the latest."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until the disk is open and has no work left; return whether that was so in time."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not (self._busy or self._to_save or self._to_find or self._to_delete), timeout_s
            )

    def _is_new(self, entry: Entry) -> bool:
        last = self._last_saved
        if last is None or last.model_id != entry.model_id:
            return True
        # the absolute value, as a clock that jumped back must not stop the writing
        waited_s = to_seconds(abs(entry.stamp_ns - last.stamp_ns))
        similarity = float(last.embedding @ entry.embedding)
        return waited_s >= self._config.new_scene_period_s and similarity <= self._config.new_scene_similarity

    # --- the thread that uses the disk -----------------------------------------------------------------------

    def _work(self) -> None:
        while (action := self._next_action()) is not None:
            self._attempt(action)
        self._disk.close()

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except SceneStoreError as error:
            self._pause(str(error))
        except Exception as error:  # the thread must survive a defect of ours
            self._pause(f"{type(error).__name__}: {error}")

    def _next_action(self) -> Callable[[], None] | None:
        """Wait for work and return it, searches before writing; None: the store is closed."""
        with self._changed:
            while True:
                now_s = time.monotonic()
                if self._to_delete:
                    return self._delete
                if now_s >= self._start_at_s:
                    if not self._disk.is_open:
                        return self._open
                    if self._to_find is not None and not self._closed:
                        return self._find
                    if now_s >= self._flush_at_s or (self._closed and self._to_save):
                        return self._flush
                if self._closed:
                    return None
                self._busy = not self._disk.is_open
                self._changed.notify_all()
                self._changed.wait(max(self._start_at_s, self._flush_at_s) - now_s)
                self._busy = True

    def _open(self) -> None:
        self._disk.open(time.time())
        self._done()

    def _find(self) -> None:
        with self._changed:
            question, self._to_find = self._to_find, None
        if question is not None:
            found = self._disk.find(*question)
            with self._changed:
                # all scenes may have been deleted in the meantime
                self._found = found if not self._to_delete else None
            self._take_disk_notes()

    def _flush(self) -> None:
        with self._changed:
            scenes = list(self._to_save)
            self._to_save.clear()
            self._flush_at_s = time.monotonic() + _TRIM_PERIOD_S
        self._dropped += len(scenes)
        if scenes and not self._disk.has_free_space():
            self._report_problem(
                f"less than {self._config.min_free_mb:g} MB are free on the disk of '{self._disk.folder}'"
            )
            return
        self._disk.save(scenes, time.time())
        self._dropped -= len(scenes)
        self._done()

    def _delete(self) -> None:
        self._attempt(self._delete_on_disk)
        with self._changed:
            self._to_delete = False
            self._changed.notify_all()

    def _delete_on_disk(self) -> None:
        self._deleted = self._disk.delete_all(time.time())
        self._done()

    def _done(self) -> None:
        figures = {
            "scenes_on_disk": len(self._disk),
            "disk_mb": self._disk.disk_bytes() / 1e6,
            "set_aside": self._disk.set_aside_count,
        }
        with self._changed:
            self._figures = figures
            self._problem = ""
        self._take_disk_notes()

    def _pause(self, why: str) -> None:
        with self._changed:
            self._start_at_s = time.monotonic() + _RETRY_S
            self._to_find = self._found = None
            self._dropped += len(self._to_save)
            self._to_save.clear()
            self._figures = {"scenes_on_disk": 0}
        self._take_disk_notes()
        self._report_problem(why)

    def _report_problem(self, problem: str) -> None:
        problem = f"scenes are kept in memory only: {problem}"
        with self._changed:
            if problem != self._problem:
                self._notes.append(problem)
            self._problem = problem
            self._changed.notify_all()

    def _take_disk_notes(self) -> None:
        notes, self._disk.notes = self._disk.notes, []
        with self._changed:
            self._notes.extend(notes)


def default_folder(namespace: str, environment: Mapping[str, str]) -> Path:
    """Return the folder of a robot's scenes when none is given."""
    return state_folder("latent_cache", namespace, "scene-store", environment)
