"""Which candidate is best, and which could still become it: costs with and without the risk that is yet unknown."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.planner.critics import arrival, comfort, progress
from edge_worldmodel.core.planner.critics.scene import Scene
from edge_worldmodel.core.planner.recovery import Escape
from edge_worldmodel.core.types import Floats

BRAKE = 0
"""Index of the brake maneuver; propose() always puts it first."""
_PREFERRED = 1000.0
"""Cost saved by a way out where the robot is boxed in: more than all the others can differ by."""


@dataclass(frozen=True)
class ScoreConfig(Config):
    """What counts how much."""

    risk_limit: float = param(0.4, "highest acceptable risk (CVaR of collision probability)", minimum=0.0, maximum=1.0)
    risk_weight_m: float = param(3.0, "metres of way that a risk of 1 is worth", minimum=0.0)
    exposure_weight_m: float = param(
        1.5, "metres of way that being run into, through no motion of its own, is worth", minimum=0.0
    )
    arrival_weight: float = param(1.0, "cost per metre still to go [1/m]", minimum=0.0)
    progress_weight: float = param(0.2, "cost saved per metre gained [1/m]", minimum=0.0)
    comfort_weight: float = param(0.1, "cost per unit of effort [-]", minimum=0.0)
    previous_bonus: float = param(0.1, "cost saved by continuing the previous plan [-]", minimum=0.0)
    goal_tolerance_m: float = param(0.3, "distance at which the goal counts as reached", minimum=0.05, maximum=5.0)


@dataclass(frozen=True)
class Choice:
    """The chosen maneuver; ``index`` -1: none acceptable, brake and stop."""

    index: int
    name: str
    reason: str


class Ranking:
    """Terms and cost of every candidate, (M,) each; risk and exposure are NaN, and count nothing, until learned.

    Risk only ever adds to the cost. So a candidate that is dearer without its risk than the best acceptable one
    is with it cannot win, and need not be imagined: the choice is the same as if all had been.
    """

    def __init__(self, scene: Scene, config: ScoreConfig, escape: Escape | None = None) -> None:
        """Ask every critic that needs no imagination; a way out of a box is preferred to everything else."""
        self.config, self._scene = config, scene
        self.arrival, self.comfort = arrival.score(scene), comfort.score(scene)
        lost = progress.score(scene)
        self.progress: Floats = -lost
        self.riskless: Floats = (
            config.arrival_weight * self.arrival
            + config.comfort_weight * self.comfort
            + config.progress_weight * lost
            - config.previous_bonus * np.array([name == "previous" for name in scene.candidates.names])
        )
        self._escape = escape
        if escape is not None:
            self.riskless[scene.candidates.names.index(escape.name)] -= _PREFERRED
        self.risk: Floats = np.full(len(scene.candidates), np.nan)
        self.exposure: Floats = self.risk.copy()
        self._standing = self._why_stand()

    @property
    def cost(self) -> Floats:
        """Return (M,) the weighted sum, a lower bound where the risk is not known."""
        cfg, unknown = self.config, np.isnan(self.risk)
        risk, exposure = np.where(unknown, 0.0, self.risk), np.where(unknown, 0.0, self.exposure)
        met = exposure - risk
        cost: Floats = self.riskless + cfg.arrival_weight * (cfg.risk_weight_m * risk + cfg.exposure_weight_m * met)
        return cost

    @property
    def acceptable(self) -> NDArray[np.bool_]:
        """Return (M,) whether the risk is known and within the limit."""
        within: NDArray[np.bool_] = self.risk <= self.config.risk_limit
        return within

    def learn(self, indices: list[int], risk: Floats, exposure: Floats) -> None:
        """Take the risk and the exposure of some candidates."""
        self.risk[indices], self.exposure[indices] = risk, exposure

    def contenders(self, count: int) -> list[int]:
        """Return at most ``count`` candidates to imagine next: those that could still win, the cheapest first.

        Braking is always among the first, because it is what is left when nothing else will do.
        """
        first = [BRAKE] if np.isnan(self.risk[BRAKE]) else []
        if self._standing is not None:
            return first
        best = np.where(self.acceptable, self.cost, np.inf).min()
        open_ones = np.where(np.isnan(self.risk) & (self.riskless <= best), self.riskless, np.inf)
        open_ones[first] = np.inf
        order = [int(i) for i in np.argsort(open_ones, kind="stable") if open_ones[i] < np.inf]
        return [*first, *order[: max(count - len(first), 0)]]

    def choose(self) -> Choice:
        """Pick the cheapest acceptable maneuver and say why; brake with no way to go, or when none will do."""
        names, limit = self._scene.candidates.names, self.config.risk_limit
        if self._standing is not None:
            return replace(self._standing, reason=f"{self._standing.reason}; risk of standing {self.risk[BRAKE]:.2f}")
        if not self.acceptable.any():
            least = int(np.nanargmin(self.risk))
            return Choice(
                -1, "stop", f"stop: no maneuver within risk {limit:.2f}; "
                f"the least is {names[least]} with {self.risk[least]:.2f}",
            )  # fmt: skip
        index = int(np.argmin(np.where(self.acceptable, self.cost, np.inf)))
        reason = f"{names[index]}: risk {self.risk[index]:.2f}, {self.progress[index]:.1f} m progress"
        if self._escape is not None and names[index] == self._escape.name:
            reason += f"; {self._escape.reason}"
        wished = int(np.argmin(np.where(np.isnan(self.risk), np.inf, self.riskless)))
        if wished != index and self.risk[wished] > self.risk[index]:
            reason += f"; {names[wished]} would hit with {self.risk[wished]:.2f}"
        return Choice(index, names[index], reason)

    def _why_stand(self) -> Choice | None:
        """Return the choice to stand where there is no goal, or the robot is there."""
        field = self._scene.field
        if field.goal is None:
            return Choice(BRAKE, "hold", "hold: no goal")
        to_goal_m = float(field.at(np.zeros(2)))
        if to_goal_m <= self.config.goal_tolerance_m:
            return Choice(BRAKE, "arrived", f"arrived: {to_goal_m:.2f} m from the goal")
        return None
