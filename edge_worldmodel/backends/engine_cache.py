"""TensorRT engines on disk. An engine is valid for one model, TensorRT version, GPU model and precision only.

Each file is a line of JSON (key and checksum) and then the engine. Files are written under another name and renamed, so
they are always complete. Engines are code: they are read only from a folder that no other user can write to.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from edge_worldmodel.core.errors import BackendError

MAGIC = "edge_worldmodel engine 1"
_HASH_LETTERS = 16


class EngineFolderError(BackendError):
    """The engine folder cannot be used: it is not writable, or other users can write to it."""


@dataclass(frozen=True)
class EngineKey:
    """Everything that an engine depends on; another value of any field needs another engine."""

    network: str
    model_sha256: str
    tensorrt: str
    gpu: str
    precision: str
    futures: int
    max_futures: int
    version_compatible: bool = False

    def file_name(self) -> str:
        """Return a file name that is unique for the key."""
        digest = hashlib.sha256(json.dumps(dataclasses.asdict(self), sort_keys=True).encode()).hexdigest()
        words = (self.network, self.model_sha256[:8], f"trt{self.tensorrt}", self.gpu, self.precision)
        return "-".join(re.sub(r"[^A-Za-z0-9.]+", "_", word) for word in words) + f"-{digest[:_HASH_LETTERS]}.engine"


@dataclass(frozen=True)
class EngineLookup:
    """The engine and the file it came from, or None and why there is none."""

    engine: bytes | None
    reason: str


class EngineCache:
    """A folder of engines."""

    def __init__(self, folder: Path) -> None:
        """Use ``folder``; it is created if it does not exist.

        Raises:
            EngineFolderError: it cannot be created, or other users can write to it.
        """
        self._folder = folder.expanduser()
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            found = self._folder.stat()
        except OSError as error:
            raise EngineFolderError(f"engine folder {self._folder}: {error}; set engine_dir") from error
        if found.st_uid not in (os.getuid(), 0) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise EngineFolderError(
                f"engine folder {self._folder} can be written to by others (mode {stat.filemode(found.st_mode)}, "
                f"owner {found.st_uid}), and engines are code: chmod 700 it, or set engine_dir"
            )

    def find(self, key: EngineKey) -> EngineLookup:
        """Return the engine of ``key``; a damaged file is renamed and named in the reason.

        With version_compatible, an engine of an older TensorRT is accepted, too.
        """
        exact = self._folder / key.file_name()
        paths = [exact, *self._older(key)] if key.version_compatible else [exact]
        reasons = []
        for path in paths:
            if not path.exists():
                continue
            engine = _read(path, key)
            if engine is not None:
                return EngineLookup(engine, f"from {path.name}")
            os.replace(path, path.with_suffix(".damaged"))
            reasons.append(f"{path.name} was damaged and renamed")
        return EngineLookup(None, "; ".join(reasons) or "none was built yet")

    def keep(self, key: EngineKey, engine: bytes) -> None:
        """Store an engine.

        Raises:
            EngineFolderError: the disk is full or the folder is read-only.
        """
        header = dataclasses.asdict(key) | {"magic": MAGIC, "sha256": hashlib.sha256(engine).hexdigest()}
        path = self._folder / key.file_name()
        partial = path.with_suffix(f".{os.getpid()}.part")
        try:
            with partial.open("wb") as file:
                file.write(json.dumps(header).encode() + b"\n" + engine)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise EngineFolderError(f"cannot store an engine in {self._folder}: {error}; set engine_dir") from error

    def _older(self, key: EngineKey) -> list[Path]:
        """Return version-compatible engines of this or an older TensorRT, newest first."""
        fitting = []
        for path in self._folder.glob(f"{key.network}-{key.model_sha256[:8]}-*.engine"):
            header = _header(path)
            version = str(header.get("tensorrt", ""))
            if header and _key_of(header) == dataclasses.asdict(dataclasses.replace(key, tensorrt=version)):
                fitting.append((_numbers(version), path))
        return [path for version, path in sorted(fitting, reverse=True) if version < _numbers(key.tensorrt)]


def _read(path: Path, key: EngineKey) -> bytes | None:
    line, _, engine = path.read_bytes().partition(b"\n")
    header = _parse(line)
    wanted = dataclasses.asdict(dataclasses.replace(key, tensorrt=str(header.get("tensorrt"))))
    whole = header.get("sha256") == hashlib.sha256(engine).hexdigest()
    return engine if whole and header.get("magic") == MAGIC and _key_of(header) == wanted else None


def _header(path: Path) -> dict[str, object]:
    with path.open("rb") as file:
        return _parse(file.readline(1 << 16))


def _parse(line: bytes) -> dict[str, object]:
    try:
        header = json.loads(line)
    except ValueError:
        return {}
    return header if isinstance(header, dict) else {}


def _key_of(header: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in header.items() if name not in ("magic", "sha256")}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
