"""Attention: decides in each frame whether the last plan is still valid or new imagination is needed.

The checks take less than a millisecond and run in every frame: obstacles near the path, movers, the distance from the
plan, the goal, and obstacles that were not imagined.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import ArrayLike

from edge_worldmodel.core import tensors
from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.geometry import pose_along, relative, twist_along, wrap_angle
from edge_worldmodel.core.grid import resample
from edge_worldmodel.core.planner.guidance.local_map import cells_of, too_close
from edge_worldmodel.core.planner.guidance.outlook import Outlook
from edge_worldmodel.core.planner.request import PlanningRequest
from edge_worldmodel.core.planner.robot_limits import DT_S, STEPS
from edge_worldmodel.core.time_units import to_nanoseconds, to_seconds
from edge_worldmodel.core.types import Floats, LatentFrame, Mask, Plan, Points, Pose, Tensor, Trajectory

_LOWEST_PROBABILITY = 0.01
_WATCHED_S = 2.0
"""Time from now within which the plan is watched; beyond it, a new plan will have been made."""
_SAME_GOAL_M = 0.05
_TOLERANCE = np.ones((5, 5), np.uint8)
"""An obstacle within two cells of its imagined place is no surprise, because scans of one wall differ that much."""


@dataclass(frozen=True)
class AttentionConfig(Config):
    """When the last plan is followed further without new imagination."""

    reuse_s: float = param(
        0.4, "longest time for which a plan is used again without new imagination; 0: never", minimum=0.0, maximum=1.5
    )
    reuse_risk: float = param(0.1, "highest risk of a plan that is used again", minimum=0.0, maximum=1.0)
    max_entropy_bits: float = param(
        0.9, "highest uncertainty of a scene in which a plan is used again [bits per cell]", minimum=0.0, maximum=1.0
    )
    max_surprise_bits: float = param(
        0.03, "highest surprise near the path at which a plan is used again [bits per observed cell]", minimum=0.0
    )
    watch_m: float = param(1.2, "distance from the path within which surprises count", minimum=0.1, maximum=6.0)
    watch_movers_m: float = param(
        2.0, "distance from the path; while a mover is closer, every tick is imagined anew", minimum=0.0
    )
    max_off_m: float = param(0.15, "largest distance from the plan at which it is used again", minimum=0.0)
    max_off_rad: float = param(0.2, "largest heading error at which a plan is used again", minimum=0.0)


@dataclass(frozen=True, kw_only=True)
class FollowedPlan:
    """The plan that is followed, and the scene that was imagined for it.

    Attributes:
        plan: the plan as it was chosen.
        goal: (2,) or (3,) the goal when it was chosen; None: there was none.
        pose: (3,) robot pose when it was chosen; centre of the imagined grid.
        stamp_ns: time when it was chosen.
        imagined: (H, 64, 64) mean occupancy probability.
    """

    plan: Plan
    goal: Floats | None
    pose: Pose
    stamp_ns: int
    imagined: Tensor

    def age_s(self, frame: LatentFrame) -> float:
        """Return the time from the plan's stamp to a frame."""
        return to_seconds(frame.stamp_ns - self.stamp_ns)

    def rest(self, frame: LatentFrame, validity_s: float) -> Plan:
        """Return the rest of the plan, stamped with a frame that has confirmed it."""
        plan, age_s = self.plan, self.age_s(frame)
        times_s = age_s + np.arange(0.0, (len(plan.trajectory.poses) - 1) * plan.trajectory.dt_s - age_s, DT_S)
        poses, twists = pose_along(plan.trajectory, times_s), twist_along(plan.trajectory, times_s)
        return replace(
            plan,
            stamp_ns=frame.stamp_ns,
            trajectory=Trajectory(dt_s=DT_S, poses=poses, twists=twists),
            valid_until_ns=frame.stamp_ns + to_nanoseconds(validity_s),
            reason=f"{plan.reason}; followed further: the scene is as imagined {age_s:.1f} s ago",
            sequence=frame.sequence,
        )


class Attention:
    """Keeps the followed plan and compares each new frame with what was imagined for it.

    Attributes:
        reasons: how often each reason to imagine anew was found; "reused" counts the ticks without one.
        followed: the plan that is followed; None: there is none, or the last tick failed.
    """

    def __init__(self, clear_m: float, config: AttentionConfig | None = None) -> None:
        """Watch for a robot whose paths keep ``clear_m`` of clearance from its centre."""
        self.config = config or AttentionConfig()
        self.reasons: Counter[str] = Counter()
        self.followed: FollowedPlan | None = None
        self._clear_m = clear_m

    def follow(self, plan: FollowedPlan) -> None:
        """Keep a new plan in place of the last one."""
        self.followed = plan

    def forget(self) -> None:
        """Drop the followed plan, so that the next frame is imagined anew in any case."""
        self.followed = None

    def reason_to_imagine(self, request: PlanningRequest, outlook: Outlook) -> str:
        """Return the reason, one word, why a tick needs new imagination; empty if the followed plan is still valid."""
        reason = self._reason(request, outlook)
        self.reasons[reason or "reused"] += 1
        return reason

    def _reason(self, request: PlanningRequest, outlook: Outlook) -> str:
        followed, frame, cfg = self.followed, request.frame, self.config
        if followed is None or followed.plan.model_id != frame.model_id or followed.plan.frame_id != frame.frame_id:
            return "first"
        if not _is_same_goal(followed.goal, request.goal):
            return "goal"
        if not 0.0 < followed.age_s(frame) <= cfg.reuse_s:
            return "age"
        if followed.plan.maneuver == "stop" or followed.plan.risk > cfg.reuse_risk:
            return "risk"
        if not frame.entropy_bits <= cfg.max_entropy_bits:
            return "entropy"
        if self._is_off(followed, frame):
            return "tracking"
        return self._unexpected(followed, frame, outlook)

    def _is_off(self, followed: FollowedPlan, frame: LatentFrame) -> bool:
        """Return whether the robot is too far from its pose in the plan."""
        wanted = pose_along(followed.plan.trajectory, followed.age_s(frame))
        off_m = float(np.hypot(*(frame.pose - wanted)[:2]))
        off_rad = abs(float(wrap_angle(frame.pose[2] - wanted[2])))
        # Comparisons with NaN are false, so that a NaN pose counts as off the plan.
        return not (off_m <= self.config.max_off_m and off_rad <= self.config.max_off_rad)

    def _unexpected(self, followed: FollowedPlan, frame: LatentFrame, outlook: Outlook) -> str:
        """Return the reason if the scene is not as it was imagined; empty if it is."""
        times_s = followed.age_s(frame) + np.arange(0.0, STEPS * DT_S - followed.age_s(frame), DT_S)
        path = relative(frame.pose, pose_along(followed.plan.trajectory, times_s))[:, :2]
        watched = path[: round(_WATCHED_S / DT_S)]
        if too_close(outlook.seen.clearance_at_few(watched), self._clear_m).any():
            return "margin"
        distance_m = _distance_from(watched)
        if (distance_m[outlook.movers[0]] <= self.config.watch_movers_m).any():
            return "movers"
        observed = (distance_m <= self.config.watch_m) & ~outlook.seen.unknown
        surprise_bits = surprise_near(_imagined_now(followed, frame), outlook.seen.occupied, observed)
        return "surprise" if surprise_bits > self.config.max_surprise_bits else ""


def surprise_near(imagined: Tensor, occupied: Mask, observed: Mask) -> float:
    """Return the surprise by obstacles in bits per observed cell; unexpectedly free cells do not add to it.

    Args:
        imagined: (64, 64) occupancy probability for the present, in the present ego frame.
        occupied: (64, 64) cells that are observed occupied.
        observed: (64, 64) observed cells in which surprise counts.
    """
    blurred = np.clip(cv2.dilate(imagined, _TOLERANCE), _LOWEST_PROBABILITY, 1.0)
    bits = -np.log2(blurred[occupied & observed]).sum()
    return float(bits / max(np.count_nonzero(observed), 1))


def _imagined_now(followed: FollowedPlan, frame: LatentFrame) -> Tensor:
    """Return the occupancy (64, 64) that was imagined for the time of a frame, in its ego frame."""
    position = followed.age_s(frame) / tensors.HORIZON_STEP_S - 1.0
    before = int(np.clip(np.floor(position), 0, tensors.HORIZON_STEPS - 1))
    after = min(before + 1, tensors.HORIZON_STEPS - 1)
    probability = np.maximum(followed.imagined[before], followed.imagined[after])
    moved, _ = resample(probability, relative(followed.pose, frame.pose))
    return moved


def _distance_from(path: Points) -> Tensor:
    """Return the distance (64, 64) in metres of each cell from a path (n, 2)."""
    on_path = np.zeros((tensors.GRID_CELLS, tensors.GRID_CELLS), np.float32)
    on_path[cells_of(path)] = 1.0
    cells = cv2.distanceTransform((on_path < 0.5).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    distance_m: Tensor = np.float32(tensors.CELL_SIZE_M) * cells
    return distance_m


def _is_same_goal(known: Floats | None, goal: ArrayLike | None) -> bool:
    if known is None or goal is None:
        return known is None and goal is None
    moved = np.asarray(goal, np.float64)[:2] - known[:2]
    return bool(np.hypot(moved[0], moved[1]) <= _SAME_GOAL_M)
