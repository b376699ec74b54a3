"""Verb `evaluate closed-loop`: planners drive the episodes of scenarios; writes figures with intervals as JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from edge_worldmodel.evaluation.arena.forms import Form, load_form
from edge_worldmodel.evaluation.arena.journal import Journal, code_digest, episode_key
from edge_worldmodel.evaluation.arena.live_episode import LIVE
from edge_worldmodel.evaluation.arena.outcome import EpisodeOutcome
from edge_worldmodel.evaluation.arena.results import failures
from edge_worldmodel.evaluation.arena.results.pairs import compare
from edge_worldmodel.evaluation.arena.results.statistics import plain, summarize
from edge_worldmodel.evaluation.arena.scenario import Scenario, ScenarioOverrides, built_in_scenarios, load_scenario
from edge_worldmodel.evaluation.arena.source import ScenarioError, Skipped
from edge_worldmodel.evaluation.arena.tasks import EpisodeTask, run_tasks
from edge_worldmodel.evaluation.controllers import CLAIRVOYANT, NAMES, make_controller, tuned_settings
from edge_worldmodel.models.doctor import this_machine
from edge_worldmodel.models.inventory import commit, committed, device_name

SCHEMA = 1
_DEFAULT_EPISODES = 100
_DEFAULT_JSON, _HISTORY = Path("out/arena.json"), Path("out/history")
_LOG_PERIOD_S = 60.0
"""How often progress is written where nobody watches a terminal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument(
        "--scenario", action="append", default=[], metavar="S",
        help=f"scenario file, or one of {' '.join(built_in_scenarios())}; may be given several times",
    )  # fmt: skip
    parser.add_argument("--planner", action="append", default=[], choices=NAMES, help="may be given several times")
    form = parser.add_mutually_exclusive_group()
    for name, text in (("short", "about 20 minutes on two cores"), ("tiny", "about 90 seconds")):
        form.add_argument(
            f"--{name}", dest="form", action="store_const", const=name, default="",
            help=f"the fixed scenarios, seed, episodes and planners of worlds/forms/{name}.yaml: {text}",
        )  # fmt: skip
    parser.add_argument(
        "--episodes", type=int, metavar="N", help=f"per planner and scenario (default: {_DEFAULT_EPISODES})"
    )
    parser.add_argument("--seed", type=int, metavar="K", help="seed of all randomness (default: 0)")
    parser.add_argument(
        "--json", type=Path, metavar="F",
        help=f"(default: {_DEFAULT_JSON}; of a form, one file for each commit in {_HISTORY})",
    )  # fmt: skip
    parser.add_argument(
        "--worlds",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="BARN .npz, DynaBARN .json, or a folder of them",
    )
    parser.add_argument("--tracks", type=Path, metavar="DIR", help="recorded tracks in ETH/UCY format")
    parser.add_argument(
        "--people", type=int, nargs=2, metavar=("MIN", "MAX"), help="number of people, where the scenario draws it"
    )
    parser.add_argument("--max-speed", type=float, metavar="MPS", help="speed cap of all planners")
    parser.add_argument("--time-limit", type=float, metavar="S", help="time limit of an episode")
    parser.add_argument(
        "--set", action="append", default=[], metavar="PLANNER.NAME=VALUE", type=setting,
        help="set a value of a planner's configuration; may be given several times",
    )  # fmt: skip
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="episodes at a time (default: 1)")
    parser.add_argument(
        "--ray", nargs="?", const="local", metavar="ADDRESS",
        help="use Ray: a cluster of --processes workers on this machine, or the one at ADDRESS",
    )  # fmt: skip
    parser.add_argument(
        "--live", action="store_true",
        help=f"also drive ours through the live ROS graph, in real time; its figures are called {LIVE}",
    )  # fmt: skip
    parser.add_argument(
        "--without-clairvoyant", action="store_true",
        help="leave out the row of the search that knows the future; regret is measured all the same",
    )  # fmt: skip
    parser.add_argument(
        "--finished-only", action="store_true", help="drive nothing; only write the figures of finished episodes"
    )
    parser.add_argument("--fresh", action="store_true", help="drive all episodes again, also those that are finished")
    parser.add_argument(
        "--keep-failures", type=int, default=3, metavar="N",
        help="failures to record as MCAP and animation, per planner and scenario (default: %(default)s)",
    )  # fmt: skip


def setting(text: str) -> tuple[str, str, Any]:
    """Return planner, name and value of a text PLANNER.NAME=VALUE.

    Raises:
        argparse.ArgumentTypeError: the text has another form, or the planner does not exist.
    """
    name, equals, value = text.partition("=")
    planner, dot, key = name.partition(".")
    if not (equals and dot and key) or planner not in NAMES:
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected PLANNER.NAME=VALUE, the planner one of {', '.join(NAMES)}"
        )
    return planner, key, yaml.safe_load(value)


def _settings(planner: str, options: argparse.Namespace) -> tuple[tuple[str, Any], ...] | None:
    """Return the settings of a planner's tasks; None means the tuned settings without changes."""
    chosen = {key: value for name, key, value in options.set if name == planner}
    return tuple(sorted({**tuned_settings(planner), **chosen}.items())) if chosen else None


@dataclass(frozen=True)
class RunPlan:
    """All episodes of a run: what was asked for, usable scenarios, key and task of every episode, skipped inputs."""

    form: Form
    scenarios: Mapping[str, Scenario]
    episodes: Sequence[tuple[str, EpisodeTask]]
    skipped: Sequence[Skipped]


def run(options: argparse.Namespace) -> int:
    """Drive all episodes; return 0 if all were driven, 1 if something was skipped or a planner failed."""
    options.json = options.json or _json_path(options.form)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    plan = make_plan(options)
    path = options.json.with_suffix(".episodes.jsonl")
    if options.fresh:
        path.unlink(missing_ok=True)
    journal = Journal(path)
    begin_s, missing = time.monotonic(), len(journal.missing(plan.episodes))
    keeper = failures.FailureKeeper(options, journal)
    interrupted = _drive(plan, journal, keeper, options)
    report = summary(plan, journal, options)
    report["wall_s"] = round(time.monotonic() - begin_s, 1)
    report["driven"] = missing - len(journal.missing(plan.episodes))
    options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    kept = 0 if interrupted else keeper.complete(plan.episodes)
    _print_summary(report, options.json, kept)
    broken = any(figures["error"] for planners in report["results"].values() for figures in planners.values())
    return 1 if report["skipped"] or report["unfinished"] or broken else 0


def make_plan(options: argparse.Namespace) -> RunPlan:
    """Load every scenario; unusable ones are reported and skipped.

    Raises:
        ControllerError: a planner cannot be made.
        ScenarioError: options contradict each other, or a number is too small.
    """
    if options.processes < 1:
        raise ScenarioError(f"--processes {options.processes}: expected at least 1")
    overrides = ScenarioOverrides(
        tuple(options.worlds), options.tracks, tuple(options.people) if options.people else None,
        options.max_speed, options.time_limit,
    )  # fmt: skip
    form = _form(options, overrides)
    scenarios: dict[str, Scenario] = {}
    episodes, skipped = [], []
    for name, indices in form.episodes.items():
        try:
            scenario = load_scenario(name, form.seed, overrides)
        except ScenarioError as error:
            skipped.append(Skipped(f"scenario {name}", str(error)))
            continue
        skipped += [replace(entry, subject=f"scenario {name}: {entry.subject}") for entry in scenario.source.skipped]
        scenarios[name] = scenario
        for planner in dict.fromkeys([*form.planners, *_also(options)]):
            # So that a wrong setting is reported before any episode runs; the live graph checks its settings itself.
            settings = _settings(planner, options)
            changed = None if settings is None else dict(settings)
            make_controller("ours" if planner == LIVE else planner, scenario.robot, scenario.max_speed_mps, changed)
            tasks = [EpisodeTask(name, form.seed, overrides, planner, index, settings) for index in indices]
            episodes += [(episode_key(task, scenario.digest), task) for task in tasks]
    for entry in skipped:
        print(f"skipped: {entry.subject}: {entry.reason}", file=sys.stderr)
    return RunPlan(form, scenarios, episodes, skipped)


def _form(options: argparse.Namespace, overrides: ScenarioOverrides) -> Form:
    """Return the episodes of the form, or those that the options name."""
    if options.form:
        others = ("scenario", "episodes", "seed", "people", "max_speed", "time_limit")
        given = [f"--{name.replace('_', '-')}" for name in others if getattr(options, name) not in (None, [])]
        if given:
            raise ScenarioError(f"--{options.form} fixes scenarios, seed and episodes: leave out {', '.join(given)}")
        form = load_form(options.form, overrides)
        return replace(form, planners=options.planner) if options.planner else form
    if not options.scenario or not options.planner:
        raise ScenarioError("give --scenario and --planner, or one of --short and --tiny")
    count = _DEFAULT_EPISODES if options.episodes is None else options.episodes
    if count < 1:
        raise ScenarioError(f"--episodes {count}: expected at least 1")
    return Form("", options.seed or 0, options.planner, dict.fromkeys(options.scenario, range(count)))


def _json_path(form: str) -> Path:
    """Return the default place of the results; those of a form are kept for each commit."""
    if not form:
        return _DEFAULT_JSON
    revision, _, changed = commit().partition("-")
    return _HISTORY / f"{form}-{revision[:12] or 'unknown'}{'-dirty' * bool(changed)}.json"


def _also(options: argparse.Namespace) -> list[str]:
    """Return the planners of every table."""
    return [*([] if options.without_clairvoyant else [CLAIRVOYANT]), *([LIVE] if options.live else [])]


def _drive(plan: RunPlan, journal: Journal, keeper: failures.FailureKeeper, options: argparse.Namespace) -> bool:
    """Drive the missing episodes; return whether the user interrupted the run."""
    missing = journal.missing(plan.episodes)
    done = len(plan.episodes) - len(missing)
    if done or journal.damaged:
        print(
            f"closed-loop: {done} episodes are finished already, {journal.damaged} damaged lines will be driven again"
        )
    # Planners take turns, so that an interrupted run compares the same episodes.
    missing.sort(key=lambda entry: entry[1].index)
    keys = {replace(task, keep_trace=options.keep_failures > 0): key for key, task in missing}
    if options.finished_only:
        return False
    # Live episodes run alone: the graph needs all processors to keep real time.
    live, fast = ([task for task in keys if (task.planner == LIVE) == wanted] for wanted in (True, False))
    results = chain(run_tasks(fast, options.processes, options.ray), run_tasks(live))
    watched = sys.stderr.isatty()
    # The time left is that of the mean episode so far: planners differ much, but take turns.
    bar = tqdm(total=len(missing), unit="episode", smoothing=0.0, mininterval=0.1 if watched else _LOG_PERIOD_S)
    try:
        for result in results:
            journal.add(keys[result.task], result)
            keeper.add(keys[result.task], result)
            ending = result.outcome.ending if result.outcome else "skipped"
            bar.set_postfix_str(f"{result.task.planner} on {Path(result.task.scenario).stem}: {ending}", refresh=False)
            bar.update()
    except KeyboardInterrupt:
        print("closed-loop: interrupted; the figures are those so far, the same command continues", file=sys.stderr)
        return True
    finally:
        bar.close()
    return False


def summary(plan: RunPlan, journal: Journal, options: argparse.Namespace) -> dict[str, Any]:
    """Return the result file: settings, figures of each planner on each scenario, and every episode."""
    results: dict[str, dict[str, Any]] = {}
    rows: list[dict[str, Any]] = []
    skipped, unfinished = list(plan.skipped), 0
    outcomes: dict[tuple[str, str], dict[int, EpisodeOutcome]] = {}
    for key, task in plan.episodes:
        name = plan.scenarios[task.scenario].name
        if key not in journal:
            unfinished += 1
            continue
        outcome, reason = journal.get(key)
        if outcome is None:
            skipped.append(Skipped(f"scenario {name}: episode {task.index} of {task.planner}", reason))
            continue
        outcomes.setdefault((name, task.planner), {})[task.index] = outcome
        plain_outcome = {
            k: v for k, v in outcome.to_json().items() if k not in ("tick_bins", "cpu_s", "simulator_s", "risk_counts")
        }
        rows.append({"scenario": name, "planner": task.planner, "index": task.index, **plain_outcome})
    for (name, planner), by_index in outcomes.items():
        results.setdefault(name, {})[planner] = summarize(list(by_index.values()))
    return {
        "schema": SCHEMA,
        "kind": "closed_loop",
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "committed": committed(),
        "code": code_digest(),
        "machine": _machine(),
        "form": plan.form.name,
        "seed": plan.form.seed,
        "episodes": max(map(len, plan.form.episodes.values())),
        "unfinished": unfinished,
        "processes": options.processes,
        "settings": {f"{planner}.{key}": value for planner, key, value in options.set},
        "scenarios": {s.name: _scenario_details(s) for s in plan.scenarios.values()},
        "results": results,
        "differences": plain(_differences(outcomes)),
        "skipped": [{"what": entry.subject, "why": entry.reason} for entry in skipped],
        "episode_list": rows,
    }


def _machine() -> str:
    """Return the processor, its cores and the instruction sets on which the time of a tick depends."""
    found = this_machine(lambda _: "")
    return ", ".join([device_name(found), *found.cpu_features])


def _scenario_details(scenario: Scenario) -> dict[str, Any]:
    return {
        "about": scenario.about, "robot": scenario.robot.name, "max_speed_mps": scenario.max_speed_mps,
        "time_limit_s": scenario.time_limit_s, "goal_tolerance_m": scenario.goal_tolerance_m, "digest": scenario.digest,
        "observe_s": scenario.observe_s, "clear_s": scenario.clear_s, "solvable": scenario.solvable,
    }  # fmt: skip


def _differences(outcomes: Mapping[tuple[str, str], Mapping[int, EpisodeOutcome]]) -> dict[str, Any]:
    """Return the comparison of `ours` with each other planner on the same episodes, see ``Comparison``."""
    found: dict[str, Any] = {}
    for (scenario, planner), theirs in outcomes.items():
        ours = outcomes.get((scenario, "ours"))
        comparison = compare(ours, theirs) if ours is not None and planner != "ours" else None
        if comparison is not None:
            found.setdefault(scenario, {})[planner] = dataclasses.asdict(comparison)
    return found


def _redrawn(planners: Mapping[str, Any]) -> str:
    """Return the share of drawn worlds without a contact-free drive, if there were any."""
    share = max((figures["unsolved_draws"] or 0.0 for figures in planners.values()), default=0.0)
    return f" {share:.0%} of the worlds had no contact-free drive and were drawn again" if share else ""


def _print_summary(report: Mapping[str, Any], path: Path, kept: int) -> None:
    for name, planners in report["results"].items():
        print(f"{name}:{_redrawn(planners)}")
        for planner, figures in planners.items():
            low, high = figures["ci95"]["success"]
            tick_ms = [1e3 * (figures["tick_s"][p] or 0.0) for p in ("p50", "p99")]
            print(
                f"  {planner:13} success {figures['success']:.2f} [{low:.2f}, {high:.2f}]  contact"
                f" {figures['contact']:.2f}  timeout {figures['timeout']:.2f}  time {figures['time_s'] or 0:.1f} s"
                f"  regret {figures['regret_s'] or 0:.1f} s  score {figures['score']:.3f}"
                f"  tick {tick_ms[0]:.1f} / {tick_ms[1]:.1f} ms"
                f"  {figures['episodes']} episodes"
            )
            if figures["error"]:
                print(f"  {planner:13} failed in {figures['error']:.0%} of the episodes, see {path}")
    if report["unfinished"]:
        print(f"unfinished: {report['unfinished']} episodes; the same command continues")
    if report["skipped"]:
        print(f"skipped: {len(report['skipped'])}, named in {path}")
    print(f"closed-loop: {path}, {kept} failures recorded; edge-worldmodel report {path}")
