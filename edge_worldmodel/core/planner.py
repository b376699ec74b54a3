"""The planner: propose maneuvers, imagine their futures, score them, choose one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_worldmodel.core import tensors
from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.cost_to_go import CostToGo, cost_to_go
from edge_worldmodel.core.critics import arrival, comfort, progress, risk
from edge_worldmodel.core.critics.scene import Scene
from edge_worldmodel.core.disturbances import NORMALS_PER_DRAW, DisturbanceConfig, disturb
from edge_worldmodel.core.errors import InputError, ModelError
from edge_worldmodel.core.folding import present_frame
from edge_worldmodel.core.geometry import compose, relative, twist_along
from edge_worldmodel.core.local_map import LocalMap, local_map
from edge_worldmodel.core.maneuvers import DT_S, STEPS, Candidates, RobotLimits, library_of, propose, targets_of
from edge_worldmodel.core.types import (
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
from edge_worldmodel.core.world_model import Imagination, WorldModel, always

_BRAKE = 0
"""Index of the brake maneuver; propose() always puts it first."""
STANDING_PLANS = frozenset({"stop", "hold", "arrived", "brake"})
"""Names of plans that bring the robot to rest; they are not continued as 'previous'."""


@dataclass(frozen=True)
class PlannerConfig(Config):
    """How much is imagined and what counts how much."""

    maneuvers: int = param(8, "candidate maneuvers per tick", minimum=3, maximum=64)
    futures: int = param(4, "imagined futures per maneuver", minimum=1, maximum=32)
    disturbances: int = param(8, "drawn disturbances per maneuver", minimum=1, maximum=64)
    steps_cold: int = param(2, "denoising steps from pure noise", minimum=1, maximum=64)
    steps_warm: int = param(1, "denoising steps from a warm start", minimum=1, maximum=64)
    risk_limit: float = param(0.4, "highest acceptable risk (CVaR of collision probability)", minimum=0.0, maximum=1.0)
    risk_tail: float = param(0.25, "share of worst outcomes that risk looks at", minimum=0.01, maximum=1.0)
    risk_half_life_s: float = param(
        2.0, "time after which a collision beyond the time to stop counts half", minimum=0.1, maximum=1000.0
    )
    harmless_mps: float = param(
        0.3, "own speed below which a collision counts in proportion", minimum=0.001, maximum=1.0
    )
    risk_weight_m: float = param(3.0, "metres of way that a risk of 1 is worth", minimum=0.0)
    arrival_weight: float = param(1.0, "cost per metre still to go [1/m]", minimum=0.0)
    progress_weight: float = param(0.2, "cost saved per metre gained [1/m]", minimum=0.0)
    comfort_weight: float = param(0.1, "cost per unit of effort [-]", minimum=0.0)
    previous_bonus: float = param(0.1, "cost saved by continuing the previous plan [-]", minimum=0.0)
    margin_m: float = param(0.05, "clearance wanted beyond the footprint", minimum=0.0, maximum=1.0)
    goal_tolerance_m: float = param(0.3, "distance at which the goal counts as reached", minimum=0.05, maximum=5.0)
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


@dataclass(frozen=True)
class Scores:
    """Terms and weighted cost per maneuver, (M,) each."""

    arrival: Floats
    risk: Floats
    comfort: Floats
    progress: Floats
    cost: Floats
    acceptable: NDArray[np.bool_]


@dataclass(frozen=True)
class Choice:
    """The chosen maneuver; ``index`` -1: none acceptable, brake and stop."""

    index: int
    name: str
    reason: str


def no_clock() -> float:
    """Stand for a clock where nobody wants to know how long it took."""
    return 0.0


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
        keep_going: Callable[[int], bool] = always,
        clock_s: Callable[[], float] = no_clock,
    ) -> PlannerOutput:
        """Decide what to do in the scene of ``frame``.

        Args:
            frame: encoded scene with ego pose, twist and stamp.
            goal: (2,) or (3,) position in ``frame.frame_id``, a final heading is ignored; None: hold the position.
            rng: randomness of noise and disturbances; the same state gives the same plan.
            warm_start: the cache's answer to this frame; ignored unless it fits.
            previous: the plan followed until now.
            keep_going: called with the denoising steps done; False ends denoising there.
            clock_s: monotonic seconds, for the latency breakdown only.

        Raises:
            InputError: the ego state or goal is not finite.
            ModelError: the frame was encoded by another model.
        """
        cfg, began_s = self.config, clock_s()
        self._check(frame, goal)
        surroundings = local_map(present_frame(frame.tensor))
        clear_m = self.limits.radius_m + cfg.margin_m
        field = cost_to_go(surroundings, self._goal_ahead(frame, goal), clear_m)
        # Propose: from the commanded twist, so that a lagging drive does not slow the planning down.
        twist, targets = self._carry_on(frame, previous)
        candidates = propose(
            self._library, twist, surroundings, field,
            count=cfg.maneuvers, clear_m=clear_m, previous_targets=targets,
        )  # fmt: skip
        proposed_s = clock_s()
        # Imagine: every maneuver under the same noise, in one batch.
        warm = warm_start if self._fits(warm_start, frame) else None
        steps = cfg.steps_cold if warm is None else cfg.steps_warm
        noise = rng.standard_normal(tensors.LATENT.with_batch(cfg.futures), np.float32)
        imagination = self.world_model.imagine(
            frame.tensor, candidates.maneuver_tensor(), noise, warm_start=warm, steps=steps, keep_going=keep_going
        )
        futures = self.world_model.decode(imagination.latents, frame.tensor)
        imagined_s = clock_s()
        # Score: every future under the same disturbances.
        scene = self._scene(candidates, futures, surroundings, field, rng)
        scores = score(scene, cfg)
        # Choose.
        choice = choose(scene, scores, cfg)
        latency = LatencyBreakdown(
            preprocess_s=proposed_s - began_s, compute_s=imagined_s - proposed_s, postprocess_s=clock_s() - imagined_s
        )
        return self._output(frame, scene, scores, choice, imagination, warm is not None, latency)

    def _scene(
        self, candidates: Candidates, futures: Tensor, surroundings: LocalMap, field: CostToGo, rng: np.random.Generator
    ) -> Scene:
        """Draw disturbances, the first of them none, and gather what the critics look at."""
        cfg = self.config
        normals = rng.standard_normal((cfg.disturbances, NORMALS_PER_DRAW))
        normals[0] = 0.0
        return Scene(
            candidates,
            disturb(candidates.twists, normals, self.disturbances),
            futures.reshape(len(candidates), cfg.futures, *futures.shape[1:]),
            surroundings,
            field,
            self.limits,
            self.limits.radius_m + cfg.margin_m,
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

    def _carry_on(self, frame: LatentFrame, previous: Plan | None) -> tuple[Floats, Floats | None]:
        """Return the twist to plan from and the previous plan's targets (T, 2) from now on, when it still counts."""
        if previous is None or previous.frame_id != frame.frame_id:
            return frame.twist, None
        elapsed_s = (frame.stamp_ns - previous.stamp_ns) * 1e-9
        if not 0.0 <= elapsed_s < self.config.validity_s:
            return frame.twist, None
        planned = twist_along(previous.trajectory, elapsed_s)
        followed = bool(np.abs(planned - frame.twist).max() <= self.config.tracking_tolerance)
        twist = planned if followed else frame.twist
        if previous.maneuver in STANDING_PLANS:
            return twist, None
        times_s = elapsed_s + DT_S * np.arange(1, STEPS + 1)
        return twist, targets_of(twist_along(previous.trajectory, times_s))

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
        scores: Scores,
        choice: Choice,
        imagination: Imagination,
        warm_started: bool,
        latency: LatencyBreakdown,
    ) -> PlannerOutput:
        index = choice.index if choice.index >= 0 else _BRAKE
        rollouts = _rollouts(frame, scene.candidates, scores)
        plan = Plan(
            frame.stamp_ns, frame.frame_id, rollouts[index].trajectory,
            frame.stamp_ns + round(self.config.validity_s * 1e9), float(scores.risk[index]),
            choice.name, choice.reason, frame.model_id, frame.sequence,
        )  # fmt: skip
        rollout_set = RolloutSet(
            frame.stamp_ns, frame.frame_id, rollouts, choice.index, choice.reason, latency, scene.futures.shape[1],
            imagination.steps, warm_started, imagination.noise_level, frame.model_id, frame.sequence,
        )  # fmt: skip
        latents = imagination.latents.reshape(*scene.futures.shape[:2], *imagination.latents.shape[1:])
        return PlannerOutput(plan, rollout_set, latents[index], scene.futures[index].mean(axis=0))


def score(scene: Scene, config: PlannerConfig) -> Scores:
    """Ask every critic and weigh the answers."""
    to_go, danger, effort, lost = (critic.score(scene) for critic in (arrival, risk, comfort, progress))
    cost = (
        config.arrival_weight * to_go
        + config.risk_weight_m * config.arrival_weight * danger
        + config.comfort_weight * effort
        + config.progress_weight * lost
    )
    cost -= config.previous_bonus * np.array([name == "previous" for name in scene.candidates.names])
    return Scores(to_go, danger, effort, -lost, cost, danger <= config.risk_limit)


def choose(scene: Scene, scores: Scores, config: PlannerConfig) -> Choice:
    """Pick the cheapest acceptable maneuver and say why; brake without a goal, at the goal, or when none will do."""
    names = scene.candidates.names
    if scene.field.goal is None:
        return Choice(_BRAKE, "hold", f"hold: no goal; risk of standing {scores.risk[_BRAKE]:.2f}")
    to_goal_m = float(scene.field.at(np.zeros(2)))
    if to_goal_m <= config.goal_tolerance_m:
        return Choice(_BRAKE, "arrived", f"arrived: {to_goal_m:.2f} m from the goal")
    if not scores.acceptable.any():
        least = int(np.argmin(scores.risk))
        return Choice(
            -1, "stop", f"stop: no maneuver within risk {config.risk_limit:.2f}; "
            f"the least is {names[least]} with {scores.risk[least]:.2f}",
        )  # fmt: skip
    index = int(np.argmin(np.where(scores.acceptable, scores.cost, np.inf)))
    reason = f"{names[index]}: risk {scores.risk[index]:.2f}, {scores.progress[index]:.1f} m progress"
    wished = int(np.argmin(scores.cost - config.risk_weight_m * config.arrival_weight * scores.risk))
    if wished != index and scores.risk[wished] > scores.risk[index]:
        reason += f"; {names[wished]} would hit with {scores.risk[wished]:.2f}"
    return Choice(index, names[index], reason)


def _rollouts(frame: LatentFrame, candidates: Candidates, scores: Scores) -> tuple[Rollout, ...]:
    poses = compose(frame.pose, candidates.poses)
    terms = {name: getattr(scores, name).tolist() for name in ("arrival", "risk", "comfort", "progress", "cost")}
    return tuple(
        Rollout(
            name=name,
            trajectory=Trajectory(DT_S, poses[i], candidates.twists[i]),
            acceptable=bool(scores.acceptable[i]),
            **{term: values[i] for term, values in terms.items()},
        )
        for i, name in enumerate(candidates.names)
    )
