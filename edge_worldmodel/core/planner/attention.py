"""When to imagine anew: while the world does as imagined, the plan made for it still holds.

Everything here costs less than a millisecond. Whatever might matter to safety is looked at in every frame: the
way ahead in what is seen now, the distance from the plan, the goal, and what nobody had imagined.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_worldmodel.core import tensors
from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.geometry import pose_along, relative, twist_along, wrap_angle
from edge_worldmodel.core.grid import resample
from edge_worldmodel.core.model.context_channels import motion_frames, present_frame
from edge_worldmodel.core.planner.guidance.local_map import cells_of, local_map, too_close
from edge_worldmodel.core.planner.robot_limits import DT_S, STEPS
from edge_worldmodel.core.types import Floats, LatentFrame, Plan, Tensor, Trajectory

_SUREST = 0.01
_WATCHED_S = 2.0
"""How far ahead along the plan surprises count."""
_SAME_GOAL_M = 0.05
_BLUR = np.ones((5, 5), np.uint8)
"""Something seen two cells beside where it was imagined is no surprise: that far two looks at one wall differ."""


@dataclass(frozen=True)
class AttentionConfig(Config):
    """Up to when, and in what kind of world, a plan is used again."""

    reuse_s: float = param(
        0.4, "longest time that a plan is used again without imagining anew; 0: never", minimum=0.0, maximum=1.5
    )
    reuse_risk: float = param(0.1, "risk of a plan above which it is not used again", minimum=0.0, maximum=1.0)
    max_entropy_bits: float = param(
        0.9, "entropy of the scene above which a plan is not used again [bits per cell]", minimum=0.0, maximum=1.0
    )
    max_surprise_bits: float = param(
        0.03, "surprise near the way ahead above which a plan is not used again [bits per observed cell]", minimum=0.0
    )
    watch_m: float = param(1.2, "distance from the way ahead within which surprises count", minimum=0.1, maximum=6.0)
    watch_movers_m: float = param(
        2.0, "distance from the way ahead within which nothing may move for a plan to be used again", minimum=0.0
    )
    max_off_m: float = param(0.15, "distance from the plan above which it is not used again", minimum=0.0)
    max_off_rad: float = param(0.2, "the same for the heading", minimum=0.0)


@dataclass(frozen=True)
class Memory:
    """What was imagined last, around ``pose`` at ``stamp_ns``, and the plan made of it."""

    plan: Plan
    goal: Floats | None
    pose: Floats
    stamp_ns: int
    imagined: Tensor

    def age_s(self, frame: LatentFrame) -> float:
        """Return the time since the imagination began."""
        return (frame.stamp_ns - self.stamp_ns) * 1e-9


class Attention:
    """Remembers the last imagination and compares each new frame with it."""

    def __init__(self, clear_m: float, config: AttentionConfig | None = None) -> None:
        """Watch for a robot whose paths need ``clear_m`` of clearance."""
        self.config = config or AttentionConfig()
        self.reasons: Counter[str] = Counter()
        self._clear_m = clear_m
        self._memory: Memory | None = None

    @property
    def memory(self) -> Memory | None:
        """Return what was imagined last."""
        return self._memory

    def remember(self, memory: Memory) -> None:
        """Keep a new imagination instead of the last."""
        self._memory = memory

    def forget(self) -> None:
        """Imagine anew at the next frame, whatever it shows."""
        self._memory = None

    def why_imagine(self, frame: LatentFrame, goal: ArrayLike | None) -> str:
        """Return in a word why this frame needs a new imagination; empty when the plan still holds."""
        reason = self._why(frame, goal)
        self.reasons[reason or "reused"] += 1
        return reason

    def _why(self, frame: LatentFrame, goal: ArrayLike | None) -> str:
        memory, cfg = self._memory, self.config
        if memory is None or memory.plan.model_id != frame.model_id or memory.plan.frame_id != frame.frame_id:
            return "first"
        if not _same_goal(memory.goal, goal):
            return "goal"
        if not 0.0 < memory.age_s(frame) <= cfg.reuse_s:
            return "age"
        if memory.plan.maneuver == "stop" or memory.plan.risk > cfg.reuse_risk:
            return "risk"
        if not frame.entropy_bits <= cfg.max_entropy_bits:
            return "entropy"
        if self._is_off(memory, frame):
            return "tracking"
        return self._unexpected(memory, frame)

    def _is_off(self, memory: Memory, frame: LatentFrame) -> bool:
        wanted = pose_along(memory.plan.trajectory, memory.age_s(frame))
        off_m = float(np.hypot(*(frame.pose - wanted)[:2]))
        off_rad = abs(float(wrap_angle(frame.pose[2] - wanted[2])))
        return not (off_m <= self.config.max_off_m and off_rad <= self.config.max_off_rad)

    def _unexpected(self, memory: Memory, frame: LatentFrame) -> str:
        surroundings = local_map(present_frame(frame.tensor), frame.obstacles)
        times_s = memory.age_s(frame) + np.arange(0.0, STEPS * DT_S - memory.age_s(frame), DT_S)
        way = relative(frame.pose, pose_along(memory.plan.trajectory, times_s))[:, :2]
        watched = way[: round(_WATCHED_S / DT_S)]
        if too_close(surroundings.clearance_at_few(watched), self._clear_m).any():
            return "margin"
        away_m = _away(watched)
        if (away_m[motion_frames(frame.tensor)[0] >= 0.5] <= self.config.watch_movers_m).any():
            return "movers"  # where people walk, tenths of a second count
        observed = (away_m <= self.config.watch_m) & ~surroundings.unknown
        surprise = surprise_near(_imagined_now(memory, frame), surroundings.occupied, observed)
        return "surprise" if surprise > self.config.max_surprise_bits else ""


def reused(memory: Memory, frame: LatentFrame, validity_s: float) -> Plan:
    """Return the rest of the remembered plan, from the stamp of a frame that has confirmed it."""
    plan, age_s = memory.plan, memory.age_s(frame)
    times_s = age_s + np.arange(0.0, (len(plan.trajectory.poses) - 1) * plan.trajectory.dt_s - age_s, DT_S)
    rest = Trajectory(DT_S, pose_along(plan.trajectory, times_s), twist_along(plan.trajectory, times_s))
    return replace(
        plan,
        stamp_ns=frame.stamp_ns,
        trajectory=rest,
        valid_until_ns=frame.stamp_ns + round(validity_s * 1e9),
        reason=f"{plan.reason}; the world does as imagined {age_s:.1f} s ago",
        sequence=frame.sequence,
    )


def surprise_near(imagined: Tensor, occupied: NDArray[np.bool_], observed: NDArray[np.bool_]) -> float:
    """Return the bits per observed cell that unexpected obstacles cost; what is unexpectedly free costs nothing.

    Args:
        imagined: (64, 64) probability for the present, in the present ego frame.
        occupied: (64, 64) what is seen.
        observed: (64, 64) cells that count.
    """
    blurred = np.clip(cv2.dilate(imagined, _BLUR), _SUREST, 1.0)
    bits = -np.log2(blurred[occupied & observed]).sum()
    return float(bits / max(np.count_nonzero(observed), 1))


def _imagined_now(memory: Memory, frame: LatentFrame) -> Tensor:
    """Return (64, 64) what was imagined for the time of a frame, in its ego frame."""
    position = memory.age_s(frame) / tensors.HORIZON_STEP_S - 1.0
    before = int(np.clip(np.floor(position), 0, tensors.HORIZON_STEPS - 1))
    after = min(before + 1, tensors.HORIZON_STEPS - 1)
    probability = np.maximum(memory.imagined[before], memory.imagined[after])
    moved, _ = resample(probability, relative(memory.pose, frame.pose))
    return moved


def _away(way: Floats) -> Tensor:
    """Return (64, 64) the distance of each cell from a way (n, 2)."""
    on_it = np.zeros((tensors.GRID_CELLS, tensors.GRID_CELLS), np.float32)
    on_it[cells_of(way)] = 1.0
    cells = cv2.distanceTransform((on_it < 0.5).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    away_m: Tensor = np.float32(tensors.CELL_SIZE_M) * cells
    return away_m


def _same_goal(known: Floats | None, goal: ArrayLike | None) -> bool:
    if known is None or goal is None:
        return known is None and goal is None
    moved = np.asarray(goal, np.float64)[:2] - known[:2]
    return bool(np.hypot(moved[0], moved[1]) <= _SAME_GOAL_M)
