"""Recorded pedestrian tracks (ETH/UCY text format: Pellegrini et al., ICCV 2009; Lerner et al., 2007).

The replayed people walk as they did. With ``attentive: 0.7`` that share of them avoids the robot and returns to its
track (``reacting_replay.py``).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.arena.source import (
    STEP_S,
    DrawnWorld,
    ScenarioError,
    Skipped,
    SourceInputs,
    attentive,
    heading_to,
    shuffled,
    span,
    straight_distance_m,
    with_attention,
)
from edge_worldmodel.sim.crowds.tracks import RecordedTracks
from edge_worldmodel.sim.fields import Fields
from edge_worldmodel.sim.shapes import Cylinder, Solid, clearance, segment
from edge_worldmodel.sim.world import CrowdSpec, Person, RobotPlacement, World
from edge_worldmodel.training.data.scenes import STEP_S as TRACK_STEP_S
from edge_worldmodel.training.data.tracks import interpolate, obstacles_beside, read_obstacles, read_tracks

_RADII_M = (0.2, 0.28)
_AROUND_M = 3.0
_CLEAR_OF_PEOPLE_M = 1.0
_CLEAR_S = 1.0
"""People stay this far from the start for this long, because an earlier contact could not be avoided."""
_TRIES = 400
_WALL_M = 0.1
_HEIGHT_M = 2.0


@dataclass(frozen=True)
class RecordedScene:
    """A recording: positions (T, n, 2) every 0.1 s, NaN while absent, and the walls."""

    name: str
    positions: Floats
    solids: tuple[Solid, ...]


class TracksSource:
    """Drives through recorded scenes at random times, between random points where people walked."""

    def __init__(self, fields: Fields, inputs: SourceInputs) -> None:
        """Read every track file of the folder that --tracks names; unusable ones are listed in ``skipped``."""
        folder = inputs.tracks or (Path(fields.text("tracks")) if "tracks" in fields else None)
        if folder is None:
            raise ScenarioError("scenario tracks needs recordings: give --tracks DIR (ETH/UCY text files)")
        self._distance_m = span(fields, "distance", (8.0, 12.0))
        self._attentive = attentive(fields)
        self._inputs = inputs
        self.skipped: list[Skipped] = []
        self._scenes: list[RecordedScene] = []
        digest = hashlib.sha256()
        for path in _files(folder):
            try:
                self._scenes.append(_scene(path))
            except RecordingError as error:  # noqa: PERF203
                self.skipped.append(Skipped(path.name, str(error)))
            else:
                digest.update(path.read_bytes())
        if not self._scenes:
            raise ScenarioError(f"{folder}: no usable track file (.txt) in it ({len(self.skipped)} damaged)")
        self.digest = digest.hexdigest()

    def draw(self, index: int, rng: np.random.Generator) -> DrawnWorld:
        """Return the world of an episode."""
        scene = self._scenes[shuffled(len(self._scenes), index, self._inputs.seed)]
        # Longer than the episode, so that people do not vanish before its end.
        frames = int((self._inputs.duration_s + 2.0) / TRACK_STEP_S)
        for _ in range(_TRIES):
            begin = int(rng.integers(max(len(scene.positions) - frames, 1)))
            window = scene.positions[begin : begin + frames]
            window = window[:, ~np.isnan(window[..., 0]).all(axis=0)]
            ends = self._start_and_goal(scene, window, rng)
            if ends is not None:
                start, goal = ends
                label = f"{scene.name} from {begin * TRACK_STEP_S:.1f} s, {window.shape[1]} people"
                way_m = straight_distance_m(start.tolist(), goal.tolist())
                return DrawnWorld(self._world(scene, window, start, goal, rng), label, way_m)
        raise ScenarioError(f"{scene.name}: no free way of {self._distance_m} m found in {_TRIES} tries")

    def _start_and_goal(
        self, scene: RecordedScene, window: Floats, rng: np.random.Generator
    ) -> tuple[Floats, Floats] | None:
        """Return start and goal (2,) where people walked, the start clear of people for 1 s; None: try again."""
        walked = scene.positions[~np.isnan(scene.positions[..., 0])]
        start = walked[rng.integers(len(walked))]
        goal = start + rng.uniform(*self._distance_m) * _unit(rng.uniform(0, 2 * np.pi))
        # Without the outermost positions, so that one stray track does not widen the area.
        lowest, highest = np.percentile(walked, (2, 98), axis=0)
        wall_m = clearance(scene.solids, np.stack([start, goal, (start + goal) / 2]))
        inside = (goal > lowest).all() and (goal < highest).all() and (start > lowest).all() and (start < highest).all()
        if not inside or wall_m.min() < self._inputs.robot.radius_m + 0.2 or window.shape[1] == 0:
            return None
        soon = window[: int(_CLEAR_S / TRACK_STEP_S) + 1] - start
        nearest_m = np.nanmin(np.hypot(soon[..., 0], soon[..., 1]), initial=np.inf)
        return None if nearest_m < _CLEAR_OF_PEOPLE_M else (start, goal)

    def _world(
        self, scene: RecordedScene, window: Floats, start: Floats, goal: Floats, rng: np.random.Generator
    ) -> World:
        points = np.vstack([window[~np.isnan(window[..., 0])], start, goal])
        low, high = points.min(axis=0) - _AROUND_M, points.max(axis=0) + _AROUND_M
        radii = rng.uniform(*_RADII_M, size=(window.shape[1],))
        people = tuple(Person((0.0, 0.0), radius_m=float(radius)) for radius in radii)
        (x, y), (goal_x, goal_y) = start.tolist(), goal.tolist()
        robot = RobotPlacement(self._inputs.robot, (x, y, heading_to((x, y), (goal_x, goal_y))), (goal_x, goal_y, 0.0))
        return World(
            name=scene.name,
            seed=0,
            bounds=(float(low[0]), float(low[1]), float(high[0]), float(high[1])),
            solids=scene.solids,
            people=people if self._attentive is None else with_attention(people, self._attentive, rng),
            crowd=CrowdSpec(
                "replay" if self._attentive is None else "reacting_replay",
                reacts_to_robot=self._attentive is not None,
                tracks=RecordedTracks(window, TRACK_STEP_S),
            ),
            robots=(robot,),
            step_s=STEP_S,
        )


def _unit(angle_rad: float) -> Floats:
    return np.array([np.cos(angle_rad), np.sin(angle_rad)])


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ScenarioError(f"{folder}: expected a folder of track files (.txt)")
    return sorted(folder.glob("*.txt"))


def _scene(path: Path) -> RecordedScene:
    positions = interpolate(read_tracks(path))
    beside = obstacles_beside(path)
    solids: list[Solid] = []
    if beside is not None:
        segments, discs = read_obstacles(beside)
        solids += [segment((x0, y0), (x1, y1), _WALL_M, _HEIGHT_M) for x0, y0, x1, y1 in segments.tolist()]
        solids += [Cylinder(x, y, radius_m, _HEIGHT_M) for x, y, radius_m in discs.tolist()]
    if np.isnan(positions).all():
        raise RecordingError(
            f"{path}: no person is seen twice within a second; are the frame numbers those of the video?"
        )
    return RecordedScene(path.stem, positions, tuple(solids))
