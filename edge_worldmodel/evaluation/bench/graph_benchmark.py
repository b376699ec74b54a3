"""Latency from sensor to command in the live graph (real nodes and the simulator), at several rates, cold and warm."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from edge_worldmodel.cli import NEEDS_ROS, ros_is_here
from edge_worldmodel.core.errors import EdgeWorldModelError
from edge_worldmodel.evaluation.bench.span_log import PARTS, FrameLatency
from edge_worldmodel.evaluation.bench.tick_benchmark import COLD, WARM, percentiles
from edge_worldmodel.evaluation.live.graph_run import GraphRun, GraphSetup, run_graph

RATES_HZ = (10.0, 20.0, 40.0)
_MAX_DROPPED_SHARE = 0.05


class GraphMissingError(EdgeWorldModelError):
    """The live graph cannot run on this machine."""


def measure_graph(rates_hz: Sequence[float], seconds: float, runs: int, backend: str) -> dict[str, Any]:
    """Run the live graph and return the keys sensor_to_command_s, breakdown_s, graph, rss_mb and others of the report.

    Args:
        rates_hz: of the scanner; each is run cold and warm.
        seconds: of driving in each run, from its first command.
        runs: for each rate, cold and warm; all rates are run once before any is run again.
        backend: of the nodes.

    Raises:
        GraphMissingError: ROS or the simulator is missing.
        LiveGraphError: the graph did not start or ended early.
    """
    require_graph()
    found: dict[tuple[float, str], list[GraphRun]] = {}
    setups = [
        GraphSetup(rate_hz, kind == WARM, seconds, seed=number, backend=backend)
        for number in range(runs)
        for rate_hz in rates_hz
        for kind in (COLD, WARM)
    ]
    for setup in tqdm(setups, desc="live graph", unit="run", leave=False):
        with tempfile.TemporaryDirectory(prefix="bench") as folder:
            run = run_graph(setup, Path(folder))
        found.setdefault((setup.rate_hz, WARM if setup.warm else COLD), []).append(run)
    return report_of(found)


def require_graph() -> None:
    """Check that the live graph can run here.

    Raises:
        GraphMissingError: ROS or the simulator is missing.
    """
    if not ros_is_here():
        raise GraphMissingError(NEEDS_ROS.replace("this verb", "the live graph"))
    try:
        import mujoco  # noqa: F401
    except ImportError as error:
        raise GraphMissingError("the live graph needs the simulator: pip install 'edge_worldmodel[sim]'") from error


def report_of(found: dict[tuple[float, str], list[GraphRun]]) -> dict[str, Any]:
    """Summarise runs by (rate, kind); runs of the same rate and kind are pooled."""
    report: dict[str, Any] = {"sensor_to_command_s": {}, "breakdown_s": {}, "graph": {}}
    for (rate_hz, kind), runs in found.items():
        frames = [frame for run in runs for frame in run.frame_latencies()]
        rate = f"{rate_hz:g}"
        report["sensor_to_command_s"].setdefault(rate, {})[kind] = percentiles([frame.total_s for frame in frames])
        report["breakdown_s"].setdefault(rate, {})[kind] = breakdown(frames)
        report["graph"].setdefault(rate, {})[kind] = _run_statistics(runs, frames)
    report["sustained_hz"] = {kind: _sustained_hz(report["graph"], kind) for kind in (COLD, WARM)}
    warm_runs = [run for (_, kind), runs in found.items() if kind == WARM for run in runs]
    report["rss_mb"] = memory(warm_runs)
    starts_s = np.array([run.first_plan_s() for run in warm_runs])
    report["start_to_first_plan_s"] = float(np.median(starts_s[:, 0]))
    report["launch_to_first_plan_s"] = float(np.median(starts_s[:, 1]))
    return report


def _sustained_hz(graph: Mapping[str, Any], kind: str) -> float | None:
    """Return the highest measured rate at which at least 95 % of the scans led to a command; None if there is none."""
    shares = {float(rate): kinds[kind]["commanded_share"] for rate, kinds in graph.items() if kind in kinds}
    return max((rate for rate, share in shares.items() if share >= 1.0 - _MAX_DROPPED_SHARE), default=None)


def breakdown(frames: Sequence[FrameLatency]) -> dict[str, Any]:
    """Return percentiles of the five parts of the imagined frames; the parts of a frame add up, percentiles do not."""
    imagined = [frame for frame in frames if frame.imagined]
    parts = {part: percentiles([frame.parts_s[part] for frame in imagined]) for part in PARTS}
    return {**parts, "total": percentiles([frame.total_s for frame in imagined])}


def memory(runs: Sequence[GraphRun]) -> dict[str, float]:
    """Return the highest resident memory of each node in MB over all runs."""
    nodes = sorted({node for run in runs for node in run.usage})
    return {node: max(run.usage[node].peak_mb() for run in runs if node in run.usage) for node in nodes}


def _run_statistics(runs: Sequence[GraphRun], frames: Sequence[FrameLatency]) -> dict[str, Any]:
    scans = sum(run.scans() for run in runs)
    seconds = sum((run.ended_ns - run.began_ns) * 1e-9 for run in runs)
    commanded = sum(frame.began_ns < run.ended_ns - 1_000_000_000 for run in runs for frame in run.frame_latencies())
    calls = [frame.denoising_calls for frame in frames if frame.imagined]
    nodes = sorted({node for run in runs for node in run.usage})
    return {
        "scans": scans,
        "commanded_share": commanded / scans if scans else 0.0,
        "plans_hz": len(frames) / seconds if seconds else 0.0,
        "imagined_share": len(calls) / len(frames) if frames else 0.0,
        "denoiser_calls_mean": float(np.mean(calls)) if calls else 0.0,
        "cores": {node: float(np.mean([run.usage[node].cores() for run in runs])) for node in nodes},
        "runs": len(runs),
    }
