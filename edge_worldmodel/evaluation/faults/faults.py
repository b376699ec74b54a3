"""`edge-worldmodel evaluate faults`: injects every fault of the matrix into the live graph and times the stop."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from edge_worldmodel.evaluation.faults import fault_figures
from edge_worldmodel.evaluation.faults.fault_figures import Jitter
from edge_worldmodel.evaluation.faults.fault_graph import FaultGraph, ObservedCommand
from edge_worldmodel.evaluation.faults.fault_matrix import (
    FAULTS,
    ExpectedEffect,
    FaultCase,
    select_cases,
    shuffled_rounds,
)
from edge_worldmodel.evaluation.faults.fault_result import InjectionResult, input_reasons
from edge_worldmodel.evaluation.faults.fault_trial import inject
from edge_worldmodel.evaluation.live.live_graph import LiveGraphError, share
from edge_worldmodel.evaluation.live.process_usage import read_usage
from edge_worldmodel.models.doctor import this_machine
from edge_worldmodel.models.inventory import commit, device_name

_START_S = 60.0
_LONGEST_PAUSE_S = 0.2
_UNDISTURBED_S = 10.0
_WRITE_EVERY = 20
_MAX_RESTARTS = 10
"""Restarts of a stuck graph after which the campaign gives up."""
_MAX_TRIES = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--json", type=Path, metavar="F", help="also write the report here, while it runs as well")
    parser.add_argument("--injections", type=int, default=1000, metavar="N", help="how many (default: %(default)s)")
    names = f"only these: {', '.join(FAULTS)}; or a single case: drop:scan"
    parser.add_argument("--faults", nargs="+", default=[], metavar="NAME", help=names)
    parser.add_argument("--seed", type=int, default=0, help="of order and times of the faults (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("out/faults"), help="results (default: %(default)s)")
    parser.add_argument("--resume", action="store_true", help="continue the campaign in --out")
    parser.add_argument("--backend", default="onnxruntime", help="network runtime (default: %(default)s)")
    parser.add_argument("--params-file", type=Path, help="parameters of all nodes (default: config/fault_course.yaml)")
    parser.add_argument("--verbose", action="store_true", help="print the nodes' logs instead of writing graph.log")


def run(options: argparse.Namespace) -> int:
    """Run the campaign; return 0 if every required stop came in time and there was no contact."""
    cases = select_cases(options.faults)
    folder = options.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    campaign = Campaign(options, cases, folder)
    try:
        campaign.run()
    except KeyboardInterrupt:
        print("\nfaults: interrupted; continue with --resume")
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
    """Runs the matrix round after round; every result is written to disk at once."""

    def __init__(self, options: argparse.Namespace, cases: list[FaultCase], folder: Path) -> None:
        self._options, self._cases, self._folder = options, cases, folder
        self._rng = np.random.default_rng(options.seed)
        self._file = folder / "outcomes.jsonl"
        self._results: list[InjectionResult] = []
        if options.resume and self._file.is_file():
            lines = self._file.read_text(encoding="utf-8").splitlines()
            self._results = [InjectionResult(**json.loads(line)) for line in lines]
        else:
            self._file.unlink(missing_ok=True)
        self._jitter, self._loaded_jitter = Jitter(), Jitter()
        self._current_jitter: Jitter | None = self._jitter
        self._undisturbed_reasons: list[str] = []
        self._restarts = 0
        self._cpu_share: dict[str, float] = {}
        self._begin_s = time.monotonic()

    def run(self) -> None:
        """Inject until there are enough results; restart the graph if it gets stuck.

        Raises:
            LiveGraphError: the graph got stuck too often.
        """
        queue = shuffled_rounds(self._cases, self._rng)
        while len(self._results) < self._options.injections:
            self._run_until_stuck(queue)

    def _run_until_stuck(self, queue: Any) -> None:
        try:
            with FaultGraph(self._arguments(), self._folder, self._options.verbose) as graph:
                self._run_graph(graph, queue)
        except LiveGraphError as error:
            self._restarts += 1
            print(f"faults: {error}; starting the graph again")
            if self._restarts > _MAX_RESTARTS:
                raise

    def _run_graph(self, graph: FaultGraph, queue: Any) -> None:
        graph.on_commands = self._count_jitter
        if not graph.wait(graph.is_driving, _START_S):
            last = graph.verdicts[-1][2] if graph.verdicts else "no verdict came"
            raise LiveGraphError(f"the robot did not start to drive within {_START_S:g} s: {last}")
        if not self._cpu_share:
            self._cpu_share = _cpu_share(graph)
        while len(self._results) < self._options.injections:
            case = next(queue)
            for _ in range(_MAX_TRIES):
                if self._try_case(case, graph):
                    break

    def _try_case(self, case: FaultCase, graph: FaultGraph) -> bool:
        """Inject one fault; return whether it counts, which it does not if the robot had stopped before."""
        pause_s = self._rng.uniform(0.0, _LONGEST_PAUSE_S)
        since_ns = graph.now_ns
        graph.wait(lambda: graph.now_ns - since_ns > pause_s * 1e9, 5.0)
        if not graph.wait(lambda: graph.is_driving(0.2), _START_S):
            raise LiveGraphError("the robot does not drive although no fault is active")
        reasons = input_reasons(graph.verdicts, since_ns, graph.now_ns)
        self._undisturbed_reasons.append(reasons[0] if reasons else "")
        self._current_jitter = self._loaded_jitter if case.how == "load" else self._jitter
        if case.target in ("safety_supervisor", "watchdog"):
            self._current_jitter = None
        try:
            result, observed = inject(case, graph)
        finally:
            self._jitter.interrupt()
            self._loaded_jitter.interrupt()
            self._current_jitter = self._jitter
        if result.valid:
            self._store(result)
        if result.missed:
            trace = self._folder / f"missed_{len(self._results)}.json"
            trace.write_text(
                json.dumps({**dataclasses.asdict(result), **dataclasses.asdict(observed)}), encoding="utf-8"
            )
        if not result.recovered:
            kept = self._folder / f"not_recovered_{len(self._results)}.log"
            shutil.copy(self._folder / "graph.log", kept)
            raise LiveGraphError(f"{case.name}: the robot did not drive again afterwards; see {kept}")
        return result.valid

    def _count_jitter(self, commands: list[ObservedCommand]) -> None:
        if self._current_jitter is not None:
            for command in commands:
                self._current_jitter.add(command.published_ns)

    def _store(self, result: InjectionResult) -> None:
        self._results.append(result)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(result)) + "\n")
        if result.missed or result.false_stop or result.contacts:
            print(f"\nfaults: {result}")
        elif sys.stdout.isatty():
            name = f"{result.fault}:{result.where}"
            print(f"\r  {len(self._results)}/{self._options.injections} {name:<50}", end="", flush=True)
        if len(self._results) % _WRITE_EVERY == 0:
            self.write(self.report())
            if not sys.stdout.isatty():
                print(f"  {len(self._results)}/{self._options.injections}", flush=True)

    def report(self) -> dict[str, Any]:
        """Return the report of all results so far."""
        results = self._results
        without_stop = [o for o in results if o.where in _cases_without_stop(self._cases).get(o.fault, ())]
        opportunities = len(without_stop) + len(self._undisturbed_reasons)
        false_stops = sum(o.false_stop for o in without_stop) + sum(map(bool, self._undisturbed_reasons))
        stopped = [o.stopped_s for o in results if o.stopped_s is not None]
        resumed = [o.resumed_s for o in results if o.resumed_s is not None]
        return {
            "faults": fault_figures.by_fault(results),
            "false_stop_rate": round(false_stops / opportunities, 5) if opportunities else None,
            "false_stops_in_calm": [reason for reason in self._undisturbed_reasons if reason],
            "chances_of_false_stop": opportunities,
            "tick_jitter_s": fault_figures.percentiles(self._jitter.errors_s, largest=False),
            "tick_jitter_loaded_s": fault_figures.percentiles(self._loaded_jitter.errors_s, largest=False),
            "stopped_s": fault_figures.percentiles(stopped),
            "lost_to_stopped_s": fault_figures.by_link(results),
            "resume_s": fault_figures.percentiles(resumed),
            "injections": len(results),
            "missed": sum(o.missed for o in results),
            "contacts": sum(o.contacts for o in results),
            "not_recovered": sum(not o.recovered for o in results),
            "graph_restarts": self._restarts,
            "cpu_share": self._cpu_share,
            "backend": self._options.backend,
            "machine": device_name(this_machine(lambda _: "")),
            "commit": commit(),
            "seed": self._options.seed,
            "command": " ".join(["edge-worldmodel", *sys.argv[1:]]),
            "duration_s": round(time.monotonic() - self._begin_s, 1),
        }

    def write(self, report: dict[str, Any]) -> None:
        """Write the report to the folder and, where given, to the file of --json."""
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


def _cases_without_stop(cases: list[FaultCase]) -> dict[str, set[str]]:
    places: dict[str, set[str]] = {}
    for case in cases:
        if case.expected is ExpectedEffect.GO_ON:
            places.setdefault(case.fault, set()).add(case.where)
    return places


def _cpu_share(graph: FaultGraph) -> dict[str, float]:
    """Return the share of one core that each node uses while the robot drives without faults."""
    pids = graph.graph.processes()
    before, begin_s = {name: read_usage(pid).cpu_s for name, pid in pids.items()}, time.monotonic()
    graph.wait(lambda: False, _UNDISTURBED_S)
    passed_s = time.monotonic() - begin_s
    return {name: round((read_usage(pid).cpu_s - before[name]) / passed_s, 4) for name, pid in pids.items()}
