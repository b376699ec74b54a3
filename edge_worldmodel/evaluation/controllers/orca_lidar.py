"""ORCA as a robot can run it: people are tracked clusters of the scanner's hits, everything else it sees is a wall."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_worldmodel.core.geometry import transform_points
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.controllers.controller import ControllerInput, People, factory
from edge_worldmodel.evaluation.controllers.costmap.clusters import ClusterTracker, ClusterTracks
from edge_worldmodel.evaluation.controllers.orca import Orca, OrcaConfig
from edge_worldmodel.sim.robots import RobotSpec

_GAP_M = 0.3
"""Two neighbouring hits nearer than this are one wall."""
_PIECE_M = 0.3
_SEEN_M = 4.0
_BODY_M = 0.1
"""Hits so near to a tracked body are that body."""
_LONE_M = 0.02
"""A lone hit is a wall of this length."""


class OrcaLidar(Orca):
    """One ORCA agent that knows only what its scanner sees."""

    name = "orca_lidar"
    knows_people = False

    def reset(self, robot: RobotSpec, goal: Floats, seed: int, walls: Sequence[Floats] = ()) -> None:
        """Begin an episode without any memory of the last."""
        self._tracker = ClusterTracker()
        super().reset(robot, goal, seed)

    def observe(self, inputs: ControllerInput) -> None:
        """Update costmap and tracker while the robot stands."""
        super().observe(inputs)
        self._tracker.update(inputs.stamp_ns, inputs.sweep, inputs.pose)

    def _see(self, inputs: ControllerInput) -> People:
        self._tracker.update(inputs.stamp_ns, inputs.sweep, inputs.pose)
        tracks = self._tracker.tracks().moving()
        self._begin_simulation(wall_pieces(inputs.sweep, inputs.pose, tracks))
        return People(tracks.positions, tracks.velocities, tracks.radii_m)


def wall_pieces(sweep: Sweep, pose: Floats, people: ClusterTracks) -> list[Floats]:
    """Return lines (2, 2) in the odom frame along the hits of a sweep that belong to no tracked person."""
    offset = sweep.hits - sweep.origin
    near = sweep.hits[np.hypot(*offset.T) < _SEEN_M]
    if not len(near):
        return []
    order = np.argsort(np.arctan2(*(near - sweep.origin).T[::-1]), kind="stable")
    points = transform_points(pose, near[order])
    if len(people):
        away = np.hypot(*np.moveaxis(points[:, None] - people.positions, -1, 0)) - people.radii_m
        points = points[(away > _BODY_M).all(axis=1)]
    pieces: list[Floats] = []
    begin = 0
    for end in range(1, len(points) + 1):
        joined = end < len(points) and np.hypot(*(points[end] - points[end - 1])) < _GAP_M
        if joined and np.hypot(*(points[end] - points[begin])) < _PIECE_M:
            continue
        last = end if joined else end - 1
        line = points[[begin, last]]
        pieces.append(line if last > begin else line + ((0.0, 0.0), (_LONE_M, 0.0)))
        begin = end
    return pieces


FACTORIES = {"orca_lidar": factory(OrcaLidar, OrcaConfig)}
