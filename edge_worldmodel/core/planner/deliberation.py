"""From frame to plan: imagine anew where there is a reason to, or follow what was imagined a moment ago."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from edge_worldmodel.core import tensors
from edge_worldmodel.core.planner.attention import Attention, AttentionConfig, Memory, reused
from edge_worldmodel.core.planner.budget import Budget, no_clock
from edge_worldmodel.core.planner.effort import EVERYTHING, Effort
from edge_worldmodel.core.planner.planner import Planner, PlannerOutput
from edge_worldmodel.core.planner.recovery import Recovery, RecoveryConfig
from edge_worldmodel.core.types import Floats, LatentFrame, Plan, Tensor, WarmStart


@dataclass(frozen=True)
class Expectation:
    """What is imagined (64, 64) for a time a little ahead, around ``pose``; the next frames are compared with it."""

    stamp_ns: int
    pose: Floats
    probability: Tensor


@dataclass(frozen=True)
class Decision:
    """The plan to follow now; ``output`` is what was imagined for it, None where an earlier plan is used again."""

    plan: Plan
    expected: Expectation
    output: PlannerOutput | None
    why: str


class Deliberation:
    """Decides frame by frame."""

    def __init__(
        self, planner: Planner, config: AttentionConfig | None = None, recovery: RecoveryConfig | None = None
    ) -> None:
        """Plan with ``planner`` whenever there is a reason to."""
        self.planner = planner
        body_m, margins = planner.limits.body_radius_m, planner.config
        # Nobody knows yet whether what has come close to the way stands there.
        self.attention = Attention(body_m + margins.margin_m, config)
        self.recovery = Recovery(planner.limits, body_m + margins.wall_margin_m, recovery)

    def decide(
        self,
        frame: LatentFrame,
        *,
        goal: ArrayLike | None,
        rng: np.random.Generator,
        warm_start: WarmStart | None = None,
        previous: Plan | None = None,
        effort: Effort = EVERYTHING,
        budget: Budget | None = None,
        clock_s: Callable[[], float] = no_clock,
    ) -> Decision:
        """Return what to follow from this frame on; arguments and errors as those of ``Planner.plan``."""
        self.recovery.watch(frame, goal)
        why, memory = self.attention.why_imagine(frame, goal), self.attention.memory
        if not why and memory is not None:
            plan = reused(memory, frame, self.planner.config.validity_s)
            return Decision(plan, _expectation(memory, frame), None, "")
        self.attention.forget()  # a tick that fails must not leave the old imagination to be used again
        output = self.planner.plan(
            frame, goal=goal, rng=rng, warm_start=warm_start, previous=previous, recovery=self.recovery,
            effort=effort, budget=budget, clock_s=clock_s,
        )  # fmt: skip
        position = None if goal is None else np.asarray(goal, np.float64)
        memory = Memory(output.plan, position, frame.pose, frame.stamp_ns, output.imagined)
        self.attention.remember(memory)
        return Decision(output.plan, _expectation(memory, frame), output, why)


def _expectation(memory: Memory, frame: LatentFrame) -> Expectation:
    """Return the imagined frame nearest to one step ahead of now."""
    step = min(round(memory.age_s(frame) / tensors.HORIZON_STEP_S), tensors.HORIZON_STEPS - 1)
    when_ns = memory.stamp_ns + round((step + 1) * tensors.HORIZON_STEP_S * 1e9)
    return Expectation(when_ns, memory.pose, memory.imagined[step])
