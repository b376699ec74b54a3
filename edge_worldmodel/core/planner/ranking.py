"""The ranking of the candidates: the best one so far, and those that could still be better once imagined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from edge_worldmodel.core.planner.critics import AFTER_IMAGINING, BEFORE_IMAGINING, Critic
from edge_worldmodel.core.planner.critics.scene import Scene
from edge_worldmodel.core.planner.planner_config import PlannerConfig
from edge_worldmodel.core.types import ROLLOUT_TERMS, Floats, Mask, Tensor

BRAKE = 0
"""Index of the maneuver that brings the robot to rest; ``propose`` puts it first."""
_ESCAPE_BONUS = 1000.0
"""Cost reduction of the escape of a boxed-in robot; larger than any difference of the other costs."""


@dataclass(frozen=True)
class ManeuverChoice:
    """The chosen maneuver; ``index`` -1: no candidate is acceptable, so the robot brakes."""

    index: int
    name: str
    reason: str


class Ranking:
    """The scores and costs of all candidates.

    Risk and exposure can only add to the cost. A candidate whose cost without them is already higher than the full cost
    of the best acceptable one cannot be chosen and need not be imagined. The choice is the same as if all had been.

    Attributes:
        terms: (M,) per critic; NaN where the candidate has not been imagined.
    """

    def __init__(self, scene: Scene, config: PlannerConfig) -> None:
        """Score everything that needs no imagined futures."""
        self.config, self._scene = config, scene
        self.candidates = scene.candidates
        self.terms = {name: np.full(len(self.candidates), np.nan) for name in (*BEFORE_IMAGINING, *AFTER_IMAGINING)}
        everything = list(range(len(self.candidates)))
        self._score(BEFORE_IMAGINING, everything, scene)
        self._cost_before: Floats = np.zeros(len(self.candidates))
        for name, weight in _weights(config).items():
            self._cost_before += weight * self.terms[name]
        self._rest = self._choice_to_rest()

    def score(self, indices: list[int], futures: Tensor) -> None:
        """Score some candidates by their imagined futures (len(indices), F, H, 64, 64)."""
        self._score(AFTER_IMAGINING, indices, self._scene.of(indices, futures))

    def _score(self, critics: Mapping[str, Critic], indices: list[int], scene: Scene) -> None:
        for name, critic in critics.items():
            self.terms[name][indices] = critic(scene)

    @property
    def cost(self) -> Floats:
        """Return the weighted sum (M,) of all terms; a lower bound for candidates that have not been imagined."""
        config, imagined = self.config, self._imagined
        risk = np.where(imagined, self.terms["risk"], 0.0)
        passive = np.where(imagined, self.terms["exposure"], 0.0) - risk
        contact_m = config.risk_weight_m * risk + config.exposure_weight_m * passive
        cost: Floats = self._cost_before + config.arrival_weight * contact_m
        return cost

    @property
    def acceptable(self) -> Mask:
        """Return which candidates have been imagined and have a risk within the limit, as (M,)."""
        within: Mask = self.terms["risk"] <= self.config.risk_limit
        return within

    def published_terms(self) -> dict[str, Floats]:
        """Return the terms of the ``Rollout`` messages, each (M,); there ``progress`` is positive for metres gained."""
        terms = {**self.terms, "progress": -self.terms["progress"], "cost": self.cost}
        return {name: terms[name] for name in ROLLOUT_TERMS}

    def next_to_imagine(self, count: int) -> list[int]:
        """Return at most ``count`` candidates that could still win, the cheapest first; empty when none can.

        Braking is always in the first batch, because the robot brakes when no candidate is acceptable.
        """
        first = [] if self._imagined[BRAKE] else [BRAKE]
        if self._rest is not None:
            return first
        best = np.where(self.acceptable, self.cost, np.inf).min()
        could_win = ~self._imagined & (self._cost_before <= best)
        could_win[first] = False
        cheapest_first = np.argsort(np.where(could_win, self._cost_before, np.inf), kind="stable")
        return [*first, *[int(i) for i in cheapest_first if could_win[i]][: max(count - len(first), 0)]]

    def choose(self) -> ManeuverChoice:
        """Return the cheapest acceptable maneuver and the reason; braking if there is no goal or none is acceptable."""
        names, risk, limit = self.candidates.names, self.terms["risk"], self.config.risk_limit
        if self._rest is not None:
            return replace(self._rest, reason=f"{self._rest.reason}; risk at rest {risk[BRAKE]:.2f}")
        if not self.acceptable.any():
            least = int(np.nanargmin(risk))
            reason = f"stop: no maneuver within risk {limit:.2f}; the lowest is {names[least]} with {risk[least]:.2f}"
            return ManeuverChoice(index=-1, name="stop", reason=reason)
        index = int(np.argmin(np.where(self.acceptable, self.cost, np.inf)))
        reason = f"{names[index]}: risk {risk[index]:.2f}, {-self.terms['progress'][index]:.1f} m progress"
        escape = self._scene.escape
        if escape is not None and names[index] == escape.name:
            reason += f"; {escape.reason}"
        preferred = int(np.argmin(np.where(self._imagined, self._cost_before, np.inf)))
        if preferred != index and risk[preferred] > risk[index]:
            reason += f"; not {names[preferred]}: risk {risk[preferred]:.2f}"
        return ManeuverChoice(index=index, name=names[index], reason=reason)

    @property
    def _imagined(self) -> Mask:
        imagined: Mask = ~np.isnan(self.terms["risk"])
        return imagined

    def _choice_to_rest(self) -> ManeuverChoice | None:
        """Return the choice to stay at rest without a goal or at the goal, else None."""
        to_goal = self._scene.outlook.cost_to_go
        if to_goal.goal is None:
            return ManeuverChoice(index=BRAKE, name="hold", reason="hold: no goal")
        to_goal_m = float(to_goal.at(np.zeros(2)))
        if to_goal_m <= self.config.goal_tolerance_m:
            reason = f"arrived: {to_goal_m:.2f} m from the goal"
            return ManeuverChoice(index=BRAKE, name="arrived", reason=reason)
        return None


def _weights(config: PlannerConfig) -> dict[str, float]:
    """Return the weight of each term that needs no imagined futures."""
    return {
        "arrival": config.arrival_weight,
        "comfort": config.comfort_weight,
        "progress": config.progress_weight,
        "continuity": config.previous_bonus,
        "escape": _ESCAPE_BONUS,
    }
