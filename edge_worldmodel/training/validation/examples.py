"""Data to evaluate forecasts on: simulated worlds, shards, recorded tracks, and recorded scanners."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.core.tensors import GRID_CHANNELS
from edge_worldmodel.core.types import Tensor
from edge_worldmodel.training.data.shards import unpack
from edge_worldmodel.training.data.sources import Recordings
from edge_worldmodel.training.data.splits import ClipSet, load_split, make_split
from edge_worldmodel.training.validation.metrics import Truth, make_truth
from edge_worldmodel.training.validation.recorded_clips import recorded_clips

SIMULATED, REACTING = "sim", "sim_reacting"
TEST_SEED = 990_000
VALIDATION_CLIPS = 300
_RECORDINGS = ("*.bag", "*.mcap", "*.db3", "*.clf", "*.clf.bz2", "*.clf.gz", "*.log")


@dataclass(frozen=True)
class EvaluationData:
    """Test clips, and other clips to calibrate the baselines on."""

    name: str
    test: ClipSet
    validation: ClipSet
    damage: tuple[str, ...] = ()
    """A line of text for each recording that was skipped or read in part."""


@dataclass(frozen=True)
class Example:
    """One unpacked clip: history (10, 64, 64), maneuver (8, 3) and the true future."""

    history: Tensor
    maneuver: Tensor
    truth: Truth


def examples(clips: ClipSet) -> Iterator[Example]:
    """Yield the clips, unpacked."""
    for index in range(len(clips)):
        known, moving = unpack(clips.future_known[index]), unpack(clips.moving[index])
        history = unpack(clips.history[index])
        present = history[-GRID_CHANNELS]
        truth = make_truth(unpack(clips.future[index]), known, moving, unpack(clips.present_moving[index]), present)
        yield Example(history.astype(np.float32), clips.maneuver[index], truth)


def load_data(where: str, clips: int, tracks: Path | None = None, split: str = "test") -> EvaluationData:
    """Return the data that ``--data`` names.

    Args:
        where: "sim", "sim_reacting" (clips in which people react to the robot), a folder of shards, a folder or file
            of tracks in the ETH/UCY format, or a folder or file of bags and CARMEN logs.
        clips: largest number of test clips.
        tracks: recorded tracks to calibrate baselines on when ``where`` is tracks; None: simulated scenes.
        split: split of a folder of shards; use "val" to choose a setting, "test" to report.

    Raises:
        RecordingError: there is no such data.
    """
    if where in (SIMULATED, REACTING):
        validation = simulated_clips("val", VALIDATION_CLIPS)
        if where == SIMULATED:
            return EvaluationData(where, simulated_clips("test", clips), validation)
        mixed = simulated_clips("test", 3 * clips)
        return EvaluationData(where, pick(mixed, np.flatnonzero(mixed.reacts)[:clips]), validation)
    path = Path(where)
    if (path / "test").is_dir():
        test, validation = load_split(path, split), load_split(path, "val")
        return EvaluationData(path.name, _first(test, clips), _first(validation, VALIDATION_CLIPS))
    recordings = _recording_files(path)
    if recordings:
        damage: list[str] = []
        test = recorded_clips(recordings, max(1, clips // len(recordings)), damage)
        validation = simulated_clips("val", VALIDATION_CLIPS)
        return EvaluationData(path.name.split(".")[0], test, validation, tuple(damage))
    test = make_split(Recordings(tracks=_track_files(path)), "test", clips, TEST_SEED, only_tracks=True)
    others = Recordings(tracks=_track_files(tracks)) if tracks else Recordings()
    validation = make_split(others, "val", VALIDATION_CLIPS, TEST_SEED, only_tracks=tracks is not None)
    return EvaluationData(path.stem, test, validation)


def _recording_files(path: Path) -> list[Path]:
    if path.is_file():
        return [] if path.suffix == ".txt" else [path]
    return sorted(file for pattern in _RECORDINGS for file in path.glob(pattern))


def _track_files(path: Path) -> tuple[Path, ...]:
    files = (path,) if path.is_file() else tuple(sorted(path.glob("*.txt")))
    if not files:
        raise RecordingError(
            f"{path}: neither 'sim' nor a folder of shards, of tracks (*.txt), of bags or of CARMEN logs"
        )
    return files


def simulated_clips(split: str, clips: int) -> ClipSet:
    """Return clips of simulated scenes, made as `generate` makes them but with another seed."""
    return make_split(Recordings(), split, clips, TEST_SEED)


def _first(clips: ClipSet, count: int) -> ClipSet:
    # Spread evenly over the split, so that all scenes and sources are included.
    index = np.unique(np.linspace(0, len(clips) - 1, min(count, len(clips))).astype(int))
    return pick(clips, index)


def pick(clips: ClipSet, index: NDArray[np.intp]) -> ClipSet:
    """Return the clips at ``index``."""
    return ClipSet(**{name: getattr(clips, name)[index] for name in ClipSet.__dataclass_fields__})
