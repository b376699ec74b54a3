"""One moment of a run, and the way to it, as plain arrays: what the picture is drawn from.

The recorder writes them, drawing happens after the graph has ended. All poses and points are in the odom frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.types import Floats

_TRACK_POINTS = 4000
_WALL_CELL_M = 0.1
_WALL_CELLS = 60_000
_MOVING_MPS = 0.05
_GOES_ON_M = 0.8
_DRIVING = ("active", "limiting")


@dataclass(frozen=True)
class Moment:
    """What was seen, imagined and chosen at one time.

    Grids hold occupancy in 0..1 with NaN where unknown, rows y, columns x; their pose (3,) is that of
    the lower corner.
    ``candidates`` is (maneuvers, times, 3); ``goal`` is (3,) or empty.
    """

    time_s: float
    ego: Floats
    speed_mps: float
    grid: NDArray[np.float32]
    grid_pose: Floats
    imagined: NDArray[np.float32]
    imagined_pose: Floats
    imagined_after_s: float
    cell_size_m: float
    candidates: Floats
    risks: Floats
    names: NDArray[np.str_]
    selected: int
    plan: Floats
    plan_risk: float
    goal: Floats
    scan_points: Floats
    people: Floats
    reason: str
    verdict: str

    def interest(self) -> float:
        """Tell how much there is to see: candidates of different risk, a world about to change, a robot driving."""
        risks = self.risks[np.isfinite(self.risks)]
        differ = 4.0 * float(risks.std()) if len(risks) else 0.0
        change = 0.0
        if self.imagined.shape == self.grid.shape and self.grid.size:
            both = np.isfinite(self.grid) & np.isfinite(self.imagined)
            change = float(np.abs(self.grid - self.imagined)[both].sum()) if both.any() else 0.0
        near = 0.3 * min(len(self.people), 3)
        goes_on = 0.6 if np.hypot(*(self.plan[-1] - self.plan[0])[:2]) > _GOES_ON_M else 0.0
        driving = 0.6 if self.speed_mps > _MOVING_MPS and self.verdict.startswith(_DRIVING) else 0.0
        return differ + min(change, 40.0) / 40.0 + near + goes_on + driving


@dataclass
class Journey:
    """The whole run from above: path, stops, walls seen and people, with bounded memory."""

    path: list[tuple[float, float, float]] = field(default_factory=list)
    people: list[tuple[float, float]] = field(default_factory=list)
    stops: list[tuple[float, float]] = field(default_factory=list)
    _walls: dict[tuple[int, int], int] = field(default_factory=dict)

    def add_pose(self, time_s: float, x_m: float, y_m: float) -> None:
        """Note where the robot is."""
        self.path.append((time_s, x_m, y_m))
        if len(self.path) > 2 * _TRACK_POINTS:
            self.path = self.path[::2]

    def add_people(self, points: Floats) -> None:
        """Note where people are, points (n, 2)."""
        self.people.extend((float(x), float(y)) for x, y in points)
        if len(self.people) > 4 * _TRACK_POINTS:
            self.people = self.people[::2]

    def add_hits(self, points: Floats) -> None:
        """Note where scans ended, points (n, 2)."""
        if len(self._walls) > _WALL_CELLS:
            return
        for key in map(tuple, np.unique(np.floor(points / _WALL_CELL_M).astype(np.int64), axis=0).tolist()):
            self._walls[key] = self._walls.get(key, 0) + 1

    def walls(self) -> Floats:
        """Return the points (n, 2) that were hit again and again, which moving people were not."""
        most = max(self._walls.values(), default=0)
        often = [key for key, count in self._walls.items() if count >= min(3, most)]
        return (np.array(often, dtype=np.float64).reshape(-1, 2) + 0.5) * _WALL_CELL_M


def save(path: Path, moment: Moment | None, journey: Journey) -> None:
    """Write both as one .npz without pickled objects."""
    arrays: dict[str, NDArray[np.generic]] = {
        "journey_path": np.array(journey.path, dtype=np.float64).reshape(-1, 3),
        "journey_people": np.array(journey.people, dtype=np.float64).reshape(-1, 2),
        "journey_stops": np.array(journey.stops, dtype=np.float64).reshape(-1, 2),
        "journey_walls": journey.walls(),
    }
    if moment is not None:
        arrays |= {item.name: np.asarray(getattr(moment, item.name)) for item in fields(Moment)}
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    temporary.replace(path)


def load(path: Path) -> tuple[Moment | None, dict[str, Floats]]:
    """Read what ``save`` wrote: the moment, None when nothing was planned, and the journey's arrays."""
    with np.load(path, allow_pickle=False) as arrays:
        journey = {name.removeprefix("journey_"): arrays[name] for name in arrays if name.startswith("journey_")}
        if "candidates" not in arrays:
            return None, journey
        values = {item.name: arrays[item.name] for item in fields(Moment)}
    return Moment(**{name: _plain(value) for name, value in values.items()}), journey


def _plain(value: NDArray[np.generic]) -> Any:
    return value.item() if value.ndim == 0 else value
