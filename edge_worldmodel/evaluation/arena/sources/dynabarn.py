"""DynaBARN: worlds of cylinders that repeat motions along splines (Nair et al., SSRR 2022)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    straight_distance_m,
)
from edge_worldmodel.sim.crowds.tracks import RecordedTracks
from edge_worldmodel.sim.fields import Fields, WorldError
from edge_worldmodel.sim.world import CrowdSpec, Person, RobotPlacement, World

START = (11.0, 0.0, 3.14)
GOAL = (-9.0, 0.0, 3.14)
_BOUNDS = (-30.0, -30.0, 30.0, 30.0)
_TRACK_STEP_S = 0.1
_FARTHEST_M = 1e3


class SplineMover:
    """A moving obstacle on a periodic spline through key frames (n, 4: t_s, x, y, z)."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        """Check one obstacle of the file.

        Raises:
            ValueError, KeyError, TypeError: it is damaged.
        """
        self.radius_m, self._period_s = float(entry["radius"]), float(entry["period_s"])
        frames = np.asarray(entry["keyframes_txyz"], np.float64)
        if frames.ndim != 2 or frames.shape[1] != 4 or len(frames) < 2 or not np.isfinite(frames).all():
            raise ValueError(f"key frames of shape {frames.shape}: expected (n >= 2, 4) finite numbers")
        self._times_s, self._points = frames[:, 0], frames[:, 1:3]
        if not (np.diff(self._times_s) > 0).all() or np.abs(self._points).max() > _FARTHEST_M:
            raise ValueError("key frames: expected increasing times and positions within 1 km")
        if not (0 < self.radius_m <= 10 and 0 < self._period_s < 1e4):
            raise ValueError(f"radius {self.radius_m} m, period {self._period_s} s: expected (0, 10] and (0, 10000)")
        # As in Gazebo's animations: a Catmull-Rom spline through the key frames.
        tangents = np.zeros_like(self._points)
        tangents[1:-1] = (self._points[2:] - self._points[:-2]) / 2
        tangents[0], tangents[-1] = (self._points[1] - self._points[0]) / 2, (self._points[-1] - self._points[-2]) / 2
        self._tangents = tangents

    def at(self, times_s: Floats) -> Floats:
        """Return the positions (n, 2) at times (n,); the motion repeats after each period."""
        t = np.clip(times_s % self._period_s, self._times_s[0], self._times_s[-1])
        i = np.clip(np.searchsorted(self._times_s, t, side="right") - 1, 0, len(self._times_s) - 2)
        s = ((t - self._times_s[i]) / (self._times_s[i + 1] - self._times_s[i]))[:, None]
        begin = (1 + 2 * s) * (1 - s) ** 2 * self._points[i] + s * (1 - s) ** 2 * self._tangents[i]
        end = s**2 * (3 - 2 * s) * self._points[i + 1] + s**2 * (s - 1) * self._tangents[i + 1]
        return np.asarray(begin + end)


class DynabarnSource:
    """Worlds of .json files in a random order."""

    def __init__(self, fields: Fields, inputs: SourceInputs) -> None:
        """Check every world of the files that --worlds names; unusable ones are listed in ``skipped``."""
        self._inputs = inputs
        self.skipped: list[Skipped] = []
        self._worlds: list[tuple[str, list[SplineMover]]] = []
        digest = hashlib.sha256()
        for path in data_files(inputs, fields, ".json", "DynaBARN"):
            self._load(path, digest)
        if not self._worlds:
            reasons = "; ".join(f"{entry.subject}: {entry.reason}" for entry in self.skipped[:3])
            raise ScenarioError(f"no usable DynaBARN world ({len(self.skipped)} damaged: {reasons})")
        self.digest = digest.hexdigest()

    def _load(self, path: Path, digest: Any) -> None:
        try:
            data = path.read_bytes()
            tree = json.loads(data)
            if not isinstance(tree, dict):
                raise ValueError("expected an object of worlds by number")
        except (OSError, ValueError, RecursionError) as error:
            self.skipped.append(Skipped(path.name, f"not a DynaBARN .json: {error}"))
            return
        digest.update(data)
        for name, entries in tree.items():
            try:
                movers = [SplineMover(entry) for entry in entries]
                if not movers:
                    raise ValueError("no obstacles")
            except (ValueError, KeyError, TypeError, WorldError) as error:  # noqa: PERF203
                reason = f"no key {error}" if isinstance(error, KeyError) else str(error)
                self.skipped.append(Skipped(f"{path.name}: world {name}", reason))
            else:
                self._worlds.append((name, movers))

    def draw(self, index: int, rng: np.random.Generator) -> DrawnWorld:
        """Return the world of an episode; only the choice of the world is random."""
        name, movers = self._worlds[shuffled(len(self._worlds), index, self._inputs.seed)]
        times_s = np.arange(0.0, self._inputs.duration_s + 1.0, _TRACK_STEP_S)
        positions = np.stack([mover.at(times_s) for mover in movers], axis=1)
        # A mover jumps back at the end of its period. It is absent while it jumps, so that it touches nothing.
        jumped = np.hypot(*np.moveaxis(np.diff(positions, axis=0), -1, 0)) > 1.0
        positions[:-1][jumped] = np.nan
        world = World(
            name=f"dynabarn{name}",
            seed=0,
            bounds=_BOUNDS,
            people=tuple(Person((0.0, 0.0), radius_m=mover.radius_m) for mover in movers),
            crowd=CrowdSpec("replay", reacts_to_robot=False, tracks=RecordedTracks(positions, _TRACK_STEP_S)),
            robots=(RobotPlacement(self._inputs.robot, START, GOAL),),
            step_s=STEP_S,
        )
        return DrawnWorld(world, f"world {name}, {len(movers)} obstacles", straight_distance_m(START, GOAL))
