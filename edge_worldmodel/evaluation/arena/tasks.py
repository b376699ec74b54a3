"""Episodes as tasks: run here, in many processes, or on a Ray cluster, always with the same result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from edge_worldmodel.evaluation.arena.episode import Episode
from edge_worldmodel.evaluation.arena.live_episode import LIVE, drive_live
from edge_worldmodel.evaluation.arena.outcome import Outcome, Trace
from edge_worldmodel.evaluation.arena.scenario import Case, Scenario, Wishes, load_scenario
from edge_worldmodel.evaluation.arena.source import ScenarioError
from edge_worldmodel.evaluation.controllers import Controller, make_controller
from edge_worldmodel.training.workers import one_thread_only, spread, spread_on_ray


@dataclass(frozen=True)
class Task:
    """One episode of one planner; all that a worker elsewhere needs to know.

    ``settings`` are (name, value) pairs over the planner's own defaults, () for just these; None: the tuned ones. With
    ``keep_trace`` the trace of a failure comes back.
    """

    scenario: str
    seed: int
    wishes: Wishes
    planner: str
    index: int
    settings: tuple[tuple[str, Any], ...] | None = None
    keep_trace: bool = False


@dataclass(frozen=True)
class Done:
    """What came of a task: an outcome, or why there is none; and the trace of a failure if it was asked for."""

    task: Task
    outcome: Outcome | None
    skipped: str = ""
    trace: Trace | None = field(default=None, compare=False)
    case: Case | None = field(default=None, compare=False)


@lru_cache(maxsize=16)
def _scenario(name: str, seed: int, wishes: Wishes) -> Scenario:
    return load_scenario(name, seed, wishes)


@lru_cache(maxsize=64)
def _controller(
    planner: str, scenario: str, seed: int, wishes: Wishes, settings: tuple[tuple[str, Any], ...] | None
) -> Controller:
    built = _scenario(scenario, seed, wishes)
    chosen = None if settings is None else dict(settings)
    return make_controller(planner, built.robot, built.max_speed_mps, chosen)


def run_task(task: Task) -> Done:
    """Drive one episode; scenarios and planners are loaded once per process."""
    scenario = _scenario(task.scenario, task.seed, task.wishes)
    try:
        case = scenario.case(task.index)
        if task.planner == LIVE:
            return Done(task, drive_live(scenario, case))
    except ScenarioError as error:
        return Done(task, None, skipped=str(error))
    controller = _controller(task.planner, task.scenario, task.seed, task.wishes, task.settings)
    outcome, trace = Episode(scenario, case, controller).run()
    wanted = task.keep_trace and outcome.ending != "success"
    return Done(task, outcome, "", trace, case) if wanted else Done(task, outcome)


def run_tasks(tasks: Sequence[Task], processes: int = 1, ray_address: str | None = None) -> Iterator[Done]:
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
        one_thread_only()
        yield from map(run_task, tasks)
    else:
        yield from spread(run_task, tasks, processes)
