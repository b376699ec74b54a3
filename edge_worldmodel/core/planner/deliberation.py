"""Deliberation: from a frame to a plan, by imagining anew or by following the last plan further."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core import tensors
from edge_worldmodel.core.planner.attention import Attention, AttentionConfig, FollowedPlan
from edge_worldmodel.core.planner.planner import Planner
from edge_worldmodel.core.planner.planner_output import PlannerOutput
from edge_worldmodel.core.planner.recovery import Recovery, RecoveryConfig
from edge_worldmodel.core.planner.request import PlanningRequest
from edge_worldmodel.core.time_units import to_nanoseconds
from edge_worldmodel.core.types import LatentFrame, Plan, Pose, Tensor


@dataclass(frozen=True)
class Expectation:
    """The occupancy imagined for a time shortly after now; perception compares the next frames with it.

    Attributes:
        stamp_ns: the time it was imagined for.
        pose: (3,) centre of the grid, in ``Plan.frame_id``.
        probability: (64, 64) occupancy probability.
    """

    stamp_ns: int
    pose: Pose
    probability: Tensor


@dataclass(frozen=True, kw_only=True)
class PlanningDecision:
    """The result of one tick.

    Attributes:
        plan: the plan to follow now.
        expected: the occupancy that the next frames should show.
        output: the result of imagining; None if the last plan is followed further.
        reason: why the scene was imagined anew; empty if the last plan is followed further.
    """

    plan: Plan
    expected: Expectation
    output: PlannerOutput | None
    reason: str


class Deliberation:
    """Decides for each frame; keeps the followed plan and the robot's recent path."""

    def __init__(
        self, planner: Planner, config: AttentionConfig | None = None, recovery: RecoveryConfig | None = None
    ) -> None:
        """Plan with ``planner`` whenever attention finds a reason to."""
        self.planner = planner
        body_m, margins = planner.limits.body_radius_m, planner.config
        # An obstacle that comes close to the path may be a mover, so the wider margin of movers is used.
        self.attention = Attention(body_m + margins.margin_m, config)
        self.recovery = Recovery(planner.limits, body_m + margins.wall_margin_m, recovery)

    def decide(self, request: PlanningRequest) -> PlanningDecision:
        """Return the plan to follow from this frame on; raises the errors of ``Planner.check`` and ``Planner.plan``."""
        frame, outlook = request.frame, self.planner.outlook(request)
        self.recovery.watch(frame, request.goal)
        reason, followed = self.attention.reason_to_imagine(request, outlook), self.attention.followed
        if not reason and followed is not None:
            plan = followed.rest(frame, self.planner.config.validity_s)
            return PlanningDecision(plan=plan, expected=_expectation(followed, frame), output=None, reason="")
        # Before planning, so that the old plan is not followed further if this tick fails.
        self.attention.forget()
        self.planner.check(request)
        output = self.planner.plan(request, outlook, self.recovery.escape(frame, outlook))
        followed = FollowedPlan(
            plan=output.plan,
            goal=None if request.goal is None else np.asarray(request.goal, np.float64),
            pose=frame.pose,
            stamp_ns=frame.stamp_ns,
            imagined=output.imagined,
        )
        self.attention.follow(followed)
        return PlanningDecision(plan=output.plan, expected=_expectation(followed, frame), output=output, reason=reason)


def _expectation(followed: FollowedPlan, frame: LatentFrame) -> Expectation:
    """Return the imagined frame that lies nearest to one step after a frame."""
    step = min(round(followed.age_s(frame) / tensors.HORIZON_STEP_S), tensors.HORIZON_STEPS - 1)
    stamp_ns = followed.stamp_ns + to_nanoseconds((step + 1) * tensors.HORIZON_STEP_S)
    return Expectation(stamp_ns=stamp_ns, pose=followed.pose, probability=followed.imagined[step])
