"""Shards of clips on disk: one ``.npz`` file each, with grids packed to bits, written atomically, checked when read."""

from __future__ import annotations

import json
import logging
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.core.tensors import GRID_CELLS, GRID_CHANNELS, HISTORY_FRAMES, HORIZON_STEPS

Arrays = dict[str, NDArray[Any]]

SPLITS = ("train", "val", "test")
PACKED_BYTES = GRID_CELLS * GRID_CELLS // 8
_LOG = logging.getLogger(__name__)

_LAYOUT: dict[str, tuple[tuple[int, ...], str]] = {
    "history": ((GRID_CHANNELS * HISTORY_FRAMES, PACKED_BYTES), "uint8"),
    "future": ((HORIZON_STEPS, PACKED_BYTES), "uint8"),
    "future_known": ((HORIZON_STEPS, PACKED_BYTES), "uint8"),
    "moving": ((HORIZON_STEPS, PACKED_BYTES), "uint8"),
    "present_moving": ((PACKED_BYTES,), "uint8"),
    "maneuver": ((HORIZON_STEPS, 3), "float32"),
    "agents": ((24, HISTORY_FRAMES + HORIZON_STEPS, 2), "float32"),
    "reacts": ((), "bool"),
    "source": ((), "int16"),
    "scene": ((), "int32"),
}
"""Shape of one clip and dtype of each array of a shard. ``source`` is an index into the shard's list of source
names, ``scene`` the number of the scene in the shard. Bits are packed along the last axis (np.packbits)."""


class ShardError(RecordingError):
    """A file is damaged or not a shard."""


def pack(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Pack masks (..., 64, 64) to bits (..., 512)."""
    return np.packbits(mask.reshape(*mask.shape[:-2], -1), axis=-1)


def unpack(bits: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Unpack bits (..., 512) to masks (..., 64, 64)."""
    masks = np.unpackbits(bits, axis=-1).reshape(*bits.shape[:-1], GRID_CELLS, GRID_CELLS)
    return masks.view(np.bool_)


def write_shard(path: Path, arrays: Arrays, sources: list[str], identity: str) -> None:
    """Write a shard; a reader never sees a partly written one.

    Args:
        path: file to write; an existing one is replaced.
        arrays: arrays of ``_LAYOUT``, with clips along the first axis.
        sources: names that ``source`` is an index into.
        identity: digest of all that the clips depend on, to recognise the shard later.
    """
    _check(arrays, str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    header = json.dumps({"sources": sources, "identity": identity}, sort_keys=True).encode()
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as stream:
        # The archive has no time stamps, so the same clips give the same bytes.
        contents: dict[str, Any] = {"header": np.frombuffer(header, np.uint8), **arrays}
        np.savez_compressed(stream, **contents)
        stream.flush()
        os.fsync(stream.fileno())
    # After fsync, so that the name never stands for a file whose content is not on disk yet.
    partial.replace(path)


def read_shard(path: Path) -> tuple[Arrays, list[str], str]:
    """Read a shard.

    Returns:
        Arrays, names of the sources, and identity.

    Raises:
        ShardError: the file is damaged or not a shard.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(bytes(arrays.pop("header")))
        sources, identity = [str(name) for name in header["sources"]], str(header["identity"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ShardError(f"{path}: damaged shard: {error}") from error
    _check(arrays, str(path))
    return arrays, sources, identity


def _check(arrays: Arrays, where: str) -> None:
    if set(arrays) != set(_LAYOUT):
        raise ShardError(f"{where}: arrays {sorted(arrays)}; expected {sorted(_LAYOUT)}")
    count = len(arrays["history"])
    for name, (shape, dtype) in _LAYOUT.items():
        have = arrays[name]
        if have.shape != (count, *shape) or have.dtype != np.dtype(dtype):
            raise ShardError(f"{where}: '{name}' is {have.dtype} {have.shape}; expected {dtype} {(count, *shape)}")


class ShardSet:
    """The shards of one split.

    ``load(i)`` returns the packed arrays of shard i, with ``source`` as an index into ``self.sources``. ``iterate``
    skips damaged shards; each is logged and added to ``damaged``.
    """

    def __init__(self, directory: Path, split: str) -> None:
        """Find the shards of a split in the folder of a data set.

        Raises:
            ShardError: there is no shard.
        """
        self.directory = Path(directory)
        self.split = split
        self.paths = sorted((self.directory / split).glob("shard_*.npz"))
        if not self.paths:
            raise ShardError(f"{self.directory}: no shards in '{split}'; make some with 'edge-worldmodel generate'")
        self.index = self._read_index()
        self.sources: list[str] = list(self.index.get("sources", []))
        self.damaged: dict[Path, str] = {}

    def __len__(self) -> int:
        """Return the number of shards."""
        return len(self.paths)

    def load(self, shard: int) -> Arrays:
        """Return the arrays of one shard.

        Raises:
            ShardError: the file is damaged or not a shard.
        """
        arrays, names, _ = read_shard(self.paths[shard])
        for name in names:
            if name not in self.sources:
                self.sources.append(name)
        numbers = np.array([self.sources.index(name) for name in names], dtype=np.int16)
        try:
            arrays["source"] = numbers[arrays["source"]]
        except IndexError as error:
            raise ShardError(
                f"{self.paths[shard]}: a source number that is not in its list of {len(names)} sources"
            ) from error
        return arrays

    def iterate(self) -> Iterator[Arrays]:
        """Yield the arrays of every undamaged shard, in order."""
        for shard, path in enumerate(self.paths):
            try:
                arrays = self.load(shard)
            except ShardError as error:
                if path not in self.damaged:
                    _LOG.warning("skipped: %s", error)
                self.damaged[path] = str(error)
                continue
            yield arrays

    def _read_index(self) -> dict[str, Any]:
        path = self.directory / "index.json"
        if not path.exists():
            return {}
        try:
            index = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ShardError(f"{path}: not readable as JSON: {error}") from error
        if not isinstance(index, dict):
            raise ShardError(f"{path}: is not an index of shards")
        return index
