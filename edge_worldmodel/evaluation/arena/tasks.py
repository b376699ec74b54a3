"""Episodes as tasks: run here, in many processes, or on a Ray cluster, always with the same result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from edge_worldmodel.evaluation.arena.episode import Episode
from edge_worldmodel.evaluation.arena.live_episode import LIVE, drive_live
from edge_worldmodel.evaluation.arena.outcome import EpisodeOutcome, Trace
from edge_worldmodel.evaluation.arena.scenario import EpisodeCase, Scenario, ScenarioOverrides, load_scenario
from edge_worldmodel.evaluation.arena.source import ScenarioError
from edge_worldmodel.evaluation.controllers import Controller, make_controller
from edge_worldmodel.training.workers import spread, spread_on_ray, use_one_opencv_thread


@dataclass(frozen=True)
class EpisodeTask:
    """One episode of one planner; all that a worker elsewhere needs to know.

    ``settings`` are (name, value) pairs over the planner's own defaults, () for just these; None: the tuned ones. With
    ``keep_trace`` the trace of a failure comes back.
    """

    scenario: str
    seed: int
    overrides: ScenarioOverrides
    planner: str
    index: int
    settings: tuple[tuple[str, Any], ...] | None = None
    keep_trace: bool = False


@dataclass(frozen=True)
class EpisodeResult:
    """What came of a task: an outcome, or why there is none; and the trace of a failure if it was asked for."""

    task: EpisodeTask
    outcome: EpisodeOutcome | None
    skipped: str = ""
    trace: Trace | None = field(default=None, compare=False)
    case: EpisodeCase | None = field(default=None, compare=False)


@lru_cache(maxsize=16)
def _scenario(name: str, seed: int, overrides: ScenarioOverrides) -> Scenario:
    return load_scenario(name, seed, overrides)


@lru_cache(maxsize=64)
def _controller(
    planner: str, scenario: str, seed: int, overrides: ScenarioOverrides, settings: tuple[tuple[str, Any], ...] | None
) -> Controller:
    built = _scenario(scenario, seed, overrides)
    chosen = None if settings is None else dict(settings)
    return make_controller(planner, built.robot, built.max_speed_mps, chosen)


def run_task(task: EpisodeTask) -> EpisodeResult:
    """Drive one episode; scenarios and planners are loaded once per process."""
    scenario = _scenario(task.scenario, task.seed, task.overrides)
    try:
        case = scenario.case(task.index)
        if task.planner == LIVE:
            return EpisodeResult(task, drive_live(scenario, case))
    except ScenarioError as error:
        return EpisodeResult(task, None, skipped=str(error))
    controller = _controller(task.planner, task.scenario, task.seed, task.overrides, task.settings)
    outcome, trace = Episode(scenario, case, controller).run()
    wanted = task.keep_trace and outcome.ending != "success"
    return EpisodeResult(task, outcome, "", trace, case) if wanted else EpisodeResult(task, outcome)


def run_tasks(
    tasks: Sequence[EpisodeTask], processes: int = 1, ray_address: str | None = None
) -> Iterator[EpisodeResult]:
    """Yield results as they come, in any order.

    Args:
        tasks: what to run.
        processes: how many run at a time; 1 runs them in this process.
        ray_address: None: no Ray; "local": a cluster on this machine with ``processes`` workers; else its address.

    Raises:
        WorkerError: a worker process died.
    """
    if ray_address is not None:
        yield from spread_on_ray(run_task, tasks, processes, ray_address)
    elif processes == 1:
        use_one_opencv_thread()
        yield from map(run_task, tasks)
    else:
        yield from spread(run_task, tasks, processes)
