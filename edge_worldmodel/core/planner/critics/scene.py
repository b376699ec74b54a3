"""The scene that every critic scores, with the collision probability of its candidates."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from edge_worldmodel.core import tensors
from edge_worldmodel.core.planner.candidates.candidates import Candidates
from edge_worldmodel.core.planner.critics.collision import dilate, footprint_kernel, grown_by_one_cell, leaving
from edge_worldmodel.core.planner.guidance.local_map import ROUNDING_M, LocalMap, cells_of, lookup, too_close
from edge_worldmodel.core.planner.guidance.outlook import Outlook, body_clearance, nearest_frames
from edge_worldmodel.core.planner.recovery import Escape
from edge_worldmodel.core.planner.robot_limits import RobotLimits
from edge_worldmodel.core.types import Floats, Points, Pose, Tensor

NEAR_MOVER_M = 0.8
"""Distance from an expected mover within which imagined occupancy may be that mover."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The candidates of one tick and their imagined futures, in the present ego frame.

    Attributes:
        candidates: M maneuvers.
        disturbed: (M, D, T + 1, 3) their poses under drawn disturbances.
        futures: (M, F, H, 64, 64) imagined occupancy probability; empty before anything is imagined.
        outlook: the present scene with movers carried on at constant velocity.
        limits: the robot.
        clear_m: distance wanted between the robot's centre and movers.
        wall_margin_m: clearance wanted between the body and static obstacles.
        tail: share of the worst outcomes that risk and exposure average over.
        time_weights: (T + 1,) weight of a collision at each time.
        harmless_mps: own speed below which a collision adds to risk in proportion to that speed.
        escape: the candidate that leads a boxed-in robot out; None: the robot is not boxed in.
    """

    candidates: Candidates
    disturbed: Pose
    futures: Tensor = field(default_factory=lambda: np.zeros((0, *tensors.FUTURE.with_batch(0)), np.float32))
    outlook: Outlook
    limits: RobotLimits
    clear_m: float
    wall_margin_m: float
    tail: float
    time_weights: Floats
    harmless_mps: float
    escape: Escape | None = None

    def of(self, indices: list[int], futures: Tensor) -> Scene:
        """Return the scene of some candidates with their imagined futures (len(indices), F, H, 64, 64)."""
        picked = self.candidates.pick(indices)
        return replace(self, candidates=picked, disturbed=self.disturbed[indices], futures=futures)

    @cached_property
    def collision_probability(self) -> Tensor:
        """Return the probability (M, F, D, T + 1) of a contact at each pose, weighted by its time.

        Static obstacles count as observed, because imagination blurs their edges. Movers and all other imagined
        occupancy count as imagined in the frame nearest in time; at the first poses, which are nearest to the present
        frame, movers count as observed.

        A robot that is already closer to a mover than ``clear_m`` must be able to move away. So while a path comes no
        closer to where the mover is now, it collides only with occupancy that comes closer than that mover is now.

        For the escape only imagined occupancy away from observed obstacles counts. Its clearance from observed
        obstacles was checked when it was proposed.
        """
        probability = self._collision_probability()
        names = self.candidates.names
        if self.escape is not None and self.escape.name in names:
            index = names.index(self.escape.name)
            alone = self.of([index], self.futures[index : index + 1])
            probability[[index]] = alone._only_what_comes()._collision_probability()
        return probability

    def departures(self, rows: slice, columns: slice) -> Tensor:
        """Return the imagined occupancy other than static obstacles in a part of the grid.

        Args:
            rows: rows of the part.
            columns: columns of the part.

        Returns:
            (M, F, H, rows, columns) occupancy probability.


        Static obstacles are imagined with soft edges, and their continuation into unknown space differs from future to
        future. The robot will observe both before it gets there. So unknown cells, and cells beside static obstacles,
        count only near expected movers. In cells beside static obstacles a probability p counts as max(2 p - 1, 0).
        """
        part = np.s_[..., rows, columns]
        static, unknown = self.outlook.static.occupied, self.outlook.seen.unknown
        beside = (grown_by_one_cell(static) & ~static)[part]
        near_mover = self.outlook.movers_m[1:][part] <= NEAR_MOVER_M
        counted = ~static[part] & (near_mover | ~(beside | unknown[part]))
        edge = (counted & beside).astype(np.float32)
        found: Tensor = self.futures[part] * (counted.astype(np.float32) + edge)
        found -= edge
        return np.maximum(found, 0.0, out=found)

    def _only_what_comes(self) -> Scene:
        """Return the scene without the obstacles that are seen now and the imagined occupancy beside them."""
        elsewhere = ~grown_by_one_cell(self.outlook.seen.occupied)
        empty = LocalMap(np.zeros_like(elsewhere), self.outlook.seen.unknown)
        futures = self.futures * elsewhere.astype(np.float32)
        return replace(self, futures=futures, outlook=replace(self.outlook, seen=empty))

    def _collision_probability(self) -> Tensor:
        points = self.disturbed[..., :2]
        mover_m = lookup(self.outlook.movers_m[0], points).astype(np.float64)
        hit = self._mover_hits(points, self.clear_m)
        if too_close(mover_m[..., 0], self.clear_m).any():
            still_close = leaving(mover_m, self.clear_m)
            closer_m = float(mover_m[..., 0].min()) - 2.0 * ROUNDING_M
            hit = np.where(still_close[:, None], self._mover_hits(points, closer_m), hit)
        hit = np.maximum(hit, self._static_hits()[:, None])
        weighted: Tensor = (hit * self.time_weights).astype(np.float32)
        return weighted

    def _static_hits(self) -> Tensor:
        """Return 1 where the body is closer to static obstacles than wanted and than it is now, as (M, D, T + 1)."""
        clearance_m = body_clearance(self.outlook.static, self.disturbed, self.limits)
        # Twice the tolerance of ``too_close``, so that rounding does not count as coming closer.
        closer = clearance_m < clearance_m[..., :1] - 2.0 * ROUNDING_M
        return (too_close(clearance_m, self.wall_margin_m) & closer).astype(np.float32)

    def _mover_hits(self, points: Points, clear_m: float) -> Tensor:
        """Return the probability (M, F, D, T + 1) that a mover is within ``clear_m`` of points (M, D, T + 1, 2)."""
        if clear_m < 0.0:
            return np.zeros((*points.shape[:1], self.futures.shape[1], *points.shape[1:3]), np.float32)
        iy, ix = cells_of(points)
        kernel = footprint_kernel(clear_m)
        # Only the part of the grid near the paths is dilated, because the whole grid would take longer.
        margin = kernel.shape[0] // 2
        top, left = max(int(iy.min()) - margin, 0), max(int(ix.min()) - margin, 0)
        rows = slice(top, int(iy.max()) + margin + 1)
        columns = slice(left, int(ix.max()) + margin + 1)
        iy, ix = iy - top, ix - left
        movers = (self.outlook.seen.occupied & ~self.outlook.static.occupied)[rows, columns]
        present = dilate(movers[None].astype(np.float32), kernel)[0]
        imagined = self.departures(rows, columns)
        grown = dilate(imagined.reshape(-1, *imagined.shape[-2:]), kernel)
        frame = nearest_frames(points.shape[2])
        future = np.arange(imagined.shape[0] * imagined.shape[1]).reshape(*imagined.shape[:2], 1, 1)
        hit: Tensor = grown[future * imagined.shape[2] + np.maximum(frame - 1, 0), iy[:, None], ix[:, None]]
        return np.where(frame == 0, present[iy, ix][:, None], hit)
