"""One measured run of the live graph in the simulator, with span records switched on.

It always uses a ROS domain of its own, so that its commands cannot reach a real robot.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from edge_worldmodel.core.time_units import to_seconds
from edge_worldmodel.evaluation.bench.span_log import FrameLatency, NodeLog, frame_latencies, read_logs
from edge_worldmodel.evaluation.live.live_graph import (
    LiveGraph,
    LiveGraphError,
    changed_parameters,
    claim_domain,
    share,
)
from edge_worldmodel.evaluation.live.process_usage import UsageHistory
from edge_worldmodel.evaluation.live.run_report import first_errors

SPANS = "EDGE_WORLDMODEL_SPANS"
"""Environment variable of nodes/ros/spans.py, which only nodes import."""
ROBOT_NODES = ("perception", "latent_cache", "rollout_planner", "safety_supervisor")
_READING_PERIOD_S = 0.5
_START_LIMIT_S = 60.0
_SETTLE_S = 1.0
"""Time after the first plan that is not counted, because starting still loads the machine."""


@dataclass(frozen=True)
class GraphSetup:
    """Settings of a run.

    Attributes:
        rate_hz: rate of the scanner and of planning.
        warm: whether the latent cache is started; without it every future is denoised from noise.
        seconds: duration of driving, from the first command.
        world: world file, or the name of a shipped one.
        seed: seed of people and sensor noise.
        backend: network runtime of the nodes.
        robot: name of the robot preset.
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
    """The records of one run; times are CLOCK_MONOTONIC.

    Attributes:
        setup: what was run.
        logs: span records by node.
        usage: memory and processor time by node.
        launched_ns: start of the launch.
        began_ns: beginning of counting, one second after the first plan.
        ended_ns: end of counting.
    """

    setup: GraphSetup
    logs: Mapping[str, NodeLog]
    usage: Mapping[str, UsageHistory]
    launched_ns: int
    began_ns: int
    ended_ns: int

    def frame_latencies(self) -> list[FrameLatency]:
        """Return the latencies of the frames counted."""
        return frame_latencies(self.logs, self.began_ns)

    def scans(self) -> int:
        """Return the number of scans counted, without those of the last second, whose commands may come later."""
        until_ns = self.ended_ns - 1_000_000_000
        return sum(self.began_ns <= mark.at_ns < until_ns for mark in self.logs["sim"].first("scan").values())

    def first_plan_s(self) -> tuple[float, float]:
        """Return the seconds to the first plan since the robot's first process started, and since launch."""
        plan_ns = min(mark.at_ns for mark in self.logs["rollout_planner"].marks if mark.name == "plan")
        started_ns = min(self.logs[node].process_began_ns for node in ROBOT_NODES if node in self.logs)
        return to_seconds(plan_ns - started_ns), to_seconds(plan_ns - self.launched_ns)


def run_graph(setup: GraphSetup, folder: Path, verbose: bool = False) -> GraphRun:
    """Start the graph, let it drive, end it, and read the records of its nodes.

    Raises:
        LiveGraphError: it could not be started, or no plan came in time.
        SpanLogError: the record of a node is missing or damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _clean(folder, "*.spans.json", "*.seen")
    parameters = folder / "params.yaml"
    parameters.write_text(yaml.safe_dump(parameters_of(setup, share() / "config" / "params.yaml")), encoding="utf-8")
    arguments = {
        "world": setup.world, "seed": str(setup.seed), "robot": setup.robot, "backend": setup.backend,
        "params_file": str(parameters), "record": "", "without": "" if setup.warm else "latent_cache",
    }  # fmt: skip
    claim, domain = claim_domain()
    environment = {SPANS: str(folder.resolve()), "ROS_DOMAIN_ID": str(domain)}
    graph = LiveGraph("demo.launch.py", arguments, folder, verbose=verbose, environment=environment)
    launched_ns = time.monotonic_ns()
    with claim, graph:
        began_ns = _await_command(graph, folder)
        usage = _watch(graph, launched_ns, setup.seconds)
        ended_ns = time.monotonic_ns()
    _clean(folder, "*.seen")
    return GraphRun(setup, read_logs(folder), usage, launched_ns, began_ns, ended_ns)


def _clean(folder: Path, *patterns: str) -> None:
    for pattern in patterns:
        for old in folder.glob(pattern):
            old.unlink()


def parameters_of(setup: GraphSetup, shipped: Path) -> dict[str, Any]:
    """Return the shipped parameters with those changed that depend on the setup.

    Without a cache the planner must not wait for warm starts.
    """
    changes: dict[str, dict[str, Any]] = {
        "sim": {"scan_rate_hz": setup.rate_hz},
        "perception": {"max_rate_hz": setup.rate_hz},
        "rollout_planner": {"control_period_s": 1.0 / setup.rate_hz},
    }
    if not setup.warm:
        changes["rollout_planner"]["warm_start_wait_s"] = 0.0
    return changed_parameters(shipped, changes)


def _await_command(graph: LiveGraph, folder: Path) -> int:
    """Wait until the supervisor has its first plan, and a second longer; return the time then."""
    deadline_s = time.monotonic() + _START_LIMIT_S
    while not (folder / "safety_supervisor.plan.seen").exists():
        if not graph.running() or time.monotonic() > deadline_s:
            raise LiveGraphError(f"the graph made no plan within {_START_LIMIT_S:g} s; {first_errors(folder)}")
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
        time.sleep(min(_READING_PERIOD_S, left_s))
    raise LiveGraphError(f"the graph ended early; {first_errors(graph.folder)}")
