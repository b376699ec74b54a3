"""The memory of scenes: a window in memory that answers at once, and behind it a process that keeps scenes on disk.

No call here waits for a disk. Solutions of new scenes are handed over by a thread, and a scene that the window does
not know is asked for the same way: the answer is there for the next frame, compared in full with that frame's scene.
"""

from __future__ import annotations

import importlib.util
import shutil
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_worldmodel.core.cache.window_store import Entry, WindowStore
from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.types import Tensor
from edge_worldmodel.store.keeper_process import KeeperProcess
from edge_worldmodel.store.scene_wire import decode, encode

DELETED, LOCK = ".deleted-", "lock"
_OPEN_TIMEOUT_S = 300.0
_TIMEOUT_S = 30.0
_RESTART_S = 1.0
_RETRY_S = 60.0
_PULSE_S = 1.0
_DEATHS = 3
"""A keeper that dies this often in a row gets a new store, and twice as often none for a while."""
_FROM_OUTSIDE = ("signal SIGKILL", "signal SIGTERM")
_HEALTHY = 20
"""Answers after which a death is not counted as one in a row with those before."""
_WAITING = 64
"""Scenes that wait to be written."""


@dataclass(frozen=True)
class SceneMemoryConfig(Config):
    """What is kept on disk, where, and how much of it."""

    store: str = param("memory", "where solved scenes are kept", read_only=True, choices=("qdrant", "memory"))
    store_dir: str = param(
        "",
        "folder of the scenes with store: qdrant, for this robot alone; empty: latent_cache/NAMESPACE below"
        " $XDG_STATE_HOME/edge_worldmodel or ~/.local/state/edge_worldmodel",
        read_only=True,
    )
    flush_period_s: float = param(
        5.0, "scenes are on disk this long after they were handed over", minimum=0.05, maximum=600.0, read_only=True
    )
    disk_scenes: int = param(
        10_000, "scenes on disk at most; the oldest go first", minimum=1, maximum=100_000, read_only=True
    )
    retention_s: float = param(
        604_800.0, "scenes on disk are deleted at this age (a week)", minimum=1.0, maximum=1e9, read_only=True
    )
    max_disk_mb: float = param(
        768.0, "the folder takes at most this much, with what was set aside [MB]", minimum=200.0, read_only=True
    )
    min_free_mb: float = param(
        500.0, "nothing is written while the disk has less free space than this [MB]", minimum=0.0, read_only=True
    )
    new_scene_similarity: float = param(
        0.98, "a scene more like the last one written than this is not written again", maximum=1.1, read_only=True
    )


class SceneMemory:
    """A LatentStore that survives a restart. Whatever goes wrong with the disk is a note for people, never an error."""

    def __init__(self, window: WindowStore, folder: Path, config: SceneMemoryConfig) -> None:
        self._window = window
        self._folder = folder
        self._config = config
        self._wake = threading.Condition()
        self._to_save: deque[tuple[Entry, float]] = deque()
        self._to_find: tuple[Tensor, str] | None = None
        self._found: Entry | None = None
        self._last_saved: Entry | None = None
        self._busy = False
        self._closed = False
        self._notes: deque[str] = deque(maxlen=20)
        self._on_disk: dict[str, Any] = {}
        self._problem = ""
        self._keeper: KeeperProcess | None = None
        self._start_at_s = 0.0
        self._deaths = self._deaths_in_a_row = self._answers = 0
        self._in_use_elsewhere = False
        self._dropped = 0
        self._thread = threading.Thread(target=self._work, daemon=True, name="scene memory")
        self._thread.start()

    # --- for the node: nothing here waits for a disk --------------------------------------------------------------

    def add(self, entry: Entry) -> None:
        """Keep an entry in the window, and on disk when its scene is a new one."""
        self._window.add(entry)
        last = self._last_saved
        if (
            last is not None
            and last.model_id == entry.model_id
            and float(last.embedding @ entry.embedding) > self._config.new_scene_similarity
        ):
            return
        self._last_saved = entry
        with self._wake:
            if len(self._to_save) >= _WAITING:
                self._to_save.popleft()
                self._dropped += 1
            self._to_save.append((entry, time.time()))
            self._wake.notify_all()

    def newest(self) -> Entry | None:
        """Return the entry solved last."""
        return self._window.newest()

    def nearest(self, embedding: Tensor, model_id: str) -> tuple[Entry, float] | None:
        """Return the most similar entry of the window and of what the disk had for the last question."""
        with self._wake:
            self._to_find = (embedding, model_id)
            found = self._found
            self._wake.notify_all()
        best = self._window.nearest(embedding, model_id)
        if found is None or found.model_id != model_id:
            return best
        similarity = float(found.embedding @ embedding)
        return best if best is not None and best[1] >= similarity else (found, similarity)

    def drop_before(self, stamp_ns: int) -> None:
        """Forget what is older in the window; scenes on disk have an age limit of their own."""
        self._window.drop_before(stamp_ns)

    def clear(self) -> None:
        """Empty the window. Scenes on disk are recalled by likeness alone, which no jump of the odometry touches."""
        self._window.clear()

    def delete_all(self) -> str:
        """Forget everything, on disk too; return what was deleted, in words.

        Raises:
            OSError: files cannot be moved away, or are another process's.
        """
        in_memory = self._window.delete_all()
        with self._wake:
            self._to_save.clear()
            self._to_find = self._found = self._last_saved = None
            if self._in_use_elsewhere:
                raise OSError(f"{in_memory}, nothing on disk: {self._problem}")
            keeper, self._keeper = self._keeper, None
            scenes = self._on_disk.get("scenes_on_disk", 0)
            self._on_disk = {}
            if keeper is not None:
                keeper.kill()
            self._start_at_s = 0.0
            gone = _move_away(self._folder)
            self._wake.notify_all()
        # Removing files takes as long as it takes; what a crash leaves over goes at the next start.
        threading.Thread(target=_delete, args=(keeper, gone), daemon=True).start()
        return f"{in_memory}, {scenes} scenes on disk deleted, with all that had been set aside"

    def __len__(self) -> int:
        """Return the number of entries in the window."""
        return len(self._window)

    def take_notes(self) -> list[str]:
        """Return what a person should read, once."""
        with self._wake:
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
        with self._wake:
            waiting = {"scenes_waiting": len(self._to_save), "scenes_dropped": self._dropped}
            return {"store": "qdrant", "keeper_deaths": self._deaths} | waiting | self._on_disk

    def close(self, timeout_s: float = 0.3) -> None:
        """Hand over what waits, at most ``timeout_s``; the keeper writes it to disk and ends by itself."""
        with self._wake:
            self._closed = True
            self._to_find = None
            self._wake.notify_all()
        self._thread.join(timeout_s)
        keeper = self._keeper
        if keeper is not None:
            keeper.leave()

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until the keeper runs and all was handed over; return whether it is so in time."""
        with self._wake:
            return self._wake.wait_for(
                lambda: bool(self._on_disk) and not (self._to_save or self._to_find or self._busy), timeout_s
            )

    @property
    def keeper_pid(self) -> int | None:
        """Process id of the keeper, None while there is none."""
        keeper = self._keeper
        return None if keeper is None else keeper.pid

    # --- the thread that waits instead ----------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._wake:
                self._busy = False
                self._wake.notify_all()
                if self._closed and (not self._to_save or self._keeper is None):
                    return
                keeper = self._keeper
                rest_s = self._start_at_s - time.monotonic()
                if keeper is None and rest_s > 0.0:
                    self._wake.wait(rest_s)
                    continue
                waiting = bool(self._to_save) or self._to_find is not None
                if keeper is not None and not waiting and self._wake.wait(_PULSE_S):
                    continue
                self._busy = waiting
            if keeper is None:
                self._start()
            else:
                self._serve(keeper)

    def _start(self) -> None:
        config = self._config
        set_aside = f"its keeper died {_DEATHS} times in a row" if self._deaths_in_a_row == _DEATHS else ""
        try:
            keeper = KeeperProcess()
        except OSError as error:
            self._pause(f"no process can be started to keep scenes on disk: {error}")
            return
        with self._wake:
            self._keeper = keeper
        request = {
            "do": "open",
            "folder": str(self._folder),
            "scenes": config.disk_scenes,
            "retention_s": config.retention_s,
            "max_disk_bytes": round(config.max_disk_mb * 1e6),
            "min_free_bytes": round(config.min_free_mb * 1e6),
            "flush_period_s": config.flush_period_s,
            "set_aside": set_aside,
        }
        self._ask(keeper, request, b"", _OPEN_TIMEOUT_S)

    def _serve(self, keeper: KeeperProcess) -> None:
        """Do one thing: a question first, it is for the next frame; without work, see whether the keeper lives."""
        with self._wake:
            question, self._to_find = self._to_find, None
            scene = self._to_save.popleft() if question is None and self._to_save else None
        if question is not None:
            embedding, model_id = question
            self._ask(keeper, {"do": "find", "model_id": model_id}, embedding.tobytes(), _TIMEOUT_S)
        elif scene is not None:
            header, blob = encode(scene[0])
            self._ask(keeper, header | {"do": "save", "saved_s": scene[1]}, blob, _TIMEOUT_S)
        else:
            self._ask(keeper, {"do": "pulse"}, b"", _TIMEOUT_S)

    def _ask(self, keeper: KeeperProcess, request: Mapping[str, Any], blob: bytes, timeout_s: float) -> None:
        answer = keeper.ask(dict(request), blob, timeout_s)
        if answer is None:
            self._on_death(keeper)
            return
        header, data = answer
        found = decode(header["entry"], data) if "entry" in header else None
        with self._wake:
            if self._keeper is not keeper:
                return  # everything was deleted meanwhile
            self._notes.extend(header.pop("notes", []))
            self._answers += 1
            if self._answers >= _HEALTHY:
                self._deaths_in_a_row = 0
            if request["do"] == "find":
                self._found = found
            self._in_use_elsewhere = bool(header.get("in_use"))
            if header["ok"]:
                names = ("scenes_on_disk", "disk_mb", "last_flush_s", "set_aside")
                self._on_disk = {name: header[name] for name in names}
                self._say("" if header.get("saved", not self._problem) else self._no_room())
                return
            self._keeper = None
        keeper.kill()
        keeper.end(_TIMEOUT_S)
        self._pause(str(header["why"]))

    def _on_death(self, keeper: KeeperProcess) -> None:
        with self._wake:
            if self._closed or self._keeper is not keeper:
                return
        keeper.leave()
        how = keeper.end(1.0)
        with self._wake:
            self._keeper, self._on_disk = None, {}
            self._deaths += 1
            # Killed from outside (a person, or memory ran out): no fault of the store.
            self._deaths_in_a_row += how not in _FROM_OUTSIDE
            self._answers = 0
            self._start_at_s = time.monotonic() + _RESTART_S
            self._notes.append(f"the process that keeps scenes on disk ended ({how}); it is started again")
        if self._deaths_in_a_row >= 2 * _DEATHS:
            self._deaths_in_a_row = 0
            self._pause(f"the process that keeps scenes on disk does not stay alive ({how})")

    def _pause(self, why: str) -> None:
        with self._wake:
            self._start_at_s = time.monotonic() + _RETRY_S
            self._on_disk = {"scenes_on_disk": 0}
            self._found = None
            self._say(f"scenes are kept in memory only: {why}")

    def _say(self, problem: str) -> None:
        if problem and problem != self._problem:
            self._notes.append(problem)
        self._problem = problem

    def _no_room(self) -> str:
        return self._problem or (
            f"scenes are kept in memory only: less than {self._config.min_free_mb:.0f} MB are free on the disk of"
            f" '{self._folder}' (min_free_mb)"
        )


def installed() -> bool:
    """Return whether Qdrant Edge can be imported."""
    return importlib.util.find_spec("qdrant_edge") is not None


def default_folder(namespace: str, environment: Mapping[str, str]) -> Path:
    """Return where a robot's scenes are kept when nobody says where."""
    state = environment.get("XDG_STATE_HOME") or str(Path(environment.get("HOME", "/"), ".local", "state"))
    return Path(state, "edge_worldmodel", "latent_cache", *namespace.strip("/").split("/"))


def _move_away(folder: Path) -> Path | None:
    """Move what is in a folder of scenes into one folder that will be deleted; return it."""
    if not folder.is_dir():
        return None
    gone = folder / f"{DELETED}{time.time_ns()}"
    gone.mkdir()
    for path in folder.iterdir():
        if path.name != LOCK and not path.name.startswith(DELETED):
            path.rename(gone / path.name)
    return gone


def _delete(keeper: KeeperProcess | None, gone: Path | None) -> None:
    if keeper is not None:
        keeper.end(_TIMEOUT_S)
    if gone is not None:
        shutil.rmtree(gone, ignore_errors=True)
