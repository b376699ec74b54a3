"""One moment and an overview of a run as plain arrays, from which the picture of the run is drawn.

The recorder writes them; the picture is drawn after the graph has ended. All poses and points are in the odom frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.types import Floats, Points, Pose

_TRACK_POINTS = 4000
_WALL_CELL_M = 0.1
_WALL_CELLS = 60_000
_MOVING_MPS = 0.05
_LONG_PLAN_M = 0.8
_DRIVING = ("active", "limiting")


@dataclass(frozen=True)
class Moment:
    """The sensor data, the imagined occupancy and the plan of one time.

    Grids hold occupancy in 0..1, NaN where unknown, rows along y and columns along x; the pose (3,) of a grid is that
    of its lower corner. ``candidates`` is (maneuvers, times, 3); ``goal`` is (3,) or empty.
    """

    time_s: float
    ego: Pose
    speed_mps: float
    grid: NDArray[np.float32]
    grid_pose: Pose
    imagined: NDArray[np.float32]
    imagined_pose: Pose
    imagined_after_s: float
    cell_size_m: float
    candidates: Pose
    risks: Floats
    names: NDArray[np.str_]
    selected: int
    plan: Pose
    plan_risk: float
    goal: Pose
    scan_points: Points
    people: Points
    reason: str
    verdict: str

    def interest(self) -> float:
        """Return how much a picture would show; more for differing risks, change ahead, people and a moving robot."""
        risks = self.risks[np.isfinite(self.risks)]
        risk_spread = 4.0 * float(risks.std()) if len(risks) else 0.0
        change = 0.0
        if self.imagined.shape == self.grid.shape and self.grid.size:
            both = np.isfinite(self.grid) & np.isfinite(self.imagined)
            change = float(np.abs(self.grid - self.imagined)[both].sum()) if both.any() else 0.0
        near = 0.3 * min(len(self.people), 3)
        long_plan = 0.6 if np.hypot(*(self.plan[-1] - self.plan[0])[:2]) > _LONG_PLAN_M else 0.0
        driving = 0.6 if self.speed_mps > _MOVING_MPS and self.verdict.startswith(_DRIVING) else 0.0
        return risk_spread + min(change, 40.0) / 40.0 + near + long_plan + driving


@dataclass
class RunOverview:
    """The whole run from above: path, stops, static obstacles and people; memory is bounded."""

    path: list[tuple[float, float, float]] = field(default_factory=list)
    people: list[tuple[float, float]] = field(default_factory=list)
    stops: list[tuple[float, float]] = field(default_factory=list)
    _walls: dict[tuple[int, int], int] = field(default_factory=dict)

    def add_pose(self, time_s: float, x_m: float, y_m: float) -> None:
        """Add a position of the robot."""
        self.path.append((time_s, x_m, y_m))
        if len(self.path) > 2 * _TRACK_POINTS:
            self.path = self.path[::2]

    def add_people(self, points: Points) -> None:
        """Add positions of people."""
        self.people.extend((float(x), float(y)) for x, y in points)
        if len(self.people) > 4 * _TRACK_POINTS:
            self.people = self.people[::2]

    def add_hits(self, points: Points) -> None:
        """Add the hits of a scan."""
        if len(self._walls) > _WALL_CELLS:
            return
        for key in map(tuple, np.unique(np.floor(points / _WALL_CELL_M).astype(np.int64), axis=0).tolist()):
            self._walls[key] = self._walls.get(key, 0) + 1

    def walls(self) -> Points:
        """Return the cell centres that were hit at least three times, which cells passed by movers mostly are not."""
        most = max(self._walls.values(), default=0)
        often = [key for key, count in self._walls.items() if count >= min(3, most)]
        return (np.array(often, dtype=np.float64).reshape(-1, 2) + 0.5) * _WALL_CELL_M


def save(path: Path, moment: Moment | None, overview: RunOverview) -> None:
    """Write both to one .npz file, without pickled objects."""
    arrays: dict[str, NDArray[np.generic]] = {
        "overview_path": np.array(overview.path, dtype=np.float64).reshape(-1, 3),
        "overview_people": np.array(overview.people, dtype=np.float64).reshape(-1, 2),
        "overview_stops": np.array(overview.stops, dtype=np.float64).reshape(-1, 2),
        "overview_walls": overview.walls(),
    }
    if moment is not None:
        arrays |= {item.name: np.asarray(getattr(moment, item.name)) for item in fields(Moment)}
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    temporary.replace(path)


def load(path: Path) -> tuple[Moment | None, dict[str, Floats]]:
    """Return the moment (None when nothing was planned) and the arrays of the overview that ``save`` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        overview = {name.removeprefix("overview_"): arrays[name] for name in arrays if name.startswith("overview_")}
        if "candidates" not in arrays:
            return None, overview
        values = {item.name: arrays[item.name] for item in fields(Moment)}
    return Moment(**{name: _plain(value) for name, value in values.items()}), overview


def _plain(value: NDArray[np.generic]) -> Any:
    return value.item() if value.ndim == 0 else value
