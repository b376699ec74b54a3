"""BARN: static worlds of small cylinders for benchmarks of navigation (Perille et al., SSRR 2020)."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.arena.source import (
    STEP_S,
    DrawnWorld,
    ScenarioError,
    Skipped,
    SourceInputs,
    data_files,
    shuffled,
)
from edge_worldmodel.sim.fields import Fields, WorldError
from edge_worldmodel.sim.shapes import Cylinder
from edge_worldmodel.sim.world import RobotPlacement, World

START = (-2.25, 3.0, 1.57)
GOAL = (-2.25, 13.0, 1.57)
_BOUNDS = (-12.0, -7.0, 8.0, 20.0)
_CELL_M = 0.15
_HEIGHT_M = 1.0
_DAMAGED = (
    KeyError, OSError, ValueError, TypeError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error, WorldError,
)  # fmt: skip


class BarnSource:
    """Worlds of .npz files in a random order."""

    def __init__(self, fields: Fields, inputs: SourceInputs) -> None:
        """Check every world of the files that --worlds names; unusable ones are listed in ``skipped``."""
        self._inputs = inputs
        self.skipped: list[Skipped] = []
        self._worlds: list[tuple[str, Floats, Floats]] = []
        for path in data_files(inputs, fields, ".npz", "obs_<i>, path_<i>"):
            self._load(path)
        if not self._worlds:
            reasons = "; ".join(f"{entry.subject}: {entry.reason}" for entry in self.skipped[:3])
            raise ScenarioError(f"no usable BARN world ({len(self.skipped)} damaged: {reasons})")
        self.digest = hashlib.sha256(b"".join(o.tobytes() + w.tobytes() for _, o, w in self._worlds)).hexdigest()

    def _load(self, path: Path) -> None:
        try:
            arrays = np.load(path, allow_pickle=False)
            names = sorted((k[4:] for k in arrays.files if k.startswith("obs_")), key=lambda name: (len(name), name))
        except _DAMAGED as error:
            self.skipped.append(Skipped(path.name, f"not an .npz of BARN worlds (obs_<i>, path_<i>): {error}"))
            return
        if not names:
            self.skipped.append(Skipped(path.name, "holds no array obs_<i>"))
        with arrays:
            for name in names:
                try:
                    obstacles, path_cells = read_world(arrays, name)
                    self._world(name, obstacles)
                except _DAMAGED as error:  # noqa: PERF203
                    self.skipped.append(Skipped(f"{path.name}: world {name}", str(error)))
                else:
                    self._worlds.append((name, obstacles, path_cells))

    def draw(self, index: int, rng: np.random.Generator) -> DrawnWorld:
        """Return the world of an episode; only the choice of the world is random."""
        name, obstacles, path_cells = self._worlds[shuffled(len(self._worlds), index, self._inputs.seed)]
        return DrawnWorld(self._world(name, obstacles), f"world {name}", path_length_m(path_cells))

    def _world(self, name: str, obstacles: Floats) -> World:
        solids = tuple(Cylinder(x, y, r, _HEIGHT_M) for x, y, r in obstacles.tolist())
        robot = RobotPlacement(self._inputs.robot, START, GOAL)
        return World(f"barn{name}", 0, _BOUNDS, solids, robots=(robot,), step_s=STEP_S)


def path_length_m(path_cells: Floats) -> float:
    """Return the length in metres of a reference path (n, 2) of columns and rows, from start to goal."""
    # Column 30 is at x = 0 and the first row at y = 5 m, up to half a cell.
    x = path_cells[:, 0] * _CELL_M - _CELL_M / 2 - 30 * _CELL_M
    y = path_cells[:, 1] * _CELL_M + _CELL_M / 2 + 5.0
    points = np.concatenate(([START[:2]], np.stack([x, y], axis=-1), [GOAL[:2]]))
    return float(np.hypot(*np.diff(points, axis=0).T).sum())


def read_world(arrays: Mapping[str, Floats], name: str) -> tuple[Floats, Floats]:
    """Return the obstacles (n, 3: x, y, radius) and the path (m, 2: column, row) of a world.

    Raises:
        ValueError, KeyError, OSError, EOFError, BadZipFile, zlib.error: it is damaged.
    """
    obstacles = _numbers(arrays[f"obs_{name}"], 3, "obs")
    if (obstacles[:, 2] <= 0).any():
        raise ValueError(f"obs_{name}: a radius of {obstacles[:, 2].min()} m; expected more than 0")
    return obstacles, _numbers(arrays[f"path_{name}"], 2, "path")


def _numbers(array: Floats, columns: int, name: str) -> Floats:
    values = np.asarray(array, np.float64)
    if values.ndim != 2 or values.shape[1] != columns or not len(values):
        raise ValueError(f"{name} of shape {values.shape}: expected (n, {columns})")
    if not np.isfinite(values).all() or np.abs(values).max() > 1e3:
        raise ValueError(f"{name} holds values that are not finite or beyond 1 km")
    return values
