"""Solved scenes in one SQLite file; candidates are found by sketch with sqlite-vec and compared by embedding.

It is used by one thread. A file that is damaged or of another program is renamed and replaced, with a note in `notes`.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import apsw
import numpy as np
import sqlite_vec

from edge_worldmodel.core import tensors
from edge_worldmodel.core.cache.window_store import CANDIDATES, SKETCH_NAME, SKETCH_SIZE, Entry, sketch
from edge_worldmodel.core.errors import EdgeWorldModelError, SceneStoreError
from edge_worldmodel.core.types import Tensor
from edge_worldmodel.nodes.latent_cache.scene_store_config import SceneStoreConfig

ResultT = TypeVar("ResultT")

MARKER, DATABASE = "edge_worldmodel_scenes.id", "scenes.sqlite"
DAMAGED, FOREIGN = "damaged-", "foreign-"
_SIDE_FILES = ("", "-wal", "-journal", "-shm")
_APPLICATION_ID = 0x65776D73
"""In the header of the file (PRAGMA application_id): "ewms"."""
_RESERVED_BYTES = 12_000_000
"""Part of the allowed size that is reserved for the write-ahead log and the scenes of one transaction."""
_BUSY_MS = 2000
_MAX_SET_ASIDE = 3
"""Number of files set aside in one run; if there are more, the file is not the cause."""
_NOT_THE_FILE = (
    apsw.FullError, apsw.IOError, apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError, apsw.NoMemError,
    apsw.ExtensionLoadingError, OSError,
)  # fmt: skip
"""Errors of the disk or the installation, for which the file is not replaced."""
_SCHEMA = f"""
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
PRAGMA application_id = {_APPLICATION_ID};
CREATE TABLE store (id TEXT NOT NULL, sketch TEXT NOT NULL);
CREATE TABLE scenes (
    number INTEGER PRIMARY KEY, saved_s REAL NOT NULL, stamp_ns INTEGER NOT NULL, model_id TEXT NOT NULL,
    pose BLOB NOT NULL, checksum INTEGER NOT NULL, embedding BLOB NOT NULL, latents BLOB NOT NULL
);
CREATE VIRTUAL TABLE sketches USING vec0(model_id TEXT PARTITION KEY, sketch FLOAT[{SKETCH_SIZE}]);
INSERT INTO store VALUES (:id, :sketch);
COMMIT;
"""
_NEAREST = """
SELECT number, embedding FROM scenes WHERE number IN (
    SELECT rowid FROM sketches WHERE sketch MATCH :sketch AND k = :k AND model_id = :model_id
)"""


class _DamagedError(Exception):
    """The file cannot be used."""


class _ForeignError(_DamagedError):
    """The file was made by another program or another store."""


class SceneDisk:
    """A folder with the scenes of one robot. Methods raise SceneStoreError when the disk cannot be used at present."""

    def __init__(self, folder: Path, config: SceneStoreConfig) -> None:
        self.folder = folder
        self._path = folder / DATABASE
        self._config = config
        self._db: Any = None
        self.set_aside_count = 0
        self.notes: list[str] = []

    @property
    def is_open(self) -> bool:
        """Return whether the file is open."""
        return self._db is not None

    def open(self, now_s: float) -> None:
        """Open or create the file, and delete scenes that are too old at ``now_s`` (Unix time)."""
        self._guarded(self._open, now_s)

    def save(self, scenes: Sequence[tuple[Entry, float]], now_s: float) -> None:
        """Write scenes, each with the Unix time [s] of its solution; all or none of them."""
        self._guarded(self._save, scenes, now_s)

    def find(self, embedding: Tensor, model_id: str) -> Entry | None:
        """Return the scene of a model that is most similar to an embedding."""
        return self._guarded(self._find, embedding, model_id)

    def delete_all(self, now_s: float) -> int:
        """Delete every file of this store, create a new one, and return the number of deleted scenes."""
        if self._db is None:
            self.open(now_s)
        count = len(self)
        self.close()
        with self._explained():
            for path in self._own_files():
                path.unlink(missing_ok=True)
        self.open(now_s)
        return count

    def close(self) -> None:
        """Close the file."""
        db, self._db = self._db, None
        if db is not None:
            db.close(True)

    def has_free_space(self) -> bool:
        """Return whether the disk has at least ``min_free_mb`` of free space."""
        with self._explained():
            return shutil.disk_usage(self.folder).free >= self._config.min_free_mb * 1e6

    def disk_bytes(self) -> int:
        """Return the size of all files that this store made."""
        return sum(path.lstat().st_size for path in self._own_files())

    def __len__(self) -> int:
        """Return the number of scenes."""
        return 0 if self._db is None else int(self._db.execute("SELECT count(*) FROM scenes").get)

    # --- the file -------------------------------------------------------------------------------------------------

    def _open(self, now_s: float) -> None:
        own_id = _claim(self.folder)
        if os.path.lexists(self._path) and (self._path.is_symlink() or not self._path.is_file()):
            raise _ForeignError("it is not a regular file")
        # created here, as SQLite gives its other files the mode of this one
        os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        self._path.chmod(0o600)
        db = self._db = apsw.Connection(str(self._path))
        db.set_busy_timeout(_BUSY_MS)
        # one process at a time, and no shared memory, which a truncated file would make unusable
        db.pragma("locking_mode", "exclusive")
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        db.enable_load_extension(True)
        db.load_extension(sqlite_vec.loadable_path())
        db.enable_load_extension(False)
        if not db.execute("SELECT count(*) FROM sqlite_schema").get:
            db.execute(_SCHEMA, {"id": own_id, "sketch": SKETCH_NAME}).fetchall()
        self._check(own_id)
        # after a power failure the last transactions may be missing, but the file is valid
        db.pragma("synchronous", "normal")
        self._save((), now_s)
        db.execute("PRAGMA incremental_vacuum").fetchall()

    def _check(self, own_id: str) -> None:
        """Raise unless the open file is valid and of this store."""
        if self._db.pragma("application_id") != _APPLICATION_ID:
            raise _ForeignError("another program made it")
        found = self._db.execute("SELECT id, sketch FROM store").fetchall()
        if found != [(own_id, SKETCH_NAME)]:
            raise _ForeignError(f"it is of another store: {found}, this one is {(own_id, SKETCH_NAME)}")
        fault = self._db.pragma("quick_check", 1)
        if fault != "ok":
            raise _DamagedError(fault)

    def _save(self, scenes: Sequence[tuple[Entry, float]], now_s: float) -> None:
        with self._db:
            newest = self._db.execute("SELECT coalesce(max(number), 0) FROM scenes").get
            for number, (entry, saved_s) in enumerate(scenes, newest + 1):
                self._insert(number, entry, saved_s)
            self._trim(newest + len(scenes), now_s)

    def _insert(self, number: int, entry: Entry, saved_s: float) -> None:
        self._db.execute("INSERT INTO scenes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _row(number, entry, saved_s))
        self._db.execute(
            "INSERT INTO sketches (rowid, model_id, sketch) VALUES (?, ?, ?)",
            (number, entry.model_id, sketch(entry.embedding).tobytes()),
        )

    def _find(self, embedding: Tensor, model_id: str) -> Entry | None:
        parameters = {"sketch": sketch(embedding).tobytes(), "k": CANDIDATES, "model_id": model_id}
        similar = [
            (float(np.frombuffer(blob, np.float16).astype(np.float32) @ embedding), number)
            for number, blob in self._db.execute(_NEAREST, parameters)
            if len(blob) == 2 * len(embedding)
        ]
        if not similar:
            return None
        number = max(similar)[1]
        try:
            return _entry(self._db.execute("SELECT * FROM scenes WHERE number = ?", (number,)).fetchone())
        except (ValueError, EdgeWorldModelError) as error:
            with self._db:
                self._forget(number)
            self.notes.append(f"one damaged scene removed from '{self._path}': {error}")
            return None

    # --- limits ---------------------------------------------------------------------------------------------------

    def _trim(self, newest: int, now_s: float) -> None:
        """Delete the oldest scenes while there are too many, they are too old, or the files too large."""
        allowed = self._config.max_disk_mb * 1e6 - _RESERVED_BYTES
        if self._used_bytes() > allowed:
            self._remove_aside()
        while (
            oldest := self._db.execute("SELECT number, saved_s FROM scenes ORDER BY number LIMIT 1").fetchone()
        ) and (
            newest - oldest[0] >= self._config.disk_scenes
            or now_s - oldest[1] > self._config.retention_s
            or self._used_bytes() > allowed
        ):
            self._forget(oldest[0])

    def _forget(self, number: int) -> None:
        self._db.execute("DELETE FROM scenes WHERE number = ?", (number,))
        self._db.execute("DELETE FROM sketches WHERE rowid = ?", (number,))

    def _used_bytes(self) -> int:
        pages = self._db.pragma("page_count") - self._db.pragma("freelist_count")
        aside = sum(path.lstat().st_size for path in self._aside())
        return int(pages * self._db.pragma("page_size")) + aside

    # --- faults ---------------------------------------------------------------------------------------------------

    def _guarded(self, action: Callable[..., ResultT], *arguments: Any) -> ResultT | None:
        """Run an action; when the file turns out to be unusable, replace it and return None."""
        try:
            with self._explained():
                return action(*arguments)
        except _DamagedError as error:
            self._set_aside(error)
        self.open(time.time())
        return None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of SQLite and of the system into ours; after one the file is closed."""
        try:
            yield
        except apsw.BusyError as error:
            self.close()
            raise SceneStoreError(
                f"'{self.folder}' is in use by another process; give 'store_dir' another folder"
            ) from error
        except _NOT_THE_FILE as error:
            self.close()
            raise SceneStoreError(f"'{self.folder}' cannot be used: {error}") from error
        except apsw.Error as error:
            raise _DamagedError(f"{type(error).__name__}: {error}") from error

    def _set_aside(self, why: _DamagedError) -> None:
        """Rename the file, so that a person may look at it."""
        self.close()
        self.set_aside_count += 1
        if self.set_aside_count > _MAX_SET_ASIDE:
            raise SceneStoreError(
                f"{_MAX_SET_ASIDE} files failed one after the other in '{self.folder}'; the last: {why}"
            )
        kind = FOREIGN if isinstance(why, _ForeignError) else DAMAGED
        with self._explained():
            if kind == DAMAGED:
                self._remove_aside()
            aside = self.folder / f"{kind}{time.time_ns()}.sqlite"
            for side in _SIDE_FILES:
                if os.path.lexists(f"{self._path}{side}"):
                    os.rename(f"{self._path}{side}", f"{aside}{side}")
        self.notes.append(f"scenes on disk begin anew, '{self._path}' was set aside as '{aside.name}': {why}")

    def _remove_aside(self) -> None:
        for path in self._aside():
            path.unlink()

    def _aside(self) -> list[Path]:
        """Return the damaged files of this store that were set aside."""
        return [path for path in self.folder.glob(f"{DAMAGED}*.sqlite*") if path.is_file() or path.is_symlink()]

    def _own_files(self) -> list[Path]:
        own = [Path(f"{self._path}{side}") for side in _SIDE_FILES]
        return [path for path in own if path.is_file()] + self._aside()


def _claim(folder: Path) -> str:
    """Return the id in the marker of a folder; create folder and marker if they are missing.

    Raises:
        SceneStoreError: the folder holds files and no marker of ours.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    marker = folder / MARKER
    own_id = "" if marker.is_symlink() or not marker.is_file() else marker.read_text(errors="replace").strip()
    if len(own_id) == 32 and set(own_id) <= set("0123456789abcdef"):
        folder.chmod(0o700)
        return own_id
    foreign = next((path.name for path in folder.iterdir() if path.name != MARKER), None)
    if foreign is not None or marker.is_symlink():
        raise SceneStoreError(
            f"'{folder}' holds files that the store of scenes did not make ('{foreign or MARKER}');"
            " give 'store_dir' a new or an empty folder"
        )
    folder.chmod(0o700)
    own_id = uuid.uuid4().hex
    with open(os.open(marker, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
        file.write(own_id)
        file.flush()
        os.fsync(file.fileno())
    return own_id


def _row(number: int, entry: Entry, saved_s: float) -> tuple[Any, ...]:
    pose = np.asarray(entry.pose, np.float64).tobytes()
    embedding, latents = entry.embedding.astype(np.float16).tobytes(), entry.latents.astype(np.float16).tobytes()
    checksum = zlib.crc32(latents, zlib.crc32(embedding, zlib.crc32(pose)))
    return number, saved_s, entry.stamp_ns, entry.model_id, pose, checksum, embedding, latents


def _entry(row: tuple[Any, ...]) -> Entry:
    """Return the entry of a row; raises ValueError or one of our errors when it is damaged."""
    _, _, stamp_ns, model_id, pose, checksum, embedding, latents = row
    if zlib.crc32(latents, zlib.crc32(embedding, zlib.crc32(pose))) != checksum:
        raise ValueError("checksum differs")
    shape = tensors.LATENT.with_batch(-1)
    return Entry(
        stamp_ns,
        np.frombuffer(pose, np.float64),
        model_id,
        np.frombuffer(embedding, np.float16).astype(np.float32),
        np.frombuffer(latents, np.float16).astype(np.float32).reshape(shape),
    )
