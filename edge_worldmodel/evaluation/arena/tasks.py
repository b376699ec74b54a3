"""Episodes as tasks that run in this process, in several processes or on a Ray cluster, with the same results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
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
    """One episode of one planner, complete enough to run in another process or on another machine.

    ``settings`` are (name, value) pairs that replace defaults of the planner; None: the tuned settings. With
    ``keep_trace`` the result of a failed episode contains its trace.
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
    """The outcome of a task, or the reason why it was skipped; and the trace of a failure if the task asks for it."""

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


@lru_cache(maxsize=8)
def _case(scenario: str, seed: int, overrides: ScenarioOverrides, index: int) -> EpisodeCase:
    """Return a case with its contact-free drive; planners take turns, so that it is searched once for all of them."""
    built = _scenario(scenario, seed, overrides)
    case = built.case(index)
    return case if built.solvable else replace(case, solution=built.solve(case))


def run_task(task: EpisodeTask) -> EpisodeResult:
    """Drive one episode; scenarios and planners are loaded once in a process."""
    scenario = _scenario(task.scenario, task.seed, task.overrides)
    try:
        case = _case(task.scenario, task.seed, task.overrides, task.index)
        if task.planner == LIVE:
            return EpisodeResult(task, drive_live(scenario, case))
    except ScenarioError as error:
        return EpisodeResult(task, None, skipped=str(error))
    controller = _controller(task.planner, task.scenario, task.seed, task.overrides, task.settings)
    try:
        episode = Episode(scenario, case, controller)
    except ScenarioError as error:
        return EpisodeResult(task, None, skipped=str(error))
    outcome, trace = episode.run()
    keep = task.keep_trace and outcome.ending != "success"
    return EpisodeResult(task, outcome, "", trace, case) if keep else EpisodeResult(task, outcome)


def run_tasks(
    tasks: Sequence[EpisodeTask], processes: int = 1, ray_address: str | None = None
) -> Iterator[EpisodeResult]:
    """Yield the results of tasks, in any order.

    Args:
        tasks: episodes to drive.
        processes: how many run at a time; 1 runs them in this process.
        ray_address: None: no Ray; "local": a cluster on this machine; otherwise the address of a cluster.

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
