"""Recorded tracks of people for the replay crowd."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.sim.fields import WorldError


@dataclass(frozen=True)
class RecordedTracks:
    """Positions (T, n, 2) in metres (world frame), one frame every ``dt_s``, NaN while a person is absent."""

    positions: Floats
    dt_s: float

    def __post_init__(self) -> None:
        """Check the shape."""
        shape = self.positions.shape
        if len(shape) != 3 or shape[2] != 2 or shape[0] < 2 or not self.dt_s > 0:
            raise WorldError(f"tracks of shape {shape} every {self.dt_s} s: expected (T >= 2, n, 2) and dt_s > 0")


def load_tracks(path: Path) -> RecordedTracks:
    """Read recorded tracks: an .npz with positions (T, n, 2) and dt_s.

    Raises:
        WorldError: the file cannot be read, or does not hold these two arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return RecordedTracks(np.asarray(arrays["positions"], np.float64), float(arrays["dt_s"]))
    except (OSError, ValueError, KeyError, TypeError, IndexError, zipfile.BadZipFile, WorldError) as error:
        raise WorldError(f"{path}: expected an .npz of tracks with positions (T, n, 2) and dt_s: {error}") from error
