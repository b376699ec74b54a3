"""Recorded pedestrian tracks (ETH/UCY text format) and the walls that were drawn for them, as scenes."""

from __future__ import annotations

import zlib
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.core.types import Floats
from edge_worldmodel.training.data.scenes import (
    STEP_S,
    Movers,
    Raster,
    Statics,
    TrainingScene,
    clearance_raster,
    no_robots,
    points_in_discs,
    points_on_segments,
)

FRAMES_PER_S = 25.0
"""Video frames per second of the recordings; positions are given every tenth."""
_LONGEST_GAP_S = 0.9
_FIELD_CELL_M = 0.1
_FARTHEST_M = 1e4


def read_tracks(path: Path) -> Floats:
    """Read a track file: one position a line, ``frame person x_m y_m``, separated by blanks.

    Returns:
        (n, 4) of frame, person, x_m, y_m, in file order.

    Raises:
        RecordingError: a line cannot be used; the message names file and line.
    """
    rows = []
    for number, line in enumerate(_read(path).splitlines(), start=1):
        if line.strip():
            rows.append(_parse_line(line, f"{path}, line {number}"))
    if not rows:
        raise RecordingError(f"{path}: no positions in this file; expected lines of 'frame person x_m y_m'")
    return np.array(rows)


def read_obstacles(path: Path) -> tuple[Floats, Floats]:
    """Read the walls of a recorded scene (OpenTraj's XML).

    Returns:
        Segments (S, 4) of x0, y0, x1, y1 and discs (D, 3) of x, y, radius, in metres.

    Raises:
        RecordingError: the file cannot be used.
    """
    text = _read(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise RecordingError(f"{path}: document types and entities are not accepted in an obstacle file")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise RecordingError(f"{path}: not readable as XML: {error}") from error
    segments = _attributes(root, "Line", ("x1", "y1", "x2", "y2"), path)
    discs = _attributes(root, "Circle", ("x", "y", "radius"), path)
    if (discs[:, 2] <= 0.0).any():
        raise RecordingError(f"{path}: a circle of radius {discs[:, 2].min()}; expected more than 0 m")
    return segments, discs


def obstacles_beside(path: Path) -> Path | None:
    """Return the obstacle file of a track file: ``<part>_obstacles.xml``, where the track's name contains the part."""
    for candidate in sorted(path.parent.glob("*_obstacles.xml")):
        if candidate.stem.removesuffix("_obstacles") in path.stem:
            return candidate
    return None


def track_scene(path: Path) -> TrainingScene:
    """Return a recording as a scene: tracks are interpolated, and the truth is known in the recorded area.

    Raises:
        RecordingError: the tracks or the obstacles cannot be read.
    """
    rows = read_tracks(path)
    beside = obstacles_beside(path)
    segments, pillars = read_obstacles(beside) if beside else (np.zeros((0, 4)), np.zeros((0, 3)))
    people = interpolate(rows)
    # The recordings have no body sizes: these are random, but the same in every run.
    rng = np.random.default_rng(zlib.crc32(path.stem.encode()))
    radii = np.asarray(rng.uniform(0.18, 0.28, people.shape[1]))
    movers = Movers(people, radii, np.zeros(len(radii), bool), np.zeros((len(people), 0, 3)), np.zeros((0, 2)))
    lowest, highest = rows[:, 2:].min(axis=0), rows[:, 2:].max(axis=0)
    statics = _statics(segments, pillars, lowest, highest)
    size = np.ceil((highest - lowest) / _FIELD_CELL_M).astype(int)
    known = Raster(np.ones(size[::-1], bool), (float(lowest[0]), float(lowest[1])), _FIELD_CELL_M)
    return TrainingScene(f"tracks:{path.stem}", statics, movers, no_robots(len(people)), known)


def interpolate(rows: Floats) -> Floats:
    """Return positions (T, P, 2) every ``STEP_S`` of rows (n, 4): cubic in between, NaN where not observed."""
    times_s = (rows[:, 0] - rows[:, 0].min()) / FRAMES_PER_S
    persons = np.unique(rows[:, 1])
    people = np.full((int(np.ceil(times_s.max() / STEP_S)) + 1, len(persons), 2), np.nan)
    for column, person in enumerate(persons):
        mine = rows[:, 1] == person
        order = np.unique(times_s[mine], return_index=True)[1]
        _fill_in(people[:, column], times_s[mine][order], rows[mine][order, 2:])
    return people


def _fill_in(track: Floats, times_s: Floats, places: Floats) -> None:
    """Fill one person's track (T, 2) between observations that are not too far apart."""
    if len(times_s) < 2:
        return
    velocity = np.gradient(places, times_s, axis=0)
    first, last = int(np.ceil(times_s[0] / STEP_S - 1e-9)), int(np.floor(times_s[-1] / STEP_S + 1e-9))
    steps = np.arange(first, last + 1)
    before = np.clip(np.searchsorted(times_s, steps * STEP_S + 1e-9, side="right") - 1, 0, len(times_s) - 2)
    gap_s = (times_s[before + 1] - times_s[before])[:, None]
    s = (steps * STEP_S - times_s[before])[:, None] / gap_s
    # Hermite form: passes through every observation with the velocity from its neighbours.
    start = (1 + 2 * s) * (1 - s) ** 2 * places[before] + s * (1 - s) ** 2 * gap_s * velocity[before]
    end = s**2 * (3 - 2 * s) * places[before + 1] + s**2 * (s - 1) * gap_s * velocity[before + 1]
    unseen = (gap_s > _LONGEST_GAP_S) & (s > 1e-6) & (s < 1.0 - 1e-6)
    track[steps] = np.where(unseen, np.nan, start + end)


def _statics(segments: Floats, pillars: Floats, lowest: Floats, highest: Floats) -> Statics:
    solid = np.concatenate((points_on_segments(segments), points_in_discs(pillars)))
    size = np.ceil((highest - lowest) / _FIELD_CELL_M).astype(int)
    free = np.ones(size[::-1], dtype=bool)
    origin = (float(lowest[0]), float(lowest[1]))
    cells = np.floor((solid - lowest) / _FIELD_CELL_M).astype(int)
    cells = cells[((cells >= 0) & (cells < size)).all(axis=1)]
    free[cells[:, 1], cells[:, 0]] = False
    return Statics(segments, pillars, None, solid, clearance_raster(free, origin, _FIELD_CELL_M))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(f"{path}: cannot be read: {error}") from error


def _parse_line(line: str, where: str) -> list[float]:
    try:
        values = [float(word) for word in line.split()]
    except ValueError as error:
        raise RecordingError(f"{where}: '{line.strip()[:80]}' is not four numbers 'frame person x_m y_m'") from error
    if len(values) != 4:
        raise RecordingError(f"{where}: {len(values)} numbers, expected 4: frame person x_m y_m")
    if not all(abs(value) < np.inf for value in values) or max(abs(values[2]), abs(values[3])) > _FARTHEST_M:
        raise RecordingError(f"{where}: '{line.strip()[:80]}' holds a value that cannot be a position")
    return values


def _attributes(root: ElementTree.Element, tag: str, names: tuple[str, ...], path: Path) -> Floats:
    rows = []
    for element in root.iter():
        if element.tag.rpartition("}")[2] == tag:
            try:
                rows.append([float(element.attrib[name]) for name in names])
            except (KeyError, ValueError) as error:
                raise RecordingError(f"{path}: {tag} {dict(element.attrib)}: needs numbers {names}") from error
    found = np.array(rows).reshape(-1, len(names))
    if not np.isfinite(found).all():
        raise RecordingError(f"{path}: a {tag} with a number that is not finite")
    return found
