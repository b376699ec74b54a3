"""Failures, kept to be looked at: driven once more, and written as arrays for the report and as MCAP."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.arena.journal import Journal
from edge_worldmodel.evaluation.arena.live_episode import LIVE
from edge_worldmodel.evaluation.arena.mcap_trace import write_mcap
from edge_worldmodel.evaluation.arena.outcome import Trace
from edge_worldmodel.evaluation.arena.scenario import Case
from edge_worldmodel.evaluation.arena.tasks import Done, Task, run_tasks

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


def keep(episodes: Sequence[tuple[str, Task]], journal: Journal, options: argparse.Namespace) -> int:
    """Write the first failures of every planner on every scenario; return how many are there."""
    folder = folder_of(options.json)
    wanted: list[Task] = []
    counts: Counter[tuple[str, str]] = Counter()
    for key, task in episodes:
        outcome = journal.get(key)[0] if key in journal else None
        failed = outcome is not None and outcome.ending != "success" and task.planner != LIVE
        if failed and counts[task.scenario, task.planner] < options.keep_failures:
            counts[task.scenario, task.planner] += 1
            wanted.append(replace(task, keep_trace=True))
    if wanted:
        folder.mkdir(parents=True, exist_ok=True)
    stale = set(folder.glob("*.npz")) | set(folder.glob("*.mcap"))
    for done in run_tasks(wanted, options.processes, options.ray):
        path = folder / f"{Path(done.task.scenario).stem}-{done.task.planner}-{done.task.index:04d}.npz"
        write(path, done)
        stale -= {path, path.with_suffix(".mcap")}
    for path in stale:
        path.unlink()
    return len(wanted)


def write(path: Path, done: Done) -> None:
    """Write one failure as .npz, and as .mcap beside it."""
    trace, case, outcome = done.trace, done.case, done.outcome
    assert trace is not None and case is not None and outcome is not None
    what = {"contact": f"touched a {outcome.touched}"}.get(outcome.ending, outcome.error or outcome.ending)
    title = f"{done.task.planner}, episode {done.task.index} ({outcome.label}): {what} after {outcome.time_s:.1f} s"
    world = case.draft.world
    np.savez_compressed(
        path, title=np.array(title), outlines=_outlines(case), goal=np.array(world.robots[0].goal),
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


def _outlines(case: Case) -> Floats:
    solids = case.draft.world.solids
    corners = np.full((len(solids), _CORNERS, 2), np.nan)
    for row, solid in zip(corners, solids, strict=True):
        outline = solid.outline()
        row[: len(outline)] = outline
    return corners


def _footprint(case: Case) -> Floats:
    """Return the corners (n, 2) of the robot in its base frame."""
    spec = case.draft.world.robots[0].spec
    if spec.length_m > 0:
        return np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * (spec.length_m / 2, spec.width_m / 2)
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return spec.radius_m * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
