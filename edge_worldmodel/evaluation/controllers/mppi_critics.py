"""The critics that Nav2's MPPI runs by default, on arrays: n trajectories of T points in, (n,) costs out.

Time comes first, (T, n), so that every step works on whole rows.

Constraint, cost, goal, goal angle (the arena's goals have none: left out), path align, path follow, path angle and
prefer forward; twirling is off, as in Nav2's defaults.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.geometry import wrap_angle
from edge_worldmodel.core.types import Floats, Tensor
from edge_worldmodel.evaluation.controllers.costmap.clusters import ClusterTracks
from edge_worldmodel.evaluation.controllers.costmap.costmap import CELL_M, CELLS, Costmap
from edge_worldmodel.evaluation.controllers.costmap.footprint import FootprintDiscs
from edge_worldmodel.evaluation.controllers.costmap.guidance import SPACING_M
from edge_worldmodel.evaluation.controllers.mppi_config import MppiConfig

_COST_STEP = 2
_ALIGN_STEP = 4
_FOLLOW_OFFSET, _ANGLE_OFFSET, _ALIGN_OFFSET = 5, 4, 20
_GOAL_NEAR_M, _PATH_NEAR_M, _COST_NEAR_M = 1.4, 0.5, 1.0
_MAX_ANGLE_RAD = 1.0
_MAX_BLOCKED = 0.05
_INSCRIBED, _LETHAL = 253.0, 254.0
_FEW = 2
_PER_METRE = np.float32(1.0 / CELL_M)


@dataclass(frozen=True)
class Rollouts:
    """Drawn controls (2, T, n), the speeds (2, T, n) and poses x, y, yaw (T, n) in the odom frame they lead to."""

    controls: Tensor
    speeds: Tensor
    x: Tensor
    y: Tensor
    yaw: Tensor
    dt_s: float
    low: Tensor
    high: Tensor


@dataclass(frozen=True)
class CriticData:
    """What trajectories are scored against, odom frame: obstacles, path ahead (p, 2), robot, goal, moving clusters."""

    costmap: Costmap
    distance_m: Tensor
    path: Floats
    pose: Floats
    goal: Floats
    footprint: FootprintDiscs
    tracks: ClusterTracks

    @property
    def to_goal_m(self) -> float:
        """Straight distance from the robot to the goal."""
        return float(np.hypot(*(self.goal - self.pose[:2])))

    def distance_at(self, x: Tensor, y: Tensor, times_s: Tensor) -> Tensor:
        """Return (T, n) distances of points to anything: to moving clusters where they will be at times (T,)."""
        left, low = self.costmap.origin.astype(np.float32)
        ix = np.clip((x - left) * _PER_METRE, 0, CELLS - 1).astype(np.int32)
        iy = np.clip((y - low) * _PER_METRE, 0, CELLS - 1).astype(np.int32)
        nearest: Tensor = self.distance_m.reshape(-1)[iy * CELLS + ix]
        tracks = self.tracks
        for position, velocity, radius_m in zip(tracks.positions, tracks.velocities, tracks.radii_m, strict=True):
            then = (position + velocity * times_s[:, None]).astype(np.float32)
            dx, dy = x - then[:, :1], y - then[:, 1:]
            np.minimum(nearest, np.sqrt(dx * dx + dy * dy) - np.float32(radius_m), out=nearest)
        return nearest


def score(rollouts: Rollouts, data: CriticData, config: MppiConfig) -> tuple[Tensor, NDArray[np.bool_]]:
    """Return costs (n,) and whether each trajectory collides (n,)."""
    costs, collides = cost(rollouts, data, config)
    costs = costs + constraint(rollouts, config) + forward(rollouts, data, config)
    if data.to_goal_m < _GOAL_NEAR_M:
        costs += goal(rollouts, data, config)
    if len(data.path) > 1 and data.to_goal_m > _PATH_NEAR_M:
        furthest = furthest_reached(rollouts, data)
        blocked = data.distance_m[data.costmap.cells_of(data.path)] < data.footprint.inscribed_m
        costs += align(rollouts, data, config, furthest, blocked)
        if data.to_goal_m > _GOAL_NEAR_M:
            costs += follow(rollouts, data, config, furthest, blocked)
        costs += angle(rollouts, data, config, furthest)
    return costs, collides


def cost(rollouts: Rollouts, data: CriticData, config: MppiConfig) -> tuple[Tensor, NDArray[np.bool_]]:
    """Cost of being near obstacles, and of touching them with the footprint."""
    x, y, yaw = (values[::_COST_STEP] for values in (rollouts.x, rollouts.y, rollouts.yaw))
    times_s = (rollouts.dt_s * (1 + _COST_STEP * np.arange(len(x)))).astype(np.float32)
    footprint = data.footprint
    centre_m = data.distance_at(x, y, times_s)
    nearest, cos, sin = centre_m, np.cos(yaw), np.sin(yaw)
    for along in footprint.centres_m.astype(np.float32):
        if along != 0.0:
            nearest = np.minimum(nearest, data.distance_at(x + along * cos, y + along * sin, times_s))
    collides = (nearest < footprint.radius_m).any(axis=0)
    inflated = (_INSCRIBED - 1.0) * np.exp(-config.cost_scaling * (centre_m - footprint.inscribed_m))
    points = np.where(centre_m < config.inflation_m, inflated, 0.0)
    if data.to_goal_m < _COST_NEAR_M:
        points[:] = 0.0
    points = np.where(centre_m < footprint.inscribed_m, config.critical_cost, points)
    total = np.where(collides, config.collision_cost, points.sum(axis=0))
    return (total * (config.cost_weight / _LETHAL / len(x))).astype(np.float32), collides


def constraint(rollouts: Rollouts, config: MppiConfig) -> Tensor:
    """Cost of speeds outside of the limits."""
    speed = rollouts.speeds[0]
    beyond = np.maximum(speed - rollouts.high[0], 0.0) + np.maximum(rollouts.low[0] - speed, 0.0)
    return (config.constraint_weight * rollouts.dt_s * beyond.sum(axis=0)).astype(np.float32)


def forward(rollouts: Rollouts, data: CriticData, config: MppiConfig) -> Tensor:
    """Cost of going backwards, but not right before the goal."""
    if data.to_goal_m < _PATH_NEAR_M:
        return np.zeros(rollouts.x.shape[1], np.float32)
    backwards = np.maximum(-rollouts.speeds[0], 0.0)
    return (config.forward_weight * rollouts.dt_s * backwards.sum(axis=0)).astype(np.float32)


def goal(rollouts: Rollouts, data: CriticData, config: MppiConfig) -> Tensor:
    """Mean distance to the goal."""
    x, y = data.goal.astype(np.float32)
    return (config.goal_weight * np.hypot(rollouts.x - x, rollouts.y - y).mean(axis=0)).astype(np.float32)


def furthest_reached(rollouts: Rollouts, data: CriticData) -> int:
    """Return the index of the furthest path point that is the nearest one to any trajectory's end."""
    path = data.path.astype(np.float32)
    gap = (rollouts.x[-1] - path[:, :1]) ** 2 + (rollouts.y[-1] - path[:, 1:]) ** 2
    return int(np.argmin(gap, axis=0).max())


def align(
    rollouts: Rollouts, data: CriticData, config: MppiConfig, furthest: int, blocked: NDArray[np.bool_]
) -> Tensor:
    """Mean distance to the path point that lies as far along the path as the trajectory has come."""
    none = np.zeros(rollouts.x.shape[1], np.float32)
    ahead = blocked[: furthest + 1]
    if furthest < _ALIGN_OFFSET or (ahead.sum() > _FEW and ahead.mean() > _MAX_BLOCKED):
        return none
    x, y = rollouts.x[::_ALIGN_STEP], rollouts.y[::_ALIGN_STEP]
    along = np.cumsum(np.hypot(np.diff(x, axis=0), np.diff(y, axis=0)), axis=0)
    path = data.path.astype(np.float32)
    # The points of a path are evenly apart, so the way along it is an index.
    nearest = np.minimum(np.rint(along * np.float32(1.0 / SPACING_M)).astype(np.int32), len(path) - 1)
    gap = np.hypot(x[1:] - path[nearest, 0], y[1:] - path[nearest, 1])
    valid = ~blocked[nearest]
    mean = (gap * valid).sum(axis=0) / np.maximum(valid.sum(axis=0), 1)
    return (config.align_weight * mean).astype(np.float32)


def follow(
    rollouts: Rollouts, data: CriticData, config: MppiConfig, furthest: int, blocked: NDArray[np.bool_]
) -> Tensor:
    """Distance of a trajectory's end to a point a little further on the path."""
    index = min(furthest + _FOLLOW_OFFSET, len(data.path) - 1)
    while index < len(data.path) - 1 and blocked[index]:
        index += 1
    x, y = data.path[index].astype(np.float32)
    return (config.follow_weight * np.hypot(rollouts.x[-1] - x, rollouts.y[-1] - y)).astype(np.float32)


def angle(rollouts: Rollouts, data: CriticData, config: MppiConfig, furthest: int) -> Tensor:
    """Angle between a trajectory's end and a point ahead, where the robot does not face it yet."""
    point = data.path[min(furthest + _ANGLE_OFFSET, len(data.path) - 1)]
    offset = point - data.pose[:2]
    facing = wrap_angle(np.arctan2(offset[1], offset[0]) - data.pose[2])
    if abs(facing) < _MAX_ANGLE_RAD:
        return np.zeros(rollouts.x.shape[1], np.float32)
    bearing = np.arctan2(point[1] - rollouts.y[-1], point[0] - rollouts.x[-1])
    return (config.angle_weight * np.abs(wrap_angle(bearing - rollouts.yaw[-1]))).astype(np.float32)
