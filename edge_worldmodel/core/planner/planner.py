"""The planner: propose maneuvers, imagine their futures, score them, choose one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from edge_worldmodel.core import tensors
from edge_worldmodel.core.config import param
from edge_worldmodel.core.errors import InputError, ModelError
from edge_worldmodel.core.geometry import compose, relative, twist_along
from edge_worldmodel.core.model.context_channels import motion_frames, present_frame
from edge_worldmodel.core.model.world_model import Imagination, WorldModel
from edge_worldmodel.core.planner.budget import Budget, no_clock
from edge_worldmodel.core.planner.candidates.disturbances import DisturbanceConfig, disturb, draw
from edge_worldmodel.core.planner.candidates.libraries import library_of
from edge_worldmodel.core.planner.candidates.maneuvers import Candidates, knots_of, propose, targets_of
from edge_worldmodel.core.planner.clips import Clips
from edge_worldmodel.core.planner.critics import risk
from edge_worldmodel.core.planner.critics.scene import Scene
from edge_worldmodel.core.planner.effort import EVERYTHING, Effort
from edge_worldmodel.core.planner.guidance.cost_to_go import CostToGo, cost_to_go
from edge_worldmodel.core.planner.guidance.outlook import Outlook, outlook
from edge_worldmodel.core.planner.ranking import BRAKE, Choice, Ranking, ScoreConfig
from edge_worldmodel.core.planner.recovery import Escape, Recovery
from edge_worldmodel.core.planner.robot_limits import DT_S, STEPS, RobotLimits
from edge_worldmodel.core.types import (
    ROLLOUT_TERMS,
    Floats,
    LatencyBreakdown,
    LatentFrame,
    Plan,
    Rollout,
    RolloutSet,
    Tensor,
    Trajectory,
    WarmStart,
)

_MOMENT_S = 0.01
STANDING_PLANS = frozenset({"stop", "hold", "arrived", "brake", "hover"})
"""Names of plans that bring the robot to rest; they are not continued as 'previous'."""


@dataclass(frozen=True)
class PlannerConfig(ScoreConfig):
    """How much is imagined and what counts how much."""

    maneuvers: int = param(8, "candidate maneuvers per tick", minimum=3, maximum=64)
    futures: int = param(4, "imagined futures per maneuver", minimum=1, maximum=32)
    imagined_at_once: int = param(
        2, "maneuvers imagined in one batch; as many as there are: no early exit", minimum=1, maximum=64
    )
    refined: int = param(64, "variations of the best maneuvers tried against the outlook", minimum=0, maximum=512)
    disturbances: int = param(8, "drawn disturbances per maneuver", minimum=1, maximum=64)
    steps_cold: int = param(2, "denoising steps from pure noise", minimum=1, maximum=64)
    steps_warm: int = param(1, "denoising steps from a warm start", minimum=1, maximum=64)
    risk_tail: float = param(
        1.0, "share of worst outcomes that risk looks at; 1: all of them, their mean", minimum=0.01, maximum=1.0
    )
    risk_half_life_s: float = param(
        2.0, "time after which a collision beyond the time to stop counts half", minimum=0.1, maximum=1000.0
    )
    harmless_mps: float = param(
        0.3, "own speed below which a collision counts in proportion", minimum=0.001, maximum=1.0
    )
    margin_m: float = param(0.09, "room wanted round the footprint from what moves", minimum=0.0, maximum=1.0)
    wall_margin_m: float = param(
        0.05, "room wanted between the body and what stands; the map shows up to 5 cm less than there is", minimum=0.0,
        maximum=1.0,
    )  # fmt: skip
    validity_s: float = param(0.6, "how long a plan may be followed after its stamp", minimum=0.1, maximum=3.2)
    tracking_tolerance: float = param(
        0.4, "gap between planned and measured twist up to which the planned one is carried on [m/s, rad/s]",
        minimum=0.0, maximum=2.0,
    )  # fmt: skip


@dataclass(frozen=True)
class PlannerOutput:
    """One tick's decision.

    ``solution`` holds the chosen maneuver's latents (F, Cl, 16, 16) for the cache; ``imagined`` its mean
    occupancy (H, 64, 64) in the ego frame at the reference time.
    """

    plan: Plan
    rollout_set: RolloutSet
    solution: Tensor
    imagined: Tensor


class Planner:
    """Plans on one world model for one robot; keeps nothing from tick to tick."""

    def __init__(
        self,
        world_model: WorldModel,
        limits: RobotLimits | None = None,
        config: PlannerConfig | None = None,
        disturbances: DisturbanceConfig | None = None,
    ) -> None:
        """Use a loaded world model; what is not given has its default."""
        self.world_model = world_model
        self.limits = limits or RobotLimits()
        self.config = config or PlannerConfig()
        self.disturbances = disturbances or DisturbanceConfig()
        self._library = library_of(self.limits)
        stop_s = self.limits.max_speed_mps / self.limits.max_decel_mps2 + self.disturbances.delay_mean_s
        self._fade = risk.fading(stop_s, self.config.risk_half_life_s)

    def plan(
        self,
        frame: LatentFrame,
        *,
        goal: ArrayLike | None,
        rng: np.random.Generator,
        warm_start: WarmStart | None = None,
        previous: Plan | None = None,
        recovery: Recovery | None = None,
        effort: Effort = EVERYTHING,
        budget: Budget | None = None,
        clock_s: Callable[[], float] = no_clock,
    ) -> PlannerOutput:
        """Decide what to do in the scene of ``frame``.

        Args:
            frame: encoded scene with ego pose, twist and stamp.
            goal: (2,) or (3,) position in ``frame.frame_id``, a final heading is ignored; None: hold the position.
            rng: randomness of noise and disturbances; the same state gives the same plan.
            warm_start: the cache's answer to this frame; ignored unless it fits.
            previous: the plan followed until now.
            recovery: looks for a way out where the robot is stuck.
            effort: how many futures and denoising steps it may take.
            budget: time for the tick; without one it takes what it takes.
            clock_s: monotonic seconds, for the latency breakdown only.

        Raises:
            InputError: the ego state or goal is not finite.
            ModelError: the frame was encoded by another model.
            LateError: the budget's time to give up has come.
        """
        cfg, began_s, budget = self.config, clock_s(), budget or Budget()
        self._check(frame, goal)
        ahead = outlook(present_frame(frame.tensor), motion_frames(frame.tensor), frame.obstacles)
        wanted_m = self.limits.body_radius_m + cfg.wall_margin_m
        field = cost_to_go(ahead.standing, self._goal_ahead(frame, goal), wanted_m, crossed=ahead.crossed)
        # Propose.
        escape = None if recovery is None else recovery.escape(frame, ahead.seen, float(field.heading(np.zeros(2))))
        candidates = self._propose(frame, ahead, field, previous, escape, rng)
        proposed_s = clock_s()
        # Imagine and score, under the same noise and disturbances, until no other candidate can win any more.
        noise = rng.standard_normal(tensors.LATENT.with_batch(cfg.futures), np.float32)[: effort.futures(cfg.futures)]
        warm = warm_start if self._fits(warm_start, frame) else None
        scene = self._scene(frame, candidates, ahead, field, rng)
        ranking, imagined = Ranking(scene, cfg, escape), Clips(len(noise))
        while (batch := ranking.contenders(cfg.imagined_at_once)) and (budget.begin_batch() or not imagined.of):
            asked_s = clock_s()
            imagination, futures = self._imagine(frame, candidates.pick(batch), noise, warm, effort, budget)
            imagined.add(batch, imagination, futures, clock_s() - asked_s)
            clips = futures.reshape(len(batch), len(noise), *futures.shape[1:])
            ranking.learn(batch, *score_risk(scene.of(batch, clips), escape))
        # Choose.
        choice = ranking.choose()
        latency = LatencyBreakdown(
            preprocess_s=proposed_s - began_s,
            compute_s=imagined.networks_s,
            postprocess_s=clock_s() - proposed_s - imagined.networks_s,
        )
        said = effort_said(effort, budget, ranking)
        return self._output(frame, scene, ranking, choice, imagined, warm is not None, latency, said)

    def _propose(
        self,
        frame: LatentFrame,
        ahead: Outlook,
        field: CostToGo,
        previous: Plan | None,
        escape: Escape | None,
        rng: np.random.Generator,
    ) -> Candidates:
        """Return candidates, from the commanded twist on: a lagging drive must not slow the planning down."""
        twist, acceleration, targets = self._carry_on(frame, previous)
        cfg = self.config
        return propose(
            self._library,
            twist,
            ahead,
            field,
            count=cfg.maneuvers,
            margin_m=cfg.wall_margin_m,
            movers_margin_m=cfg.margin_m,
            previous_targets=targets,
            escape=None if escape is None else (escape.name, escape.targets),
            acceleration=acceleration,
            refinement=rng.spawn(1)[0].standard_normal(knots_of(self.limits, cfg.refined)),
        )

    def _imagine(
        self,
        frame: LatentFrame,
        candidates: Candidates,
        noise: Tensor,
        warm: WarmStart | None,
        effort: Effort,
        budget: Budget,
    ) -> tuple[Imagination, Tensor]:
        """Return the latents of a batch of candidates, and their occupancy (M * F, H, 64, 64)."""
        imagination = self.world_model.imagine(
            frame.tensor,
            candidates.maneuver_tensor(),
            noise,
            warm_start=warm,
            steps=effort.steps(self.config.steps_cold if warm is None else self.config.steps_warm),
            keep_going=budget.keep_going,
        )
        budget.check()
        return imagination, self.world_model.decode(imagination.latents, frame.tensor)

    def _scene(
        self, frame: LatentFrame, candidates: Candidates, ahead: Outlook, field: CostToGo, rng: np.random.Generator
    ) -> Scene:
        """Draw disturbances and gather what the critics look at; nothing is imagined yet."""
        cfg = self.config
        drift_mps = np.array([0.0, frame.twist[1] - candidates.twists[0, 0, 1]])
        return Scene(
            candidates,
            disturb(candidates.twists, draw(cfg.disturbances, rng, self.disturbances), self.disturbances, drift_mps),
            np.zeros((len(candidates), 0, *tensors.FUTURE.with_batch(0)[1:]), np.float32),
            ahead,
            field,
            self.limits,
            self.limits.radius_m + cfg.margin_m,
            cfg.wall_margin_m,
            cfg.risk_tail,
            self._fade,
            cfg.harmless_mps,
        )

    def _check(self, frame: LatentFrame, goal: ArrayLike | None) -> None:
        if frame.model_id != self.world_model.model_id:
            raise ModelError(
                f"frame {frame.sequence} was encoded by model '{frame.model_id}', the planner has "
                f"'{self.world_model.model_id}'; give both nodes the same model"
            )
        for name, value in (("pose", frame.pose), ("twist", frame.twist), ("goal", goal)):
            if value is not None and not np.isfinite(np.asarray(value, np.float64)).all():
                raise InputError(f"frame {frame.sequence}: {name} = {value}, must be finite")

    def _goal_ahead(self, frame: LatentFrame, goal: ArrayLike | None) -> Floats | None:
        """Return the goal (2,) in the present ego frame."""
        if goal is None:
            return None
        position = np.asarray(goal, np.float64)[:2]
        return relative(frame.pose, np.append(position, 0.0))[:2]

    def _carry_on(self, frame: LatentFrame, previous: Plan | None) -> tuple[Floats, Floats | None, Floats | None]:
        """Return the twist and acceleration to plan from, and the previous plan's targets (T, A), if any."""
        if previous is None or previous.frame_id != frame.frame_id:
            return frame.twist, None, None
        elapsed_s = (frame.stamp_ns - previous.stamp_ns) * 1e-9
        if not 0.0 <= elapsed_s < self.config.validity_s:
            return frame.twist, None, None
        planned = twist_along(previous.trajectory, elapsed_s)
        followed = bool(np.abs(planned - frame.twist).max() <= self.config.tracking_tolerance)
        twist, acceleration = (planned, self._accelerating(previous, elapsed_s)) if followed else (frame.twist, None)
        if previous.maneuver in STANDING_PLANS:
            return twist, acceleration, None
        times_s = elapsed_s + DT_S * np.arange(1, STEPS + 1)
        return twist, acceleration, targets_of(twist_along(previous.trajectory, times_s), self.limits.axes)

    def _accelerating(self, plan: Plan, at_s: float) -> Floats:
        """Return (3,) the change of the twist per second that a plan asks for just before a time."""
        before_s = max(at_s - _MOMENT_S, 0.0)
        change = twist_along(plan.trajectory, before_s + _MOMENT_S) - twist_along(plan.trajectory, before_s)
        return change / _MOMENT_S

    def _fits(self, warm: WarmStart | None, frame: LatentFrame) -> bool:
        return (
            warm is not None
            and warm.valid
            and len(warm.latents) > 0
            and warm.model_id == self.world_model.model_id
            and warm.sequence == frame.sequence
        )

    def _output(
        self,
        frame: LatentFrame,
        scene: Scene,
        ranking: Ranking,
        choice: Choice,
        imagined: Clips,
        warm_started: bool,
        latency: LatencyBreakdown,
        effort: str,
    ) -> PlannerOutput:
        index = choice.index if choice.index >= 0 else BRAKE
        rollouts = _rollouts(frame, scene.candidates, ranking)
        plan = Plan(
            frame.stamp_ns, frame.frame_id, rollouts[index].trajectory,
            frame.stamp_ns + round(self.config.validity_s * 1e9), float(ranking.risk[index]),
            choice.name, choice.reason, frame.model_id, frame.sequence,
        )  # fmt: skip
        rollout_set = RolloutSet(
            frame.stamp_ns, frame.frame_id, rollouts, choice.index, choice.reason, latency, imagined.futures,
            imagined.steps, warm_started, imagined.noise_level, frame.model_id, frame.sequence, effort,
        )  # fmt: skip
        latents, futures = imagined.of[index]
        return PlannerOutput(plan, rollout_set, latents, futures.mean(axis=0))


def score_risk(scene: Scene, escape: Escape | None) -> tuple[Floats, Floats]:
    """Return (M,) risk and exposure; of a way out only from what is imagined to come: what stands was looked at."""
    danger, exposure = risk.score(scene)
    if escape is not None and escape.name in scene.candidates.names:
        index = scene.candidates.names.index(escape.name)
        alone = scene.of([index], scene.futures[index : index + 1]).without_what_stands()
        danger[[index]], exposure[[index]] = risk.score(alone)
    return danger, exposure


def effort_said(effort: Effort, budget: Budget, ranking: Ranking) -> str:
    """Say in what way less was imagined than wanted; empty when the choice is what it would be with all of it."""
    said = [effort.reason] if effort.reason else []
    if budget.cut_short:
        known = int(np.isfinite(ranking.risk).sum())
        said.append(f"time was up after {known} of {len(ranking.risk)} maneuvers")
    return "; ".join(said)


def _rollouts(frame: LatentFrame, candidates: Candidates, ranking: Ranking) -> tuple[Rollout, ...]:
    poses = compose(frame.pose, candidates.poses)
    terms = {name: getattr(ranking, name).tolist() for name in ROLLOUT_TERMS}
    return tuple(
        Rollout(
            name=name,
            trajectory=Trajectory(DT_S, poses[i], candidates.twists[i]),
            acceptable=bool(ranking.acceptable[i]),
            **{term: values[i] for term, values in terms.items()},
        )
        for i, name in enumerate(candidates.names)
    )
