"""Ticks of our planner in arena episodes, kept with everything that they were decided from, to be decided again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from edge_worldmodel.core.planner.planner import Planner, PlannerOutput
from edge_worldmodel.core.types import Floats, LatentFrame, Plan, WarmStart
from edge_worldmodel.evaluation.arena.episode import run_episode
from edge_worldmodel.evaluation.arena.outcome import EpisodeOutcome
from edge_worldmodel.evaluation.arena.scenario import Scenario, ScenarioOverrides, load_scenario
from edge_worldmodel.evaluation.controllers.ours.ours import Ours, open_ours
from edge_worldmodel.sim.robots import RobotSpec

TRAINING_SEED = 1000
"""Test seeds are for the tables of docs/arena.md."""


@dataclass(frozen=True)
class Tick:
    """What one tick was decided from; a way out of a box, which has a memory of its own, is left out."""

    frame: LatentFrame
    goal: Floats | None
    warm_start: WarmStart | None
    previous: Plan | None
    seed: int

    def decide(
        self, planner: Planner, warm_start: WarmStart | None, clock_s: Callable[[], float] | None = None, other: int = 0
    ) -> PlannerOutput:
        """Decide again, among the same candidates; ``other`` than 0: with other noise and disturbances."""
        rng = np.random.default_rng(self.seed)
        # Candidates come from a child of the generator, which drawing from the generator does not change.
        rng.standard_normal(other)
        more: dict[str, Any] = {} if clock_s is None else {"clock_s": clock_s}
        return planner.plan(
            self.frame, goal=self.goal, rng=rng, warm_start=warm_start, previous=self.previous, **more
        )  # fmt: skip


class Recording(Ours):
    """Ours, with every tick in which it imagined kept, and the steps that it took."""

    def reset(self, robot: RobotSpec, goal: Floats, seed: int, walls: Sequence[Floats] = ()) -> None:
        """Begin as ever, with nothing kept."""
        super().reset(robot, goal, seed, walls)
        self.ticks: list[Tick] = []
        self.outputs: list[PlannerOutput] = []
        planner = self.planner
        plan = planner.plan

        def kept(frame: LatentFrame, **asked: Any) -> PlannerOutput:
            output = plan(frame, **asked)
            self.ticks.append(Tick(frame, asked["goal"], asked["warm_start"], asked["previous"], len(self.ticks)))
            self.outputs.append(output)
            return output

        planner.plan = kept  # type: ignore[method-assign]

    @property
    def planner(self) -> Planner:
        """Return the planner of this episode."""
        return self._deliberation.planner

    @property
    def hit_rate(self) -> float:
        """Return the share of frames of this episode that got a valid warm start."""
        return self._cache.hit_rate


def scenarios(names: Sequence[str], seed: int, tracks: Path | None = None) -> list[Scenario]:
    """Load scenarios by name."""
    return [load_scenario(name, seed, ScenarioOverrides(tracks=tracks)) for name in names]


def record(
    chosen: Sequence[Scenario], episodes: int, settings: dict[str, Any], kind: type[Recording] = Recording
) -> Iterator[tuple[str, int, EpisodeOutcome, Recording]]:
    """Drive the first episodes of scenarios and yield each with who drove it, in a progress bar."""
    todo = [(scenario, index) for scenario in chosen for index in range(episodes)]
    for scenario, index in tqdm(todo, unit="episode"):
        ours = open_ours(scenario.robot, scenario.max_speed_mps, settings, kind)
        outcome, _ = run_episode(scenario, index, ours)
        yield scenario.name, index, outcome, ours
