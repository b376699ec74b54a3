"""The result of a planning tick."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.geometry import compose
from edge_worldmodel.core.planner.imagined_futures import ImaginedFutures
from edge_worldmodel.core.planner.ranking import BRAKE, ManeuverChoice, Ranking
from edge_worldmodel.core.planner.request import PlanningRequest
from edge_worldmodel.core.planner.robot_limits import DT_S
from edge_worldmodel.core.time_units import to_nanoseconds
from edge_worldmodel.core.types import LatencyBreakdown, LatentFrame, Plan, Rollout, RolloutSet, Tensor, Trajectory


@dataclass(frozen=True, kw_only=True)
class PlannerOutput:
    """The plan of one tick, and what it was chosen from.

    Attributes:
        plan: the chosen maneuver.
        rollout_set: every candidate with its scores.
        solution: (F, Cl, 16, 16) latents of the chosen maneuver, for the cache.
        imagined: (H, 64, 64) mean occupancy probability of the chosen maneuver, in the ego frame at the stamp.
    """

    plan: Plan
    rollout_set: RolloutSet
    solution: Tensor
    imagined: Tensor


def planner_output(
    request: PlanningRequest, ranking: Ranking, choice: ManeuverChoice, imagined: ImaginedFutures, proposed_s: float
) -> PlannerOutput:
    """Return the output of a tick.

    Args:
        request: what the tick was planned from.
        ranking: the scores of all candidates.
        choice: the chosen maneuver.
        imagined: the futures that were imagined.
        proposed_s: time from the beginning of the tick until the candidates were proposed.
    """
    frame, budget = request.frame, request.budget
    index = choice.index if choice.index >= 0 else BRAKE
    rollouts = _rollouts(frame, ranking)
    plan = Plan(
        stamp_ns=frame.stamp_ns,
        frame_id=frame.frame_id,
        trajectory=rollouts[index].trajectory,
        valid_until_ns=frame.stamp_ns + to_nanoseconds(ranking.config.validity_s),
        risk=float(ranking.terms["risk"][index]),
        maneuver=choice.name,
        reason=choice.reason,
        model_id=frame.model_id,
        sequence=frame.sequence,
    )
    latency = LatencyBreakdown(
        preprocess_s=proposed_s,
        compute_s=imagined.networks_s,
        postprocess_s=budget.elapsed_s - proposed_s - imagined.networks_s,
    )
    rollout_set = RolloutSet(
        stamp_ns=frame.stamp_ns,
        frame_id=frame.frame_id,
        rollouts=rollouts,
        selected=choice.index,
        reason=choice.reason,
        latency=latency,
        futures_per_maneuver=imagined.per_candidate,
        steps=imagined.steps,
        warm_started=imagined.warm_started,
        noise_level=imagined.noise_level,
        model_id=frame.model_id,
        sequence=frame.sequence,
        effort=_limitation(request, ranking),
    )
    solution, futures = imagined.by_candidate[index]
    return PlannerOutput(plan=plan, rollout_set=rollout_set, solution=solution, imagined=futures.mean(axis=0))


def _rollouts(frame: LatentFrame, ranking: Ranking) -> tuple[Rollout, ...]:
    candidates = ranking.candidates
    poses = compose(frame.pose, candidates.poses)
    terms = {name: values.tolist() for name, values in ranking.published_terms().items()}
    return tuple(
        Rollout(
            name=name,
            trajectory=Trajectory(dt_s=DT_S, poses=poses[i], twists=candidates.twists[i]),
            acceptable=bool(ranking.acceptable[i]),
            **{term: values[i] for term, values in terms.items()},
        )
        for i, name in enumerate(candidates.names)
    )


def _limitation(request: PlanningRequest, ranking: Ranking) -> str:
    """Return why less was imagined than wanted; empty when nothing limited the choice."""
    reasons = [request.effort.reason] if request.effort.reason else []
    if request.budget.cut_short:
        risk = ranking.terms["risk"]
        reasons.append(f"time was up after {int(np.isfinite(risk).sum())} of {len(risk)} maneuvers")
    return "; ".join(reasons)
