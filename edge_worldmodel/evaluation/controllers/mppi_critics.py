"""The critics that Nav2's MPPI runs by default, on arrays: (n, T) trajectories in, (n,) costs out.

Constraint, cost, goal, goal angle (the arena's goals have none: left out), path align, path follow, path angle and
prefer forward; twirling is off, as in Nav2's defaults.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.types import Floats, Tensor
from edge_worldmodel.evaluation.controllers.clusters import Tracks
from edge_worldmodel.evaluation.controllers.costmap import Costmap
from edge_worldmodel.evaluation.controllers.footprint import Footprint

if TYPE_CHECKING:
    from edge_worldmodel.evaluation.controllers.mppi import MppiConfig

_COST_STEP = 2
_ALIGN_STEP = 4
_FOLLOW_OFFSET, _ANGLE_OFFSET, _ALIGN_OFFSET = 5, 4, 20
_GOAL_NEAR_M, _PATH_NEAR_M, _COST_NEAR_M = 1.4, 0.5, 1.0
_MAX_ANGLE_RAD = 1.0
_MAX_BLOCKED = 0.05
_INSCRIBED, _LETHAL = 253.0, 254.0


@dataclass(frozen=True)
class Rollouts:
    """Drawn controls (n, T, 2), the speeds (n, T, 2) they lead to, and poses (n, T, 3) in the odom frame."""

    controls: Tensor
    speeds: Tensor
    poses: Tensor
    dt_s: float
    low: Tensor
    high: Tensor


@dataclass(frozen=True)
class Surroundings:
    """What trajectories are scored against, odom frame: obstacles, path ahead (p, 2), robot, goal, moving clusters."""

    costmap: Costmap
    distance_m: Tensor
    path: Floats
    pose: Floats
    goal: Floats
    footprint: Footprint
    tracks: Tracks

    @property
    def to_goal_m(self) -> float:
        """Straight distance from the robot to the goal."""
        return float(np.hypot(*(self.goal - self.pose[:2])))

    def distance_at(self, points: NDArray[np.floating], times_s: Tensor) -> Tensor:
        """Return (n, T, k) distances of points (n, T, k, 2) to anything, moving clusters where they will be then."""
        nearest = self.distance_m[self.costmap.cells_of(points)]
        for position, velocity, radius_m in zip(
            self.tracks.positions, self.tracks.velocities, self.tracks.radii_m, strict=True
        ):
            then = (position + velocity * times_s[:, None]).astype(points.dtype)
            gap = points - then[:, None]
            away = np.sqrt(np.einsum("...i,...i", gap, gap)) - points.dtype.type(radius_m)
            np.minimum(nearest, away, out=nearest)
        return nearest


def score(rollouts: Rollouts, around: Surroundings, config: MppiConfig) -> tuple[Tensor, NDArray[np.bool_]]:
    """Return costs (n,) and whether each trajectory collides (n,)."""
    costs, collides = cost(rollouts, around, config)
    costs = costs + constraint(rollouts, config) + forward(rollouts, around, config)
    if around.to_goal_m < _GOAL_NEAR_M:
        costs += goal(rollouts, around, config)
    if len(around.path) > 1 and around.to_goal_m > _PATH_NEAR_M:
        furthest = furthest_reached(rollouts, around)
        blocked = around.distance_m[around.costmap.cells_of(around.path)] < around.footprint.inscribed_m
        costs += align(rollouts, around, config, furthest, blocked)
        if around.to_goal_m > _GOAL_NEAR_M:
            costs += follow(rollouts, around, config, furthest, blocked)
        costs += angle(rollouts, around, config, furthest)
    return costs, collides


def cost(rollouts: Rollouts, around: Surroundings, config: MppiConfig) -> tuple[Tensor, NDArray[np.bool_]]:
    """Cost of being near obstacles, and of touching them with the footprint."""
    poses = rollouts.poses[:, ::_COST_STEP]
    times_s = (rollouts.dt_s * (1 + _COST_STEP * np.arange(poses.shape[1]))).astype(np.float32)
    footprint = around.footprint
    discs_m = around.distance_at(footprint.discs(poses), times_s)
    touches = discs_m.min(axis=-1) < footprint.radius_m
    centre_m = (
        around.distance_at(poses[..., None, :2], times_s)[..., 0] if len(footprint.centres_m) > 1 else discs_m[..., 0]
    )
    inflated = (_INSCRIBED - 1.0) * np.exp(-config.cost_scaling * (centre_m - footprint.inscribed_m))
    points = np.where(centre_m < config.inflation_m, inflated, 0.0)
    if around.to_goal_m < _COST_NEAR_M:
        points[:] = 0.0
    points = np.where(centre_m < footprint.inscribed_m, config.critical_cost, points)
    collides = touches.any(axis=1)
    total = np.where(collides, config.collision_cost, points.sum(axis=1))
    return (total * (config.cost_weight / _LETHAL / points.shape[1])).astype(np.float32), collides


def constraint(rollouts: Rollouts, config: MppiConfig) -> Tensor:
    """Cost of speeds outside of the limits."""
    speed = rollouts.speeds[..., 0]
    beyond = np.maximum(speed - rollouts.high[0], 0.0) + np.maximum(rollouts.low[0] - speed, 0.0)
    return (config.constraint_weight * rollouts.dt_s * beyond.sum(axis=1)).astype(np.float32)


def forward(rollouts: Rollouts, around: Surroundings, config: MppiConfig) -> Tensor:
    """Cost of going backwards, but not right before the goal."""
    if around.to_goal_m < _PATH_NEAR_M:
        return np.zeros(len(rollouts.speeds), np.float32)
    backwards = np.maximum(-rollouts.speeds[..., 0], 0.0)
    return (config.forward_weight * rollouts.dt_s * backwards.sum(axis=1)).astype(np.float32)


def goal(rollouts: Rollouts, around: Surroundings, config: MppiConfig) -> Tensor:
    """Mean distance to the goal."""
    gap = rollouts.poses[..., :2] - around.goal.astype(np.float32)
    return (config.goal_weight * np.hypot(gap[..., 0], gap[..., 1]).mean(axis=1)).astype(np.float32)


def furthest_reached(rollouts: Rollouts, around: Surroundings) -> int:
    """Return the index of the furthest path point that is the nearest one to any trajectory's end."""
    gap = rollouts.poses[:, -1, None, :2] - around.path.astype(np.float32)
    return int(np.argmin((gap**2).sum(axis=-1), axis=1).max())


def align(
    rollouts: Rollouts, around: Surroundings, config: MppiConfig, furthest: int, blocked: NDArray[np.bool_]
) -> Tensor:
    """Mean distance to the path point that lies as far along the path as the trajectory has come."""
    none = np.zeros(len(rollouts.poses), np.float32)
    if furthest < _ALIGN_OFFSET or (
        blocked[: furthest + 1].sum() > 2 and blocked[: furthest + 1].mean() > _MAX_BLOCKED
    ):
        return none
    points = rollouts.poses[:, ::_ALIGN_STEP, :2]
    steps = np.diff(points, axis=1)
    along = np.cumsum(np.hypot(steps[..., 0], steps[..., 1]), axis=1)
    path = around.path.astype(np.float32)
    way = np.append(0.0, np.cumsum(np.hypot(*np.diff(path, axis=0).T))).astype(np.float32)
    nearest = np.clip(np.searchsorted(way, along), 0, len(path) - 1)
    gap = np.hypot(points[:, 1:, 0] - path[nearest, 0], points[:, 1:, 1] - path[nearest, 1])
    valid = ~blocked[nearest]
    mean = (gap * valid).sum(axis=1) / np.maximum(valid.sum(axis=1), 1)
    return (config.align_weight * mean).astype(np.float32)


def follow(
    rollouts: Rollouts, around: Surroundings, config: MppiConfig, furthest: int, blocked: NDArray[np.bool_]
) -> Tensor:
    """Distance of a trajectory's end to a point a little further on the path."""
    index = min(furthest + _FOLLOW_OFFSET, len(around.path) - 1)
    while index < len(around.path) - 1 and blocked[index]:
        index += 1
    gap = rollouts.poses[:, -1, :2] - around.path[index].astype(np.float32)
    return (config.follow_weight * np.hypot(gap[:, 0], gap[:, 1])).astype(np.float32)


def angle(rollouts: Rollouts, around: Surroundings, config: MppiConfig, furthest: int) -> Tensor:
    """Angle between a trajectory's end and a point ahead, where the robot does not face it yet."""
    point = around.path[min(furthest + _ANGLE_OFFSET, len(around.path) - 1)]
    offset = point - around.pose[:2]
    facing = _wrap(np.arctan2(offset[1], offset[0]) - around.pose[2])
    if abs(facing) < _MAX_ANGLE_RAD:
        return np.zeros(len(rollouts.poses), np.float32)
    end = rollouts.poses[:, -1]
    bearing = np.arctan2(np.float32(point[1]) - end[:, 1], np.float32(point[0]) - end[:, 0])
    return (config.angle_weight * np.abs(_wrap(bearing - end[:, 2]))).astype(np.float32)


def _wrap(angle_rad: Floats | Tensor) -> Floats:
    return np.remainder(angle_rad + np.pi, 2.0 * np.pi) - np.pi
