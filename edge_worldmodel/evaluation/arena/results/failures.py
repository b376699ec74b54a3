"""Failures, kept to be looked at: driven once more, and written as arrays for the report and as MCAP."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.arena.journal import Journal
from edge_worldmodel.evaluation.arena.live_episode import LIVE
from edge_worldmodel.evaluation.arena.outcome import Trace
from edge_worldmodel.evaluation.arena.results.mcap_trace import write_mcap
from edge_worldmodel.evaluation.arena.scenario import EpisodeCase
from edge_worldmodel.evaluation.arena.tasks import EpisodeResult, EpisodeTask, run_tasks

_CORNERS = 12


@dataclass(frozen=True)
class Failure:
    """What is needed to draw a failed episode; outlines (k, 12, 2) of solids, NaN where they have fewer corners."""

    title: str
    trace: Trace
    outlines: Floats
    radii_m: Floats
    goal: Floats
    footprint: Floats


def folder_of(report: Path) -> Path:
    """Return the folder beside a report that its failures are in."""
    return report.with_suffix(".failures")


class FailureKeeper:
    """Keeps some failures of every planner on every scenario: those that come first, while they are driven."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Look which failures an earlier part of the run has kept."""
        self._options, self._folder = options, folder_of(options.json)
        self._kept = {path.stem: _key_of(path) for path in self._folder.glob("*.npz")}

    def add(self, key: str, done: EpisodeResult) -> None:
        """Write a failure down unless there are enough of its kind."""
        if done.trace is None:
            return
        kind = _stem(done.task).rsplit("-", 1)[0]
        if sum(stem.rsplit("-", 1)[0] == kind for stem in self._kept) < self._options.keep_failures:
            self._write(key, done)

    def complete(self, episodes: Sequence[tuple[str, EpisodeTask]], journal: Journal) -> int:
        """Drive the failures that are still missing once more, drop outdated ones; return how many are there."""
        wanted = self._wanted(episodes, journal)
        keys = {task: key for key, task in wanted if self._kept.get(_stem(task)) != key}
        for done in run_tasks(list(keys), self._options.processes, self._options.ray):
            if done.trace is not None:
                self._write(keys[done.task], done)
        # What other planners left here stays: several commands may share one file of results.
        stems, kinds = {_stem(task) for _, task in wanted}, {_stem(task).rsplit("-", 1)[0] for _, task in episodes}
        for stem in (stem for stem in self._kept if stem not in stems and stem.rsplit("-", 1)[0] in kinds):
            for suffix in (".npz", ".mcap"):
                (self._folder / (stem + suffix)).unlink(missing_ok=True)
        return len(wanted)

    def _wanted(self, episodes: Sequence[tuple[str, EpisodeTask]], journal: Journal) -> list[tuple[str, EpisodeTask]]:
        """Return the failures to keep, first those that are here already."""
        found: list[tuple[str, EpisodeTask]] = []
        counts: Counter[tuple[str, str]] = Counter()
        for key, task in sorted(episodes, key=lambda entry: self._kept.get(_stem(entry[1])) != entry[0]):
            outcome = journal.get(key)[0] if key in journal else None
            failed = outcome is not None and outcome.ending != "success" and task.planner != LIVE
            if failed and counts[task.scenario, task.planner] < self._options.keep_failures:
                counts[task.scenario, task.planner] += 1
                found.append((key, replace(task, keep_trace=True)))
        return found

    def _write(self, key: str, done: EpisodeResult) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write(self._folder / f"{_stem(done.task)}.npz", done, key)
        self._kept[_stem(done.task)] = key


def _stem(task: EpisodeTask) -> str:
    return f"{Path(task.scenario).stem}-{task.planner}-{task.index:04d}"


def _key_of(path: Path) -> str:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return str(arrays["key"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return ""  # cut off, or of another version: driven again


def write(path: Path, done: EpisodeResult, key: str = "") -> None:
    """Write one failure as .npz, with the key of its episode, and as .mcap beside it."""
    trace, case, outcome = done.trace, done.case, done.outcome
    assert trace is not None and case is not None and outcome is not None
    what = {"contact": f"touched a {outcome.touched}"}.get(outcome.ending, outcome.error or outcome.ending)
    title = f"{done.task.planner}, episode {done.task.index} ({outcome.label}): {what} after {outcome.time_s:.1f} s"
    world = case.drawn.world
    np.savez_compressed(
        path, key=np.array(key), title=np.array(title), outlines=_outlines(case), goal=np.array(world.robots[0].goal),
        radii_m=np.array([person.radius_m for person in world.people]), footprint=_footprint(case),
        **{name: getattr(trace, name) for name in Trace.__dataclass_fields__ if name != "ranges"},
    )  # fmt: skip
    write_mcap(path.with_suffix(".mcap"), trace, case)


def read(path: Path) -> Failure:
    """Read what ``write`` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        names = [name for name in Trace.__dataclass_fields__ if name != "ranges"]
        trace = Trace(**{name: arrays[name] for name in names}, ranges=np.zeros((0, 0), np.float32))
        parts = (arrays["outlines"], arrays["radii_m"], arrays["goal"], arrays["footprint"])
        return Failure(str(arrays["title"]), trace, *parts)


def _outlines(case: EpisodeCase) -> Floats:
    solids = case.drawn.world.solids
    corners = np.full((len(solids), _CORNERS, 2), np.nan)
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
