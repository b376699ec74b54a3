"""The default critics of Nav2's MPPI on arrays: each returns costs (n,) of n trajectories of T points.

Arrays are (T, n), time first, so that every step works on contiguous rows. The critics are constraint, cost, goal,
path align, path follow, path angle and prefer forward. The goal angle critic is left out, because goals of the arena
have no angle; twirling is off, as in Nav2's defaults.
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
_FEW_BLOCKED = 2
_PER_METRE = np.float32(1.0 / CELL_M)


@dataclass(frozen=True)
class Rollouts:
    """Drawn controls (2, T, n) with their speeds (2, T, n) and poses x, y, yaw (T, n) in the odom frame."""

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
    """Input of the critics in the odom frame: obstacles, path (p, 2), robot pose, goal and moving clusters."""

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
        """Return distances (T, n) of points to obstacles and to moving clusters predicted at times (T,)."""
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
    """Return the total costs (n,) and whether each trajectory collides (n,)."""
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
    """Cost of obstacles near the centre and of collisions of the footprint; also (n,) which collide."""
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
        # Near the goal, inflation would keep the robot from a goal beside a wall.
        points[:] = 0.0
    points = np.where(centre_m < footprint.inscribed_m, config.critical_cost, points)
    total = np.where(collides, config.collision_cost, points.sum(axis=0))
    return (total * (config.cost_weight / _LETHAL / len(x))).astype(np.float32), collides


def constraint(rollouts: Rollouts, config: MppiConfig) -> Tensor:
    """Cost of speeds beyond the limits."""
    speed = rollouts.speeds[0]
    beyond = np.maximum(speed - rollouts.high[0], 0.0) + np.maximum(rollouts.low[0] - speed, 0.0)
    return (config.constraint_weight * rollouts.dt_s * beyond.sum(axis=0)).astype(np.float32)


def forward(rollouts: Rollouts, data: CriticData, config: MppiConfig) -> Tensor:
    """Cost of driving backwards; none close to the goal."""
    if data.to_goal_m < _PATH_NEAR_M:
        return np.zeros(rollouts.x.shape[1], np.float32)
    backwards = np.maximum(-rollouts.speeds[0], 0.0)
    return (config.forward_weight * rollouts.dt_s * backwards.sum(axis=0)).astype(np.float32)


def goal(rollouts: Rollouts, data: CriticData, config: MppiConfig) -> Tensor:
    """Mean distance to the goal."""
    x, y = data.goal.astype(np.float32)
    return (config.goal_weight * np.hypot(rollouts.x - x, rollouts.y - y).mean(axis=0)).astype(np.float32)


def furthest_reached(rollouts: Rollouts, data: CriticData) -> int:
    """Return the index of the furthest path point that is nearest to the end of any trajectory."""
    path = data.path.astype(np.float32)
    gap = (rollouts.x[-1] - path[:, :1]) ** 2 + (rollouts.y[-1] - path[:, 1:]) ** 2
    return int(np.argmin(gap, axis=0).max())


def align(
    rollouts: Rollouts, data: CriticData, config: MppiConfig, furthest: int, blocked: NDArray[np.bool_]
) -> Tensor:
    """Mean distance to the path point at the same length along the path as the trajectory has driven."""
    none = np.zeros(rollouts.x.shape[1], np.float32)
    ahead = blocked[: furthest + 1]
    if furthest < _ALIGN_OFFSET or (ahead.sum() > _FEW_BLOCKED and ahead.mean() > _MAX_BLOCKED):
        return none
    x, y = rollouts.x[::_ALIGN_STEP], rollouts.y[::_ALIGN_STEP]
    along = np.cumsum(np.hypot(np.diff(x, axis=0), np.diff(y, axis=0)), axis=0)
    path = data.path.astype(np.float32)
    # Path points have equal distances, so the length along the path gives the index.
    nearest = np.minimum(np.rint(along * np.float32(1.0 / SPACING_M)).astype(np.int32), len(path) - 1)
    gap = np.hypot(x[1:] - path[nearest, 0], y[1:] - path[nearest, 1])
    valid = ~blocked[nearest]
    mean = (gap * valid).sum(axis=0) / np.maximum(valid.sum(axis=0), 1)
    return (config.align_weight * mean).astype(np.float32)


def follow(
    rollouts: Rollouts, data: CriticData, config: MppiConfig, furthest: int, blocked: NDArray[np.bool_]
) -> Tensor:
    """Distance of the end of a trajectory to a point further along the path."""
    index = min(furthest + _FOLLOW_OFFSET, len(data.path) - 1)
    while index < len(data.path) - 1 and blocked[index]:
        index += 1
    x, y = data.path[index].astype(np.float32)
    return (config.follow_weight * np.hypot(rollouts.x[-1] - x, rollouts.y[-1] - y)).astype(np.float32)


def angle(rollouts: Rollouts, data: CriticData, config: MppiConfig, furthest: int) -> Tensor:
    """Angle between the end of a trajectory and a path point; none if the robot already faces that point."""
    point = data.path[min(furthest + _ANGLE_OFFSET, len(data.path) - 1)]
    offset = point - data.pose[:2]
    facing = wrap_angle(np.arctan2(offset[1], offset[0]) - data.pose[2])
    if abs(facing) < _MAX_ANGLE_RAD:
        return np.zeros(rollouts.x.shape[1], np.float32)
    bearing = np.arctan2(point[1] - rollouts.y[-1], point[0] - rollouts.x[-1])
    return (config.angle_weight * np.abs(wrap_angle(bearing - rollouts.yaw[-1]))).astype(np.float32)
