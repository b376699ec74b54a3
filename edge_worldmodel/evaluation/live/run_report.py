"""The results of a run of the graph: summary.json, rollouts.png and a few lines for people."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_worldmodel.evaluation.live.live_graph import LiveGraph
from edge_worldmodel.models.inventory import commit

KEYS = (
    "scans", "plans", "plan_rate_hz", "sensor_to_command_s", "goal_reached", "contacts", "stops", "warm_start_rate",
    "denoise_steps_mean", "rejected_inputs", "inputs_not_used", "backend", "model_id", "commit",
)  # fmt: skip
_EMPTY: dict[str, Any] = {
    "scans": 0, "plans": 0, "sensor_to_command_s": {"p50": None, "p95": None, "p99": None}, "contacts": 0, "stops": [],
    "rejected_inputs": 0, "inputs_not_used": [], "backend": "", "model_id": "",
}  # fmt: skip
_LINES = 8


def add_common_arguments(parser: argparse.ArgumentParser, folder: str) -> None:
    """Add the options of every run of the graph."""
    parser.add_argument("--out", type=Path, default=Path(folder), help="folder of the results (default: %(default)s)")
    parser.add_argument("--robot", default="generic", help="robot preset (default: %(default)s)")
    parser.add_argument("--backend", default="onnxruntime", help="network runtime (default: %(default)s)")
    parser.add_argument("--params-file", type=Path, help="parameters of all nodes (default: config/params.yaml)")
    parser.add_argument(
        "--rviz", action=argparse.BooleanOptionalAction, help="open rviz (default: if there is a screen)"
    )
    parser.add_argument("--verbose", action="store_true", help="print the nodes' logs instead of writing graph.log")


def write(graph: LiveGraph, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Write summary.json and rollouts.png of a graph that has ended, and return the summary.

    The recorder's intermediate files are removed.
    """
    exits = graph.exits()
    figures = {**_EMPTY, **graph.statistics(), "commit": commit(), "crashed_nodes": sum(e.crashed for e in exits)}
    summary = {key: figures.pop(key, None) for key in KEYS} | figures | dict(extra)
    (graph.folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    moment = graph.folder / "moment.npz"
    if moment.is_file():
        # Imported here because matplotlib takes a second to load.
        from edge_worldmodel.evaluation.live.picture import draw

        draw(moment, graph.folder / "rollouts.png", summary)
        moment.unlink()
    (graph.folder / "statistics.json").unlink(missing_ok=True)
    return summary


def show(summary: Mapping[str, Any], graph: LiveGraph) -> None:
    """Print the summary for people."""
    folder = graph.folder
    latency = summary["sensor_to_command_s"]
    print(f"  {summary['plans']} plans for {summary['scans']} scans, {_number(summary['plan_rate_hz'], '.1f')} plans/s")
    print(
        f"  sensor to command: p50 {_number(latency['p50'], '.3f')} s, p95 {_number(latency['p95'], '.3f')} s,"
        f" p99 {_number(latency['p99'], '.3f')} s"
    )
    print(
        f"  warm starts {_number(summary['warm_start_rate'], '.0%')}, {_number(summary['denoise_steps_mean'], '.1f')}"
        f" denoising steps, model '{summary['model_id']}' on {summary['backend'] or 'nothing'}"
    )
    reasons = Counter(stop["reason"] for stop in summary["stops"])
    print(f"  {len(summary['stops'])} stops, {summary['rejected_inputs']} inputs rejected")
    for reason, count in reasons.most_common(4):
        print(f"    {count} x {reason}")
    for entry in summary["inputs_not_used"][:4]:
        print(f"    {entry['node']} {entry['kind']}: {entry['count']} x {entry['why'] or 'no reason given'}")
    for (name, status), count in Counter((e.name, e.status) for e in graph.exits() if e.crashed).items():
        print(f"  {name} crashed {count} times with status {status}; see {folder / 'graph.log'}")
    print(f"  {folder}/: run.mcap, summary.json, rollouts.png")
    if not summary["plans"]:
        print(f"  there was no plan; {first_errors(folder)}")


def first_errors(folder: Path) -> str:
    """Return the first errors in graph.log, or its last lines if there are no errors."""
    try:
        lines = (folder / "graph.log").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    errors = [line for line in lines if "rror" in line or "ERROR" in line or "refused" in line][:_LINES]
    return "from graph.log:\n" + "\n".join(f"    {line[:300]}" for line in errors or lines[-_LINES:])


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
