"""Sources of scenes and their shares: simulated crowds, recorded tracks and maps, static scenes, vehicles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edge_worldmodel.training.data.crowds import simulate_crowd
from edge_worldmodel.training.data.drives import AFTER_STEPS, BEFORE_STEPS
from edge_worldmodel.training.data.layouts import draw_layout
from edge_worldmodel.training.data.maps import BuildingMap, crop, draw_goals, read_map
from edge_worldmodel.training.data.scenes import STEP_S, TrainingScene, no_movers, no_robots
from edge_worldmodel.training.data.tracks import track_scene
from edge_worldmodel.training.data.wanderers import draw_wanderers

SCENE_S = 11.0
"""Duration of a simulated crowd."""
_WANDERERS_S = 9.0
SHARES = {"crowd": 0.5, "tracks": 0.2, "map": 0.12, "static": 0.13, "wanderers": 0.05}
"""Share of each kind of scene; the share of a kind that a split lacks is distributed over the others."""
_REACTING_SHARE = 0.4
_SPACE_PER_PERSON_M2 = 5.0


@dataclass(frozen=True)
class Recordings:
    """Recordings of one split: track files and map descriptions."""

    tracks: tuple[Path, ...] = ()
    maps: tuple[Path, ...] = ()


@dataclass
class SceneSource:
    """Makes random scenes for one split; recordings are read once."""

    recordings: Recordings
    _tracks: dict[Path, TrainingScene] = field(default_factory=dict)
    _maps: dict[Path, BuildingMap] = field(default_factory=dict)

    def draw(self, rng: np.random.Generator) -> TrainingScene | None:
        """Return a random scene, or None if it could not be made; then draw again."""
        makers: dict[str, Callable[[np.random.Generator], TrainingScene]] = {
            "crowd": _crowd, "tracks": self._recorded_tracks, "map": self._recorded_map,
            "static": self._static, "wanderers": _wanderers,
        }  # fmt: skip
        missing = {"tracks": not self.recordings.tracks, "map": not self.recordings.maps}
        kinds = [kind for kind in SHARES if not missing.get(kind, False)]
        shares = np.array([SHARES[kind] for kind in kinds])
        kind = kinds[rng.choice(len(kinds), p=shares / shares.sum())]
        try:
            return makers[kind](rng)
        except RuntimeError:
            return None  # JuPedSim cannot simulate a few crowds

    def _recorded_tracks(self, rng: np.random.Generator) -> TrainingScene:
        path = self.recordings.tracks[rng.integers(len(self.recordings.tracks))]
        if path not in self._tracks:
            self._tracks[path] = track_scene(path)
        return self._tracks[path]

    def _recorded_map(self, rng: np.random.Generator) -> TrainingScene:
        return self._map_scene(rng, int(rng.integers(1, 10)))

    def _map_scene(self, rng: np.random.Generator, people: int) -> TrainingScene:
        path = self.recordings.maps[rng.integers(len(self.recordings.maps))]
        if path not in self._maps:
            self._maps[path] = read_map(path)
        statics, known, walkable = crop(self._maps[path], rng)
        robots = _draw_robots(rng)
        source = f"map:{path.stem}"
        empty = TrainingScene(source, statics, no_movers(round(SCENE_S / STEP_S)), no_robots(1), known)
        if people == 0:
            return empty
        crowd = simulate_crowd(walkable, draw_goals(walkable, 6, rng), people, robots, SCENE_S, rng)
        return replace(empty, movers=crowd.movers, robots=crowd.robots)

    def _static(self, rng: np.random.Generator) -> TrainingScene:
        if self.recordings.maps and rng.random() < 0.4:
            return self._map_scene(rng, 0).without_movers()
        kind = "clutter" if rng.random() < 0.3 else None
        layout = draw_layout(rng, kind)
        steps = BEFORE_STEPS + AFTER_STEPS + 2
        return TrainingScene(layout.kind, layout.statics(), no_movers(steps), no_robots(1)).without_movers()


def _draw_robots(rng: np.random.Generator) -> int:
    return int(rng.integers(1, 3)) if rng.random() < _REACTING_SHARE else 0


def _crowd(rng: np.random.Generator) -> TrainingScene:
    layout = draw_layout(rng)
    most = int(np.clip(layout.walkable.area / _SPACE_PER_PERSON_M2, 2, 30))
    people = int(rng.integers(2, most + 1))
    crowd = simulate_crowd(layout.walkable, layout.goals, people, _draw_robots(rng), SCENE_S, rng)
    return TrainingScene(f"crowd:{layout.kind}", layout.statics(), crowd.movers, crowd.robots)


def _wanderers(rng: np.random.Generator) -> TrainingScene:
    layout = draw_layout(rng, "yard")
    statics = layout.statics()
    # A yard has no outer walls, because vehicles drive in and out.
    x0, y0, x1, y1 = layout.walkable.bounds
    ends = statics.segments.reshape(-1, 2, 2)
    on_rim = np.isclose(ends, (x0, y0)).any(axis=(1, 2)) | np.isclose(ends, (x1, y1)).any(axis=(1, 2))
    solid = statics.solid_points
    inside = ((solid > (x0 + 0.01, y0 + 0.01)) & (solid < (x1 - 0.01, y1 - 0.01))).all(axis=1)
    statics = replace(statics, segments=statics.segments[~on_rim], solid_points=solid[inside])
    steps = round(_WANDERERS_S / STEP_S)
    movers = draw_wanderers(statics.clearance_m, steps, rng)
    return TrainingScene("wanderers", statics, movers, no_robots(steps))
