"""The input of one planning tick."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edge_worldmodel.core.planner.budget import Budget
from edge_worldmodel.core.planner.effort import FULL_EFFORT, Effort
from edge_worldmodel.core.types import Floats, LatentFrame, Plan, WarmStart


@dataclass(frozen=True, kw_only=True)
class PlanningRequest:
    """Everything that one tick is planned from.

    Attributes:
        frame: encoded scene with the ego pose, twist and stamp.
        goal: (2,) or (3,) position in ``frame.frame_id``; a final heading is ignored. None: hold the position.
        rng: source of the noise and the disturbances; the same state gives the same plan.
        warm_start: the cache's answer to this frame; ignored unless it fits.
        previous: the plan that the robot has followed until now.
        effort: how many futures and denoising steps the tick may use.
        budget: time that the tick may take, and its clock; unlimited by default.
    """

    frame: LatentFrame
    goal: Floats | None
    rng: np.random.Generator
    warm_start: WarmStart | None = None
    previous: Plan | None = None
    effort: Effort = FULL_EFFORT
    budget: Budget = field(default_factory=Budget)
