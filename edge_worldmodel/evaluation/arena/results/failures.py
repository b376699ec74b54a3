"""Recorded failures: the worst failed episodes as arrays for the report and as MCAP."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.arena.journal import Journal
from edge_worldmodel.evaluation.arena.live_episode import LIVE
from edge_worldmodel.evaluation.arena.outcome import EpisodeOutcome, Trace
from edge_worldmodel.evaluation.arena.results.mcap_trace import write_mcap
from edge_worldmodel.evaluation.arena.scenario import EpisodeCase
from edge_worldmodel.evaluation.arena.tasks import EpisodeResult, EpisodeTask, run_tasks

_MAX_CORNERS = 12


@dataclass(frozen=True)
class Failure:
    """A failed episode as the report draws it; world frame.

    ``outlines`` (k, 12, 2) of the solids, NaN where they have fewer corners; ``footprint`` (n, 2) in the base frame.
    """

    title: str
    trace: Trace
    outlines: Floats
    radii_m: Floats
    goal: Floats
    footprint: Floats


def folder_of(report: Path) -> Path:
    """Return the folder of the failures of a result file."""
    return report.with_suffix(".failures")


def severity(outcome: EpisodeOutcome) -> tuple[float, ...]:
    """Return a measure that is larger the worse a failure is.

    Contacts are worse than the rest, avoidable ones worse than others, those in which the robot moved into the other
    worse than the rest, and then those of more energy.
    """
    energy_j = 0.0 if math.isnan(outcome.energy_j) else outcome.energy_j
    flags = outcome.ending == "contact", outcome.avoidable == 1.0, outcome.contact_by == "robot"
    return (*map(float, flags), energy_j)


class FailureKeeper:
    """Records the worst failures of every planner on every scenario while the episodes are driven."""

    def __init__(self, options: argparse.Namespace, journal: Journal) -> None:
        """Find the failures that earlier runs have recorded; ``journal`` knows how bad they were."""
        self._options, self._journal, self._folder = options, journal, folder_of(options.json)
        self._recorded = {path.stem: _key_of(path) for path in self._folder.glob("*.npz")}

    def add(self, key: str, done: EpisodeResult) -> None:
        """Record a failure that is among the worst so far of this planner and scenario."""
        if done.trace is None or done.outcome is None:
            return
        stem = _stem(done.task)
        others = [key for other, key in self._recorded.items() if _cell(other) == _cell(stem) and other != stem]
        worse = sum(self._rank(other) >= severity(done.outcome) for other in others)
        if worse < self._options.keep_failures:
            self._write(key, done)

    def _rank(self, key: str) -> tuple[float, ...]:
        outcome = self._journal.get(key)[0] if key in self._journal else None
        return severity(outcome) if outcome is not None else ()

    def complete(self, episodes: Sequence[tuple[str, EpisodeTask]]) -> int:
        """Drive missing failures again and delete outdated ones; return the number of recorded failures."""
        wanted = self._to_record(episodes)
        keys = {task: key for key, task in wanted if self._recorded.get(_stem(task)) != key}
        for done in run_tasks(list(keys), self._options.processes, self._options.ray):
            if done.trace is not None:
                self._write(keys[done.task], done)
        # Failures of other planners stay: several commands may write to the same result file.
        stems, cells = {_stem(task) for _, task in wanted}, {_cell(_stem(task)) for _, task in episodes}
        for stem in (stem for stem in self._recorded if stem not in stems and _cell(stem) in cells):
            for suffix in (".npz", ".mcap"):
                (self._folder / (stem + suffix)).unlink(missing_ok=True)
        return len(wanted)

    def _to_record(self, episodes: Sequence[tuple[str, EpisodeTask]]) -> list[tuple[str, EpisodeTask]]:
        """Return the worst failures of each planner and scenario; of equally bad ones the first episodes."""
        cells: dict[str, list[tuple[str, EpisodeTask]]] = {}
        for key, task in sorted(episodes, key=lambda entry: self._rank(entry[0]), reverse=True):
            outcome = self._journal.get(key)[0] if key in self._journal else None
            if outcome is not None and outcome.ending != "success" and task.planner != LIVE:
                cells.setdefault(_cell(_stem(task)), []).append((key, replace(task, keep_trace=True)))
        return [entry for failed in cells.values() for entry in failed[: self._options.keep_failures]]

    def _write(self, key: str, done: EpisodeResult) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write(self._folder / f"{_stem(done.task)}.npz", done, key)
        self._recorded[_stem(done.task)] = key


def _stem(task: EpisodeTask) -> str:
    return f"{Path(task.scenario).stem}-{task.planner}-{task.index:04d}"


def _cell(stem: str) -> str:
    """Return the part of a file name that names scenario and planner."""
    return stem.rsplit("-", 1)[0]


def _key_of(path: Path) -> str:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return str(arrays["key"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return ""  # damaged or of another version: it will be driven again


def write(path: Path, done: EpisodeResult, key: str = "") -> None:
    """Write one failure as .npz with the key of its episode, and as .mcap."""
    trace, case, outcome = done.trace, done.case, done.outcome
    assert trace is not None and case is not None and outcome is not None
    ending = {"contact": f"touched a {outcome.touched}"}.get(outcome.ending, outcome.error or outcome.ending)
    title = f"{done.task.planner}, episode {done.task.index} ({outcome.label}): {ending} after {outcome.time_s:.1f} s"
    world = case.drawn.world
    np.savez_compressed(
        path, key=np.array(key), title=np.array(title), outlines=_outlines(case), goal=np.array(world.robots[0].goal),
        radii_m=np.array([person.radius_m for person in world.people]), footprint=_footprint(case),
        **{name: getattr(trace, name) for name in Trace.__dataclass_fields__ if name != "ranges"},
    )  # fmt: skip
    write_mcap(path.with_suffix(".mcap"), trace, case)


def read(path: Path) -> Failure:
    """Read a failure that ``write`` wrote, also one of an earlier version without imagined scenes."""
    with np.load(path, allow_pickle=False) as arrays:
        names = [name for name in Trace.__dataclass_fields__ if name in arrays]
        trace = Trace(**{name: arrays[name] for name in names}, ranges=np.zeros((0, 0), np.float32))
        parts = (arrays["outlines"], arrays["radii_m"], arrays["goal"], arrays["footprint"])
        return Failure(str(arrays["title"]), trace, *parts)


def _outlines(case: EpisodeCase) -> Floats:
    solids = case.drawn.world.solids
    corners = np.full((len(solids), _MAX_CORNERS, 2), np.nan)
    for row, solid in zip(corners, solids, strict=True):
        outline = solid.outline()
        row[: len(outline)] = outline
    return corners


def _footprint(case: EpisodeCase) -> Floats:
    """Return the corners (n, 2) of the robot in its base frame."""
    spec = case.drawn.world.robots[0].spec
    if spec.length_m > 0:
        return np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * (spec.length_m / 2, spec.width_m / 2)
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return spec.radius_m * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
