"""BARN: static worlds of small cylinders, made for comparing planners (Perille et al., SSRR 2020)."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.arena.source import STEP_S, Draft, Inputs, ScenarioError, Skipped, shuffled
from edge_worldmodel.sim.fields import Fields, WorldError
from edge_worldmodel.sim.shapes import Cylinder
from edge_worldmodel.sim.world import RobotPlacement, World

START = (-2.25, 3.0, 1.57)
GOAL = (-2.25, 13.0, 1.57)
_BOUNDS = (-12.0, -7.0, 8.0, 20.0)
_CELL_M = 0.15
_HEIGHT_M = 1.0


class BarnSource:
    """The worlds of one .npz file, in an order shuffled by the seed."""

    def __init__(self, path: Path, inputs: Inputs) -> None:
        """Check every world of the file; those that cannot be used are named in ``skipped``."""
        self._inputs = inputs
        self.skipped: list[Skipped] = []
        self._worlds: list[tuple[str, Floats, Floats]] = []
        self.digest = _digest(path)
        for name, load in _entries(path):
            try:
                obstacles, way = load()
                self._world(name, obstacles)
            except (KeyError, OSError, ValueError, EOFError, zipfile.BadZipFile, WorldError) as error:
                self.skipped.append(Skipped(f"{path.name}: world {name}", str(error)))
            else:
                self._worlds.append((name, obstacles, way))
        if not self._worlds:
            raise ScenarioError(f"{path}: no usable world in it ({len(self.skipped)} damaged)")

    def draw(self, index: int, rng: np.random.Generator) -> Draft:
        """Return the world of an episode; nothing but the choice of the world is random."""
        name, obstacles, way = self._worlds[shuffled(len(self._worlds), index, self._inputs.seed)]
        return Draft(self._world(name, obstacles), f"world {name}", path_length_m(way))

    def _world(self, name: str, obstacles: Floats) -> World:
        solids = tuple(Cylinder(x, y, r, _HEIGHT_M) for x, y, r in obstacles.tolist())
        robot = RobotPlacement(self._inputs.robot, START, GOAL)
        return World(f"barn{name}", 0, _BOUNDS, solids, robots=(robot,), step_s=STEP_S)


def path_length_m(way: Floats) -> float:
    """Return the length of a reference path (n, 2) of columns and rows, from the start to the goal, as BARN counts."""
    x = way[:, 0] * _CELL_M - _CELL_M / 2 - 30 * _CELL_M
    y = way[:, 1] * _CELL_M + _CELL_M / 2 + 5.0
    points = np.concatenate(([START[:2]], np.stack([x, y], axis=-1), [GOAL[:2]]))
    return float(np.hypot(*np.diff(points, axis=0).T).sum())


def _entries(path: Path):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Yield the name of each world and what loads its obstacles (n, 3) and path (m, 2)."""
    try:
        arrays = np.load(path, allow_pickle=False)
        names = [key.removeprefix("obs_") for key in arrays.files if key.startswith("obs_")]
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise ScenarioError(f"{path}: cannot be read as BARN worlds (.npz with obs_<i> and path_<i>): {error}") from error

    def load(name: str) -> tuple[Floats, Floats]:
        obstacles = _numbers(arrays[f"obs_{name}"], 3, "obs")
        if (obstacles[:, 2] <= 0).any():
            raise ValueError(f"obs_{name}: a radius of {obstacles[:, 2].min()} m; expected more than 0")
        return obstacles, _numbers(arrays[f"path_{name}"], 2, "path")

    for name in sorted(names, key=lambda n: (len(n), n)):
        yield name, lambda name=name: load(name)


def _numbers(array: Floats, columns: int, what: str) -> Floats:
    values = np.asarray(array, np.float64)
    if values.ndim != 2 or values.shape[1] != columns or not len(values):
        raise ValueError(f"{what} of shape {values.shape}: expected (n, {columns})")
    if not np.isfinite(values).all() or np.abs(values).max() > 1e3:
        raise ValueError(f"{what} holds a value that cannot be a position")
    return values


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from error


def make_barn(fields: Fields, inputs: Inputs) -> BarnSource:
    """Return the worlds of the file that --worlds (or ``worlds:``) names."""
    path = inputs.worlds or (Path(fields.text("worlds")) if "worlds" in fields else None)
    if path is None:
        raise ScenarioError("scenario barn needs worlds: give --worlds FILE.npz")
    return BarnSource(path, inputs)
