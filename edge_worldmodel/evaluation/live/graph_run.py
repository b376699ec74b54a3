"""One measured run of the live graph in the simulator: the nodes as users run them, with their span records on.

It has a ROS domain of its own, whatever the caller's: its commands must never reach a robot that happens to be there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from edge_worldmodel.core.time_units import to_seconds
from edge_worldmodel.evaluation.bench.span_log import Journey, NodeLog, journeys, read_logs
from edge_worldmodel.evaluation.live.live_graph import LiveGraph, LiveGraphError, claim_domain, share
from edge_worldmodel.evaluation.live.process_usage import UsageHistory
from edge_worldmodel.evaluation.live.run_report import complaints

SPANS = "EDGE_WORLDMODEL_SPANS"
"""As in nodes/spans.py, which only processes with ROS import."""
ROBOT_NODES = ("perception", "latent_cache", "rollout_planner", "safety_supervisor")
_LOOK_S = 0.5
_START_LIMIT_S = 60.0
_SETTLE_S = 1.0


@dataclass(frozen=True)
class GraphWish:
    """What to run.

    ``rate_hz`` is of the scanner, and as many frames a second are planned on; ``warm`` False leaves the latent cache
    out, so that every future is denoised from noise.
    """

    rate_hz: float = 10.0
    warm: bool = True
    seconds: float = 15.0
    world: str = "demo_room"
    seed: int = 0
    backend: str = "onnxruntime"
    robot: str = "generic"


@dataclass(frozen=True)
class GraphRun:
    """What one run showed; times in ns are CLOCK_MONOTONIC, ``began_ns`` is when counting began."""

    wish: GraphWish
    logs: Mapping[str, NodeLog]
    usage: Mapping[str, UsageHistory]
    launched_ns: int
    began_ns: int
    ended_ns: int

    def journeys(self) -> list[Journey]:
        """Return the frames that came through while it counted."""
        return journeys(self.logs, self.began_ns)

    def scans(self) -> int:
        """Return the number of scans while it counted, but for the last moment, whose frames are on their way."""
        until_ns = self.ended_ns - 1_000_000_000
        return sum(self.began_ns <= mark.at_ns < until_ns for mark in self.logs["sim"].first("scan").values())

    def first_plan_s(self) -> tuple[float, float]:
        """Return the seconds to the first plan, from the start of the robot's first process, and from launch."""
        plan_ns = min(mark.at_ns for mark in self.logs["rollout_planner"].marks if mark.name == "plan")
        started_ns = min(self.logs[node].process_began_ns for node in ROBOT_NODES if node in self.logs)
        return (plan_ns - started_ns) * 1e-9, (plan_ns - self.launched_ns) * 1e-9


def run_graph(wish: GraphWish, folder: Path, verbose: bool = False) -> GraphRun:
    """Start the graph, let it drive, end it and read what its nodes recorded.

    Raises:
        LiveGraphError: it could not be started, or no command came.
        SpanLogError: a node left no record.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _clean(folder, "*.spans.json", "*.seen")
    parameters = folder / "params.yaml"
    parameters.write_text(yaml.safe_dump(parameters_of(wish, share() / "config" / "params.yaml")), encoding="utf-8")
    arguments = {
        "world": wish.world, "seed": str(wish.seed), "robot": wish.robot, "backend": wish.backend,
        "params_file": str(parameters), "record": "", "without": "" if wish.warm else "latent_cache",
    }  # fmt: skip
    claim, domain = claim_domain()
    environment = {SPANS: str(folder.resolve()), "ROS_DOMAIN_ID": str(domain)}
    graph = LiveGraph("demo.launch.py", arguments, folder, verbose=verbose, environment=environment)
    launched_ns = time.monotonic_ns()
    with claim, graph:
        began_ns = _await_command(graph, folder)
        usage = _watch(graph, launched_ns, wish.seconds)
        ended_ns = time.monotonic_ns()
    _clean(folder, "*.seen")
    return GraphRun(wish, read_logs(folder), usage, launched_ns, began_ns, ended_ns)


def _clean(folder: Path, *patterns: str) -> None:
    for pattern in patterns:
        for old in folder.glob(pattern):
            old.unlink()


def parameters_of(wish: GraphWish, shipped: Path) -> dict[str, Any]:
    """Return the shipped parameters with what follows from the rate, and without waiting where there is no cache."""
    parameters: dict[str, Any] = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    changes: dict[str, dict[str, Any]] = {
        "/**/sim": {"scan_rate_hz": wish.rate_hz},
        "/**/perception": {"max_rate_hz": wish.rate_hz},
        "/**/rollout_planner": {"control_period_s": 1.0 / wish.rate_hz},
    }
    if not wish.warm:
        changes["/**/rollout_planner"]["warm_start_wait_s"] = 0.0
    for node, values in changes.items():
        parameters.setdefault(node, {}).setdefault("ros__parameters", {}).update(values)
    return parameters


def _await_command(graph: LiveGraph, folder: Path) -> int:
    """Wait until a plan has become a command, and a moment longer; return when that was."""
    deadline_s = time.monotonic() + _START_LIMIT_S
    while not (folder / "safety_supervisor.plan.seen").exists():
        if not graph.running() or time.monotonic() > deadline_s:
            raise LiveGraphError(f"the graph made no plan within {_START_LIMIT_S:g} s; {complaints(folder)}")
        time.sleep(0.05)
    time.sleep(_SETTLE_S)
    return time.monotonic_ns()


def _watch(graph: LiveGraph, launched_ns: int, seconds: float) -> dict[str, UsageHistory]:
    """Read the nodes' memory and processor time until the time is up."""
    usage: dict[str, UsageHistory] = {}
    end_s = time.monotonic() + seconds
    while graph.running():
        for node, pid in graph.processes().items():
            usage.setdefault(node, UsageHistory()).add(pid, to_seconds(time.monotonic_ns() - launched_ns))
        left_s = end_s - time.monotonic()
        if left_s <= 0.0:
            return usage
        time.sleep(min(_LOOK_S, left_s))
    raise LiveGraphError(f"the graph ended by itself; {complaints(graph.folder)}")
