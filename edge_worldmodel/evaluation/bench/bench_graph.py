"""From sensor to command through the live graph, real nodes and the simulator, at several rates, cold and warm."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from edge_worldmodel.cli import NEEDS_ROS, ros_is_here
from edge_worldmodel.core.errors import EdgeWorldModelError
from edge_worldmodel.evaluation.bench.bench_tick import COLD, WARM, percentiles
from edge_worldmodel.evaluation.bench.span_log import PARTS, Journey
from edge_worldmodel.evaluation.live.graph_run import GraphRun, GraphWish, run_graph

RATES_HZ = (10.0, 20.0, 40.0)
_DROPPED_AT_MOST = 0.05


class GraphMissingError(EdgeWorldModelError):
    """The live graph cannot run here."""


def measure_graph(rates_hz: Sequence[float], seconds: float, runs: int, backend: str, seed: int = 0) -> dict[str, Any]:
    """Return the keys sensor_to_command_s, breakdown_s, rss_mb, start_to_first_plan_s and graph of the report.

    Args:
        rates_hz: of the scanner; each is run cold and warm.
        seconds: driven in each run, after its first command.
        runs: of each kind; the first of each before the second of any.
        backend: of the nodes.
        seed: of people and noise; later runs have later ones.

    Raises:
        GraphMissingError: there is no ROS, or no simulator.
        LiveGraphError: the graph did not run.
    """
    require_graph()
    found: dict[tuple[float, str], list[GraphRun]] = {}
    wishes = [
        GraphWish(rate_hz, kind == WARM, seconds, seed=seed + number, backend=backend)
        for number in range(runs)
        for rate_hz in rates_hz
        for kind in (COLD, WARM)
    ]
    for wish in tqdm(wishes, desc="live graph", unit="run", leave=False):
        with tempfile.TemporaryDirectory(prefix="bench") as folder:
            run = run_graph(wish, Path(folder))
        found.setdefault((wish.rate_hz, WARM if wish.warm else COLD), []).append(run)
    return report_of(found)


def require_graph() -> None:
    """Say what is missing, if anything is.

    Raises:
        GraphMissingError: no ROS, or no simulator.
    """
    if not ros_is_here():
        raise GraphMissingError(NEEDS_ROS.replace("this verb", "the live graph"))
    try:
        import mujoco  # noqa: F401
    except ImportError as error:
        raise GraphMissingError("the live graph needs the simulator: pip install 'edge_worldmodel[sim]'") from error


def report_of(found: dict[tuple[float, str], list[GraphRun]]) -> dict[str, Any]:
    """Summarise runs by rate and kind; the runs of one kind are pooled."""
    report: dict[str, Any] = {"sensor_to_command_s": {}, "breakdown_s": {}, "graph": {}}
    for (rate_hz, kind), runs in found.items():
        journeys = [journey for run in runs for journey in run.journeys()]
        rate = f"{rate_hz:g}"
        told = percentiles([journey.total_s for journey in journeys])
        report["sensor_to_command_s"].setdefault(rate, {})[kind] = told
        report["breakdown_s"].setdefault(rate, {})[kind] = breakdown(journeys)
        report["graph"].setdefault(rate, {})[kind] = _how_it_went(runs, journeys)
    report["sustained_hz"] = {kind: _sustained_hz(report["graph"], kind) for kind in (COLD, WARM)}
    warm_runs = [run for (_, kind), runs in found.items() if kind == WARM for run in runs]
    report["rss_mb"] = memory(warm_runs)
    starts_s = np.array([run.first_plan_s() for run in warm_runs])
    report["start_to_first_plan_s"] = float(np.median(starts_s[:, 0]))
    report["launch_to_first_plan_s"] = float(np.median(starts_s[:, 1]))
    return report


def _sustained_hz(graph: Mapping[str, Any], kind: str) -> float | None:
    """Return the highest rate measured at which nearly every scan became a command, None where there is none."""
    shares = {float(rate): kinds[kind]["commanded_share"] for rate, kinds in graph.items() if kind in kinds}
    return max((rate for rate, share in shares.items() if share >= 1.0 - _DROPPED_AT_MOST), default=None)


def breakdown(journeys: Sequence[Journey]) -> dict[str, Any]:
    """Return the five parts of the frames that were imagined on; they add up frame by frame, not as percentiles."""
    imagined = [journey for journey in journeys if journey.imagined]
    parts = {part: percentiles([journey.parts_s[part] for journey in imagined]) for part in PARTS}
    return {**parts, "total": percentiles([journey.total_s for journey in imagined])}


def memory(runs: Sequence[GraphRun]) -> dict[str, float]:
    """Return the highest resident memory of each node in MB, the most of all runs."""
    nodes = sorted({node for run in runs for node in run.usage})
    return {node: max(run.usage[node].peak_mb() for run in runs if node in run.usage) for node in nodes}


def _how_it_went(runs: Sequence[GraphRun], journeys: Sequence[Journey]) -> dict[str, Any]:
    scans = sum(run.scans() for run in runs)
    seconds = sum((run.ended_ns - run.began_ns) * 1e-9 for run in runs)
    through = sum(journey.began_ns < run.ended_ns - 1_000_000_000 for run in runs for journey in run.journeys())
    calls = [journey.denoising_calls for journey in journeys if journey.imagined]
    nodes = sorted({node for run in runs for node in run.usage})
    return {
        "scans": scans,
        "commanded_share": through / scans if scans else 0.0,
        "plans_hz": len(journeys) / seconds if seconds else 0.0,
        "imagined_share": len(calls) / len(journeys) if journeys else 0.0,
        "denoiser_calls_mean": float(np.mean(calls)) if calls else 0.0,
        "cores": {node: float(np.mean([run.usage[node].cores() for run in runs])) for node in nodes},
        "runs": len(runs),
    }
