"""Verb `evaluate tune`: random search over the settings of each baseline; every trial is recorded.

The budget is the same for every planner: the same number of trials, each with the same training episodes. The first
trial has the default settings. Our own planner is not tuned here.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_worldmodel.evaluation.arena.outcome import EpisodeOutcome
from edge_worldmodel.evaluation.arena.scenario import ScenarioOverrides, load_scenario
from edge_worldmodel.evaluation.arena.tasks import EpisodeTask, run_tasks
from edge_worldmodel.evaluation.controllers import NAMES, make_controller
from edge_worldmodel.evaluation.controllers.tuned import SCHEMA, TUNED
from edge_worldmodel.models.inventory import commit

TRAINING_SEED = 7_000
"""Far from the seeds of evaluations."""
SCENARIOS = ("crowd", "corridor", "crossing", "doorway")
_TIME_SHARE = 0.3

_MPPI: dict[str, tuple[Any, ...]] = {
    "temperature": (0.3, 0.1, 0.6),
    "speed_std_mps": (0.2, 0.1, 0.35),
    "turn_std_radps": (0.4, 0.3, 0.7),
    "cost_weight": (3.81, 2.0, 8.0),
    "cost_scaling": (3.0, 2.0, 6.0),
    "align_weight": (14.0, 5.0, 10.0),
    "follow_weight": (5.0, 10.0, 20.0),
}
_ORCA: dict[str, tuple[Any, ...]] = {
    "horizon_s": (3.0, 1.5, 5.0),
    "wall_horizon_s": (1.0, 0.5, 2.0),
    "margin_m": (0.08, 0.03, 0.15, 0.25),
    "lookahead_m": (1.0, 0.7, 1.5),
    "turn_gain_hz": (2.5, 1.5, 4.0),
}
SPACES: dict[str, dict[str, tuple[Any, ...]]] = {
    "dwa": {
        "heading_weight": (2.0, 0.8, 4.0),
        "clearance_weight": (0.2, 0.1, 0.5, 1.0),
        "speed_weight": (0.2, 0.1, 0.5, 1.0),
        "window_s": (0.25, 0.15, 0.5),
        "horizon_s": (2.5, 1.5, 4.0),
        "lookahead_m": (0.8, 0.6, 1.2, 1.8),
        "margin_m": (0.03, 0.06, 0.12),
    },
    "mppi_static": _MPPI,
    "mppi_cv": _MPPI,
    "dra_mppi": {
        **_MPPI,
        "risk_weight": (60.0, 15.0, 150.0),
        "risk_limit": (0.35, 0.15, 0.6),
        "velocity_std_mps": (0.25, 0.1, 0.4),
    },
    "orca": _ORCA,
    "orca_lidar": _ORCA,
    "pytorch_mppi": {
        "temperature": (0.3, 0.05, 1.0),
        "speed_std_mps": (0.2, 0.1, 0.4),
        "turn_std_radps": (0.5, 0.3, 0.9),
        "lookahead_m": (1.5, 1.0, 2.5),
        "near_weight": (3.0, 1.0, 10.0),
        "near_m": (0.4, 0.25, 0.7),
    },
}
"""Values to choose from, by planner and setting; the first is the default."""


@dataclass(frozen=True)
class Trial:
    """One choice of settings and its figures over all training episodes."""

    settings: Mapping[str, Any]
    utility: float
    success: float
    contact: float
    timeout: float
    time_s: float | None
    """Mean time of successful episodes; None without any."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument(
        "--planner", action="append", choices=[name for name in NAMES if name in SPACES],
        help="may be given several times (default: all but pytorch_mppi, which needs torch)",
    )  # fmt: skip
    parser.add_argument("--trials", type=int, default=12, metavar="N", help="per planner (default: %(default)s)")
    parser.add_argument(
        "--episodes", type=int, default=4, metavar="N", help="per trial and scenario (default: %(default)s)"
    )
    parser.add_argument("--scenario", action="append", metavar="S", help=f"(default: {' '.join(SCENARIOS)})")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="episodes side by side (default: 1)")
    parser.add_argument("--json", type=Path, default=Path(TUNED), metavar="F", help="(default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Search; the file keeps the trials of planners that are not searched now."""
    scenarios = tuple(options.scenario or SCENARIOS)
    budget = {"trials": options.trials, "episodes": options.episodes, "scenarios": list(scenarios)}
    planners = tuple(options.planner or (name for name in SPACES if name != "pytorch_mppi"))
    record = _read(options.json, budget)
    for planner in planners:
        for settings in draw(planner, options.trials)[len(_trials(record, planner)) :]:
            trial = _run_trial(planner, settings, scenarios, options.episodes, options.processes)
            _trials(record, planner).append(dict(vars(trial)))
            _store_best(record, planner)
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            print(f"{planner}: utility {trial.utility:.3f}, success {trial.success:.2f}, {dict(settings)}", flush=True)
    return 0


def draw(planner: str, trials: int) -> list[dict[str, Any]]:
    """Return the settings of every trial, the defaults first; more trials only add to the list."""
    rng = np.random.default_rng([TRAINING_SEED, zlib.crc32(planner.encode())])
    space = SPACES[planner]
    drawn = [{name: values[0] for name, values in space.items()}]
    while len(drawn) < trials:
        drawn.append({name: values[rng.integers(len(values))] for name, values in space.items()})
    return drawn[:trials]


def utility(outcome: EpisodeOutcome, time_limit_s: float) -> float:
    """Return the utility of an episode: 1 to 0.7 for a success, by its time; 0 for a timeout, -1 for a contact."""
    if outcome.ending == "success":
        return 1.0 - _TIME_SHARE * min(outcome.time_s / time_limit_s, 1.0)
    return -1.0 if outcome.ending == "contact" else 0.0


def _run_trial(
    planner: str, settings: Mapping[str, Any], scenarios: Sequence[str], episodes: int, processes: int
) -> Trial:
    limits_s = {name: load_scenario(name, TRAINING_SEED).time_limit_s for name in scenarios}
    first = load_scenario(scenarios[0], TRAINING_SEED)
    make_controller(
        planner, first.robot, first.max_speed_mps, settings
    )  # reports a wrong setting before any episode runs
    pairs = tuple(sorted(settings.items()))
    tasks = [
        EpisodeTask(name, TRAINING_SEED, ScenarioOverrides(), planner, index, pairs)
        for name in scenarios
        for index in range(episodes)
    ]
    outcomes = [(done.task.scenario, done.outcome) for done in run_tasks(tasks, processes) if done.outcome is not None]
    # Results come in any order; sorting keeps the rounding of sums the same.
    utilities = sorted(utility(outcome, limits_s[name]) for name, outcome in outcomes)
    share = {e: sum(o.ending == e for _, o in outcomes) / len(outcomes) for e in ("success", "contact", "timeout")}
    times_s = sorted(outcome.time_s for _, outcome in outcomes if outcome.ending == "success")
    mean_s = round(float(np.mean(times_s)), 2) if times_s else None
    return Trial(dict(settings), round(float(np.mean(utilities)), 4), **share, time_s=mean_s)


def _read(path: Path, budget: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record to continue; a record of another budget is not continued, because planners must share one."""
    fresh = {"schema": SCHEMA, "seed": TRAINING_SEED, "budget": dict(budget), "commit": commit(), "planners": {}}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return fresh
    same = isinstance(record, dict) and all(record.get(key) == fresh[key] for key in ("schema", "seed", "budget"))
    return record if same else fresh


def _trials(record: dict[str, Any], planner: str) -> list[dict[str, Any]]:
    entry = record["planners"].setdefault(planner, {"settings": {}, "trials": []})
    trials: list[dict[str, Any]] = entry["trials"]
    return trials


def _store_best(record: dict[str, Any], planner: str) -> None:
    """Store the settings of the best trial; the earlier one on a tie, so that the defaults win ties."""
    trials = _trials(record, planner)
    best = max(trials, key=lambda trial: trial["utility"])
    record["planners"][planner]["settings"] = best["settings"]
