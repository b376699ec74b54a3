"""Verb `evaluate faults`: breaks the running graph in every way we know and times the stop."""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from edge_worldmodel.evaluation.faults import fault_figures
from edge_worldmodel.evaluation.faults.fault_figures import Jitter
from edge_worldmodel.evaluation.faults.fault_graph import Command, FaultGraph
from edge_worldmodel.evaluation.faults.fault_matrix import FAULTS, Case, Expected, chosen, rounds
from edge_worldmodel.evaluation.faults.fault_outcome import Outcome, input_reasons
from edge_worldmodel.evaluation.faults.fault_trial import inject
from edge_worldmodel.evaluation.live.live_graph import LiveGraphError, share
from edge_worldmodel.evaluation.live.process_usage import read_usage
from edge_worldmodel.models.inventory import commit

_START_S = 60.0
_MOST_CALM_S = 0.2
_UNDISTURBED_S = 10.0
_WRITE_EVERY = 20
_MOST_RESTARTS = 10
_MOST_TRIES = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--json", type=Path, metavar="F", help="write the figures here, too (also while it runs)")
    parser.add_argument("--injections", type=int, default=1000, metavar="N", help="default: %(default)s")
    names = f"only these: {', '.join(FAULTS)}; or one case of them: drop:scan"
    parser.add_argument("--faults", nargs="+", default=[], metavar="NAME", help=names)
    parser.add_argument("--seed", type=int, default=0, help="order and moments of the faults (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("out/faults"), help="results (default: %(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on with the outcomes that are in --out already")
    parser.add_argument("--backend", default="onnxruntime", help="network runtime (default: %(default)s)")
    parser.add_argument("--params-file", type=Path, help="parameters, instead of config/fault_course.yaml")
    parser.add_argument("--verbose", action="store_true", help="show what the nodes say; else it is in graph.log")


def run(options: argparse.Namespace) -> int:
    """Run the campaign; 0 when no fault was missed and nothing was touched."""
    cases = chosen(options.faults)
    folder = options.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    campaign = Campaign(options, cases, folder)
    try:
        campaign.run()
    except KeyboardInterrupt:
        print("\nfaults: interrupted; go on with --resume")
    report = campaign.report()
    campaign.write(report)
    print(fault_figures.table(report))
    jitter = report["tick_jitter_s"]
    print(
        f"\n{report['injections']} injections, missed {report['missed']}, contacts {report['contacts']},"
        f" false stop rate {report['false_stop_rate']}, tick jitter p99.9 {jitter['p999']} s"
    )
    good = report["injections"] >= options.injections and report["missed"] == report["contacts"] == 0
    return 0 if good else 1


class Campaign:
    """Goes through the matrix again and again; what is known so far is always on disk."""

    def __init__(self, options: argparse.Namespace, cases: list[Case], folder: Path) -> None:
        self._options, self._cases, self._folder = options, cases, folder
        self._rng = np.random.default_rng(options.seed)
        self._file = folder / "outcomes.jsonl"
        self._outcomes: list[Outcome] = []
        if options.resume and self._file.is_file():
            lines = self._file.read_text(encoding="utf-8").splitlines()
            self._outcomes = [Outcome(**json.loads(line)) for line in lines]
        else:
            self._file.unlink(missing_ok=True)
        self._jitter, self._loaded_jitter = Jitter(), Jitter()
        self._listening: Jitter | None = self._jitter
        self._calm: list[str] = []
        self._restarts = 0
        self._cpu_share: dict[str, float] = {}
        self._begin_s = time.monotonic()

    def run(self) -> None:
        """Inject until there are enough, with a new graph where one got stuck.

        Raises:
            LiveGraphError: the graph got stuck too often.
        """
        queue = rounds(self._cases, self._rng)
        while len(self._outcomes) < self._options.injections:
            self._run_until_stuck(queue)

    def _run_until_stuck(self, queue: Any) -> None:
        try:
            with FaultGraph(self._arguments(), self._folder, self._options.verbose) as graph:
                self._run_graph(graph, queue)
        except LiveGraphError as error:
            self._restarts += 1
            print(f"faults: {error}; starting the graph again")
            if self._restarts > _MOST_RESTARTS:
                raise

    def _run_graph(self, graph: FaultGraph, queue: Any) -> None:
        graph.heard = self._hear
        if not graph.wait(graph.drives, _START_S):
            last = graph.verdicts[-1][2] if graph.verdicts else "the supervisor says nothing"
            raise LiveGraphError(f"the robot did not begin to drive within {_START_S:g} s: {last}")
        if not self._cpu_share:
            self._cpu_share = _cpu_share(graph)
        while len(self._outcomes) < self._options.injections:
            case = next(queue)
            for _ in range(_MOST_TRIES):
                if self._trial(case, graph):
                    break

    def _trial(self, case: Case, graph: FaultGraph) -> bool:
        """Inject one fault; return whether it counts: not when the robot stood at that moment for another reason."""
        calm_s = self._rng.uniform(0.0, _MOST_CALM_S)
        since_ns = graph.now_ns
        graph.wait(lambda: graph.now_ns - since_ns > calm_s * 1e9, 5.0)
        if not graph.wait(lambda: graph.drives(0.2), _START_S):
            raise LiveGraphError("the robot does not drive although nothing is broken")
        reasons = input_reasons(graph.verdicts, since_ns, graph.now_ns)
        self._calm.append(reasons[0] if reasons else "")
        self._listening = self._loaded_jitter if case.how == "load" else self._jitter
        if case.target == "safety_supervisor":
            self._listening = None
        try:
            outcome, heard = inject(case, graph)
        finally:
            self._jitter.interrupt()
            self._loaded_jitter.interrupt()
            self._listening = self._jitter
        if outcome.valid:
            self._keep(outcome)
        if outcome.missed:
            trace = self._folder / f"missed_{len(self._outcomes)}.json"
            trace.write_text(json.dumps({**dataclasses.asdict(outcome), **dataclasses.asdict(heard)}), encoding="utf-8")
        if not outcome.recovered:
            kept = self._folder / f"not_recovered_{len(self._outcomes)}.log"
            shutil.copy(self._folder / "graph.log", kept)
            raise LiveGraphError(f"{case.name}: the robot did not drive again; see {kept}")
        return outcome.valid

    def _hear(self, commands: list[Command]) -> None:
        if self._listening is not None:
            for command in commands:
                self._listening.add(command.published_ns)

    def _keep(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(outcome)) + "\n")
        if outcome.missed or outcome.false_stop or outcome.contacts:
            print(f"\nfaults: {outcome}")
        elif sys.stdout.isatty():
            name = f"{outcome.fault}:{outcome.where}"
            print(f"\r  {len(self._outcomes)}/{self._options.injections} {name:<50}", end="", flush=True)
        if len(self._outcomes) % _WRITE_EVERY == 0:
            self.write(self.report())
            if not sys.stdout.isatty():
                print(f"  {len(self._outcomes)}/{self._options.injections}", flush=True)

    def report(self) -> dict[str, Any]:
        """Return everything known so far."""
        outcomes = self._outcomes
        going_on = [o for o in outcomes if o.where in _going_on(self._cases).get(o.fault, ())]
        chances = len(going_on) + len(self._calm)
        false_stops = sum(o.false_stop for o in going_on) + sum(map(bool, self._calm))
        stopped = [o.stopped_s for o in outcomes if o.stopped_s is not None]
        resumed = [o.resumed_s for o in outcomes if o.resumed_s is not None]
        return {
            "faults": fault_figures.by_fault(outcomes),
            "false_stop_rate": round(false_stops / chances, 5) if chances else None,
            "false_stops_in_calm": [reason for reason in self._calm if reason],
            "chances_of_false_stop": chances,
            "tick_jitter_s": fault_figures.percentiles(self._jitter.errors_s, largest=False),
            "tick_jitter_loaded_s": fault_figures.percentiles(self._loaded_jitter.errors_s, largest=False),
            "stopped_s": fault_figures.percentiles(stopped),
            "lost_to_stopped_s": fault_figures.by_link(outcomes),
            "resume_s": fault_figures.percentiles(resumed),
            "injections": len(outcomes),
            "missed": sum(o.missed for o in outcomes),
            "contacts": sum(o.contacts for o in outcomes),
            "not_recovered": sum(not o.recovered for o in outcomes),
            "graph_restarts": self._restarts,
            "cpu_share": self._cpu_share,
            "backend": self._options.backend,
            "machine": _machine(),
            "commit": commit(),
            "seed": self._options.seed,
            "command": " ".join(["edge-worldmodel", *sys.argv[1:]]),
            "duration_s": round(time.monotonic() - self._begin_s, 1),
        }

    def write(self, report: dict[str, Any]) -> None:
        """Write the report to the folder and to where the user wants it."""
        text = json.dumps(report, indent=2) + "\n"
        for path in filter(None, (self._folder / "faults.json", self._options.json)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def _arguments(self) -> dict[str, str]:
        params = self._options.params_file or share() / "config" / "fault_course.yaml"
        return {
            "world": "fault_course",
            "seed": str(self._options.seed),
            "backend": self._options.backend,
            "params_file": str(params.resolve()),
        }


def _going_on(cases: list[Case]) -> dict[str, set[str]]:
    places: dict[str, set[str]] = {}
    for case in cases:
        if case.expected is Expected.GO_ON:
            places.setdefault(case.fault, set()).add(case.where)
    return places


def _cpu_share(graph: FaultGraph) -> dict[str, float]:
    """Return the share of one core that each node uses while the robot drives undisturbed."""
    pids = graph.graph.processes()
    before, begin_s = {name: read_usage(pid).cpu_s for name, pid in pids.items()}, time.monotonic()
    graph.wait(lambda: False, _UNDISTURBED_S)
    passed_s = time.monotonic() - begin_s
    return {name: round((read_usage(pid).cpu_s - before[name]) / passed_s, 4) for name, pid in pids.items()}


def _machine() -> dict[str, Any]:
    names = [line.partition(":")[2].strip() for line in _cpu_lines() if line.startswith("model name")]
    return {"cpu": names[0] if names else platform.processor(), "cores": len(names), "system": platform.platform()}


def _cpu_lines() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
