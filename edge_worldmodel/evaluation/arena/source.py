"""Sources of worlds: the interface of scenario kinds, and functions that several kinds use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from edge_worldmodel.core.errors import EdgeWorldModelError
from edge_worldmodel.core.types import Floats
from edge_worldmodel.sim.fields import Fields
from edge_worldmodel.sim.robots import RobotSpec
from edge_worldmodel.sim.world import Person, World

STEP_S = 0.01
"""Physics step of the arena: a robot at 2 m/s moves 2 cm in it, which bounds the error of a contact."""


class ScenarioError(EdgeWorldModelError):
    """A scenario cannot be used; the message names the file, the place and what is expected there."""


@dataclass(frozen=True)
class Skipped:
    """An input that was not used."""

    subject: str
    reason: str


@dataclass(frozen=True)
class DrawnWorld:
    """One world to drive in, its label in the report, and the length of the shortest way to the goal."""

    world: World
    label: str
    shortest_m: float


@dataclass(frozen=True)
class SourceInputs:
    """Robot, limits and data files that a source may use."""

    robot: RobotSpec
    duration_s: float
    """Observation and time limit."""
    max_speed_mps: float
    seed: int
    worlds: tuple[Path, ...] = ()
    tracks: Path | None = None
    people: tuple[int, int] | None = None


class Source(Protocol):
    """Makes the worlds of a scenario, one per episode."""

    skipped: Sequence[Skipped]

    def draw(self, index: int, rng: np.random.Generator) -> DrawnWorld:
        """Return the world of episode ``index``; the same index and random state give the same world."""
        ...


MakeSource = Callable[[Fields, SourceInputs], Source]
"""Reads the keys of its kind from a scenario file and makes the source."""


def data_files(inputs: SourceInputs, fields: Fields, suffix: str, content: str) -> list[Path]:
    """Return the world files that --worlds (or ``worlds:`` in the scenario file) names, those in folders included.

    Args:
        inputs: files and folders of the command line.
        fields: the scenario file.
        suffix: of the files.
        content: of such a file, for the error message.

    Raises:
        ScenarioError: there is none.
    """
    named = list(inputs.worlds) or ([Path(fields.text("worlds"))] if "worlds" in fields else [])
    files = [f for path in named for f in (sorted(path.glob(f"*{suffix}")) if path.is_dir() else [path])]
    found = [file for file in files if file.suffix == suffix]
    if not found:
        given = f"; given: {', '.join(map(str, named))}" if named else ""
        raise ScenarioError(f"this scenario needs world files: give --worlds FILE{suffix} ({content}){given}")
    return found


def straight_distance_m(start: Sequence[float], goal: Sequence[float]) -> float:
    """Return the straight distance from a start to a goal."""
    return float(np.hypot(goal[0] - start[0], goal[1] - start[1]))


def heading_to(start: Sequence[float], goal: Sequence[float]) -> float:
    """Return the yaw in radians that points from a start to a goal."""
    return float(np.arctan2(goal[1] - start[1], goal[0] - start[0]))


def whole_range(fields: Fields, key: str, default: tuple[float, float], maximum: int = 200) -> tuple[int, int]:
    """Return a range of whole numbers (least, most) as ``key: [least, most]``."""
    least, most = fields.numbers(key, "least most", default)
    if not (0 <= least <= most <= maximum and least == int(least) and most == int(most)):
        raise ScenarioError(f"{fields.place(key)} = [{least:g}, {most:g}]: expected 0 <= least <= most <= {maximum}")
    return int(least), int(most)


def span(fields: Fields, key: str, default: tuple[float, float]) -> tuple[float, float]:
    """Return a range (least, most) of positive numbers as ``key: [least, most]``."""
    least, most = fields.numbers(key, "least most", default)
    if not 0 < least <= most:
        raise ScenarioError(f"{fields.place(key)} = [{least:g}, {most:g}]: expected 0 < least <= most")
    return least, most


def attentive(fields: Fields) -> float | None:
    """Return the share of people who avoid the robot, ``attentive: 0.2``; None where the file does not say."""
    return fields.number("attentive", minimum=0.0, maximum=1.0) if "attentive" in fields else None


def with_attention(people: tuple[Person, ...], share: float, rng: np.random.Generator) -> tuple[Person, ...]:
    """Return people of whom a random share is attentive, rounded to whole people."""
    chosen = set(rng.permutation(len(people))[: round(share * len(people))].tolist())
    return tuple(replace(person, attentive=i in chosen) for i, person in enumerate(people))


def shuffled(count: int, index: int, seed: int) -> int:
    """Return which of ``count`` worlds an episode uses: all in a random order, then all again in another order."""
    order = np.random.default_rng([seed, index // count]).permutation(count)
    return int(order[index % count])


def scatter(
    rng: np.random.Generator, count: int, area: Sequence[float], apart_m: float, free: Callable[[Floats], Floats]
) -> Floats:
    """Return ``count`` random points (count, 2) of an area at least ``apart_m`` from each other.

    Args:
        rng: random generator.
        count: number of points.
        area: x_min, y_min, x_max, y_max.
        apart_m: least distance between two of them.
        free: returns (n,) bool for points (n, 2): whether a point may be used.

    Raises:
        ScenarioError: so many points do not fit.
    """
    chosen: list[Floats] = []
    for _ in range(50):
        candidates = rng.uniform(area[:2], area[2:], size=(10 * count + 50, 2))
        for point in candidates[free(candidates)]:
            if len(chosen) == count:
                return np.array(chosen).reshape(-1, 2)
            if all(np.hypot(*(point - other)) >= apart_m for other in chosen):
                chosen.append(point)
    raise ScenarioError(f"{count} people, {apart_m} m apart, do not fit into the area {list(area)}; choose fewer")
