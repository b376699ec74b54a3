"""The planner: propose maneuvers, imagine their futures, score them, choose one."""

from __future__ import annotations

import numpy as np

from edge_worldmodel.core.errors import InputError, ModelError
from edge_worldmodel.core.model.world_model import WorldModel
from edge_worldmodel.core.planner.candidates.candidates import Candidates
from edge_worldmodel.core.planner.candidates.disturbances import DisturbanceConfig, disturb, draw
from edge_worldmodel.core.planner.candidates.libraries import library_of
from edge_worldmodel.core.planner.candidates.maneuvers import propose
from edge_worldmodel.core.planner.candidates.start_state import start_state
from edge_worldmodel.core.planner.critics.collision import time_weights
from edge_worldmodel.core.planner.critics.scene import Scene
from edge_worldmodel.core.planner.guidance.outlook import Outlook, outlook_of
from edge_worldmodel.core.planner.imagined_futures import ImaginedFutures
from edge_worldmodel.core.planner.planner_config import PlannerConfig
from edge_worldmodel.core.planner.planner_output import PlannerOutput, planner_output
from edge_worldmodel.core.planner.ranking import Ranking
from edge_worldmodel.core.planner.recovery import Escape
from edge_worldmodel.core.planner.request import PlanningRequest
from edge_worldmodel.core.planner.robot_limits import RobotLimits


class Planner:
    """Plans with one world model for one robot; keeps no state between ticks."""

    def __init__(
        self,
        world_model: WorldModel,
        limits: RobotLimits | None = None,
        config: PlannerConfig | None = None,
        disturbances: DisturbanceConfig | None = None,
    ) -> None:
        """Use a loaded world model; arguments that are not given take their defaults."""
        self.world_model = world_model
        self.limits = limits or RobotLimits()
        self.config = config or PlannerConfig()
        self.disturbances = disturbances or DisturbanceConfig()
        self._library = library_of(self.limits)
        stop_s = self.limits.max_speed_mps / self.limits.max_decel_mps2 + self.disturbances.delay_mean_s
        self._time_weights = time_weights(stop_s, self.config.risk_half_life_s)

    def outlook(self, request: PlanningRequest) -> Outlook:
        """Return the outlook that ``plan`` needs; build it once per tick."""
        clear_m = self.limits.body_radius_m + self.config.wall_margin_m
        return outlook_of(request.frame, request.goal, clear_m)

    def plan(self, request: PlanningRequest, outlook: Outlook, escape: Escape | None = None) -> PlannerOutput:
        """Decide which maneuver the robot follows next.

        Args:
            request: everything that the tick is planned from.
            outlook: the scene of the request, as ``Planner.outlook`` returns it.
            escape: one more candidate, preferred to all others, where the robot is boxed in.

        Raises:
            InputError: the ego state or the goal is not finite.
            ModelError: the frame was encoded by another model.
            LateError: the budget's time to give up has passed.
        """
        self.check(request)
        # Propose.
        start = start_state(request.frame, request.previous, self.limits, self.config)
        candidates = propose(self._library, start, outlook, self.config, request.rng, escape)
        proposed_s = request.budget.elapsed_s
        # Imagine and score the cheapest candidates first, until no other can win any more.
        imagined = ImaginedFutures(self.world_model, request, self.config)
        ranking = Ranking(self._scene(request, candidates, outlook, escape), self.config)
        while batch := ranking.next_to_imagine(self.config.imagined_at_once):
            if not request.budget.begin_batch() and imagined.by_candidate:
                break
            ranking.score(batch, imagined.imagine(batch, candidates))
        # Choose.
        return planner_output(request, ranking, ranking.choose(), imagined, proposed_s)

    def check(self, request: PlanningRequest) -> None:
        """Refuse a request that cannot be planned on.

        Raises:
            InputError: the ego state or the goal is not finite.
            ModelError: the frame was encoded by another model.
        """
        frame = request.frame
        if frame.model_id != self.world_model.model_id:
            raise ModelError(
                f"frame {frame.sequence} was encoded by model '{frame.model_id}', the planner has "
                f"'{self.world_model.model_id}'; give both nodes the same model"
            )
        for name, value in (("pose", frame.pose), ("twist", frame.twist), ("goal", request.goal)):
            if value is not None and not np.isfinite(np.asarray(value, np.float64)).all():
                raise InputError(f"frame {frame.sequence}: {name} = {value}, must be finite")

    def _scene(
        self, request: PlanningRequest, candidates: Candidates, outlook: Outlook, escape: Escape | None
    ) -> Scene:
        """Draw disturbances and return the scene that the critics score, without imagined futures yet."""
        drift_mps = np.array([0.0, request.frame.twist[1] - candidates.twists[0, 0, 1]])
        normals = draw(self.config.disturbances, request.rng, self.disturbances)
        return Scene(
            candidates=candidates,
            disturbed=disturb(candidates.twists, normals, self.disturbances, drift_mps),
            outlook=outlook,
            limits=self.limits,
            clear_m=self.limits.radius_m + self.config.margin_m,
            wall_margin_m=self.config.wall_margin_m,
            tail=self.config.risk_tail,
            time_weights=self._time_weights,
            harmless_mps=self.config.harmless_mps,
            escape=escape,
        )
