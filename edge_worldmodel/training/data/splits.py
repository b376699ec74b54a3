"""The packed clips of one split, from shards on disk or from new scenes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.core.model.motion_forecast import motion_forecast
from edge_worldmodel.core.tensors import MOTION_CHANNELS
from edge_worldmodel.training.data.generate import ShardJob, make_shard
from edge_worldmodel.training.data.shards import PACKED_BYTES, Arrays, ShardSet, pack, unpack
from edge_worldmodel.training.data.sources import Recordings, SceneSource

_FIELDS = ("history", "future", "future_known", "moving", "present_moving", "maneuver", "reacts")
_SHARD_CLIPS = 250
_MANY = 5000
"""Progress is shown when the motion forecasts of at least so many clips are computed."""


@dataclass(frozen=True)
class ClipSet:
    """Packed clips: grids as bits along the last axis, as in shards.

    history (M, 10, 512), motion (M, 9, 512), future, future_known and moving (M, 8, 512),
    present_moving (M, 512) uint8; maneuver (M, 8, 3) float32; reacts (M,): whether people react to the
    robot; group (M,): number of the scene.
    """

    history: NDArray[np.uint8]
    motion: NDArray[np.uint8]
    future: NDArray[np.uint8]
    future_known: NDArray[np.uint8]
    moving: NDArray[np.uint8]
    present_moving: NDArray[np.uint8]
    maneuver: NDArray[np.float32]
    reacts: NDArray[np.bool_]
    group: NDArray[np.intp]

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.history)


def load_split(data: Path, split: str, without: Sequence[str] = ()) -> ClipSet:
    """Read one split ("train", "val" or "test") into memory; damaged shards are logged and left out.

    Args:
        data: folder of a data set.
        split: name of the split.
        without: leave out sources whose names begin like this ("tracks", "tracks:biwi_hotel", "map").
    """
    shards = ShardSet(data, split)
    return to_clips((_leave_out(arrays, shards.sources, without) for arrays in shards.iterate()), f"{data}, '{split}'")


def _leave_out(arrays: Arrays, sources: Sequence[str], without: Sequence[str]) -> Arrays:
    if not without:
        return arrays
    kept = np.array([not sources[number].startswith(tuple(without)) for number in arrays["source"]], dtype=bool)
    return {name: values[kept] for name, values in arrays.items()}


def make_split(recordings: Recordings, split: str, clips: int, seed: int, *, only_tracks: bool = False) -> ClipSet:
    """Make the clips of a split as `generate` does, without writing them.

    Args:
        recordings: recorded tracks and maps; without any, scenes are simulated.
        split: name of the split; each split has other random numbers.
        clips: number of clips.
        seed: seed of the generator.
        only_tracks: use recorded tracks only, all equally often.
    """
    source = TrackSource(recordings) if only_tracks else SceneSource(recordings)
    shards = []
    for number, first in enumerate(range(0, clips, _SHARD_CLIPS)):
        job = ShardJob("", split, number, min(_SHARD_CLIPS, clips - first), seed, (), ())
        shards.append(make_shard(job, source)[0])
    return to_clips(shards, "the generator")


class TrackSource(SceneSource):
    """Makes scenes from recorded tracks only."""

    draw = SceneSource._recorded_tracks


def to_clips(shards: Iterable[Arrays], where: str) -> ClipSet:
    """Join shards; scenes of different shards get different numbers.

    Raises:
        RecordingError: there is no clip.
    """
    parts: list[Arrays] = []
    groups: list[NDArray[np.intp]] = []
    for arrays in shards:
        if not len(arrays["scene"]):
            continue
        parts.append(arrays)
        groups.append(arrays["scene"].astype(np.intp) + (groups[-1].max() + 1 if groups else 0))
    if not parts:
        raise RecordingError(f"{where}: no clip could be read; make some with 'edge-worldmodel generate'")
    fields = {name: np.concatenate([part[name] for part in parts]) for name in _FIELDS}
    return ClipSet(**fields, motion=motion_of(fields["history"]), group=np.concatenate(groups))


def motion_of(history: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the packed motion forecasts (M, 9, 512) of packed histories (M, 10, 512)."""
    found = np.empty((len(history), MOTION_CHANNELS, PACKED_BYTES), np.uint8)
    for index, bits in enumerate(tqdm(history, desc="motion forecasts", unit="clip", disable=len(history) < _MANY)):
        found[index] = pack(motion_forecast(unpack(bits).astype(np.float32)) > 0)
    return found


def dataset_facts(data: Path) -> dict[str, Any]:
    """Return a description of the data for the manifest: the index, and a hash over every training shard."""
    shards = ShardSet(data, "train")
    digest = hashlib.sha256()
    for path in shards.paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    facts: dict[str, Any] = {"sha256": digest.hexdigest()}
    return facts | {
        name: shards.index[name] for name in ("seed", "commit", "clips", "recordings") if name in shards.index
    }
