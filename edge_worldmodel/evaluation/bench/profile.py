"""`edge-worldmodel profile`: where the time of the live graph goes, what memory it takes, and a trace of one second."""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_worldmodel.evaluation.bench.bench_graph import breakdown, require_graph
from edge_worldmodel.evaluation.bench.bench_tick import percentiles
from edge_worldmodel.evaluation.bench.perfetto import write_trace
from edge_worldmodel.evaluation.bench.span_log import PARTS, Journey, NodeLog, SpanLogError, read_logs
from edge_worldmodel.evaluation.live.graph_run import GraphRun, GraphWish, run_graph
from edge_worldmodel.models.doctor import this_machine
from edge_worldmodel.models.inventory import Inventory, commit, device_name

SCHEMA = 1
_SHOWN_SPANS = 14


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    wish = GraphWish()
    parser.add_argument("--rate", type=float, default=wish.rate_hz, metavar="HZ", help="of scans; %(default)s")
    parser.add_argument("--seconds", type=float, default=wish.seconds, help="to drive; %(default)s")
    parser.add_argument("--cold", action="store_true", help="without the latent cache")
    parser.add_argument("--world", default=wish.world, help="world file, or the name of a shipped one; %(default)s")
    parser.add_argument("--seed", type=int, default=wish.seed, help="of people and noise; %(default)s")
    parser.add_argument("--backend", default=wish.backend, help="network runtime; %(default)s")
    parser.add_argument("--robot", default=wish.robot, help="robot preset; %(default)s")
    parser.add_argument("--trace-seconds", type=float, default=1.0, help="length of the trace; %(default)s")
    parser.add_argument("--slowest", action="store_true", help="trace the slowest frame instead of the run's middle")
    parser.add_argument(
        "--spans", type=Path, metavar="FOLDER", help="drive nothing: the trace of what nodes recorded there "
        "(EDGE_WORLDMODEL_SPANS=FOLDER), on a robot for example",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("out/profile"), help="folder of the results; %(default)s")
    parser.add_argument("--verbose", action="store_true", help="show what the nodes say instead of graph.log")
    parser.epilog = "Leaves profile.json, profile.png and trace.json (for https://ui.perfetto.dev)."


def run(options: argparse.Namespace) -> int:
    """Drive, measure, report; 1 when no frame came through."""
    folder = options.out.resolve()
    if options.spans:
        return trace_of_spans(options.spans, folder, options.trace_seconds)
    require_graph()
    before = this_machine(_no_tools)
    wish = GraphWish(
        options.rate, not options.cold, options.seconds, options.world, options.seed, options.backend, options.robot
    )
    measured = run_graph(wish, folder, options.verbose)
    journeys = measured.journeys()
    report = report_of(measured, journeys, before, this_machine(_no_tools))
    print("\n".join(lines_of(report)))
    if not journeys:
        print(f"no frame came through; see {folder / 'graph.log'}")
        return 1
    begin_ns = trace_begin_ns(measured, journeys, options.trace_seconds, options.slowest)
    end_ns = begin_ns + round(options.trace_seconds * 1e9)
    about = {key: report[key] for key in ("commit", "machine", "rate_hz")}
    report["trace_spans"] = write_trace(measured.logs, begin_ns, end_ns, folder / "trace.json", about)
    (folder / "profile.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    # here and not above: drawing needs matplotlib, which takes a second to load
    from edge_worldmodel.evaluation.bench.profile_picture import draw

    draw(measured, journeys, (begin_ns, end_ns), report, folder / "profile.png")
    print(f"{folder}/: profile.json, profile.png, trace.json (open it in https://ui.perfetto.dev)")
    return 0


def trace_of_spans(spans: Path, folder: Path, seconds: float) -> int:
    """Show what nodes recorded elsewhere: the trace of its middle, and what took the time.

    Raises:
        SpanLogError: there is no record, or a damaged one.
    """
    logs = read_logs(spans, needed=())
    times_ns = [moment for log in logs.values() for span in log.spans for moment in (span.begin_ns, span.end_ns)]
    if not times_ns:
        raise SpanLogError(f"nothing was recorded in {spans}: start the nodes with EDGE_WORLDMODEL_SPANS={spans}")
    first_ns, last_ns = min(times_ns), max(times_ns)
    begin_ns = (first_ns + last_ns - round(1e9 * seconds)) // 2
    folder.mkdir(parents=True, exist_ok=True)
    count = write_trace(logs, begin_ns, begin_ns + round(1e9 * seconds), folder / "trace.json", {"from": str(spans)})
    print("\n".join(_span_lines({node: spans_of(log, first_ns, last_ns) for node, log in logs.items()})))
    print(f"{folder / 'trace.json'}: {count} spans (open it in https://ui.perfetto.dev)")
    return 0


def report_of(run_: GraphRun, journeys: list[Journey], before: Inventory, after: Inventory) -> dict[str, Any]:
    """Return everything that was measured."""
    return {
        "schema": SCHEMA,
        "commit": commit(),
        "machine": device_name(after),
        "load_average": os.getloadavg()[0],
        "rate_hz": run_.wish.rate_hz,
        "warm": run_.wish.warm,
        "backend": run_.wish.backend,
        "frames": len(journeys),
        "imagined": sum(journey.imagined for journey in journeys),
        "scans": run_.scans(),
        "sensor_to_command_s": percentiles([journey.total_s for journey in journeys]),
        "breakdown_s": breakdown(journeys),
        "spans": {node: spans_of(log, run_.began_ns, run_.ended_ns) for node, log in run_.logs.items()},
        "memory": memory_of(run_),
        "swap_used_mb": {"before": before.swap_used_mb, "after": after.swap_used_mb},
        "hottest_celsius": {"before": hottest(before), "after": hottest(after)},
        "start_to_first_plan_s": run_.first_plan_s()[0],
    }


def spans_of(log: NodeLog, begin_ns: int, end_ns: int) -> dict[str, dict[str, float]]:
    """Return percentiles and share of the time of every kind of span; inner ones count in outer ones, too."""
    lasting: dict[str, list[float]] = defaultdict(list)
    for span in log.within(begin_ns, end_ns):
        lasting[span.name].append((span.end_ns - span.begin_ns) * 1e-9)
    passed_s = (end_ns - begin_ns) * 1e-9
    return {name: {**percentiles(times), "share": float(np.sum(times)) / passed_s} for name, times in lasting.items()}


def memory_of(run_: GraphRun) -> dict[str, dict[str, float]]:
    """Return peak, growth and swapped part of every node in MB, and the cores it kept busy."""
    return {
        node: {
            "peak_mb": usage.peak_mb(),
            "growth_mb": usage.growth_mb(),
            "swapped_mb": usage.swapped_mb(),
            "cores": usage.cores(),
        }
        for node, usage in run_.usage.items()
    }


def hottest(found: Inventory) -> float | None:
    """Return the highest temperature in degrees Celsius, None where the kernel tells none."""
    return max((zone.celsius for zone in found.zones), default=None)


def trace_begin_ns(run_: GraphRun, journeys: list[Journey], seconds: float, slowest: bool) -> int:
    """Return where the trace begins: in the middle of the run, or a little before its slowest frame."""
    if slowest:
        worst = max(journeys, key=lambda journey: journey.total_s)
        return worst.began_ns - round(0.25e9 * seconds)
    return (run_.began_ns + run_.ended_ns - round(1e9 * seconds)) // 2


def lines_of(report: Mapping[str, Any]) -> list[str]:
    """Return the report for people."""
    kind = "warm" if report["warm"] else "cold"
    lines = [
        f"{report['machine']}, load {report['load_average']:.1f}; backend {report['backend']}, {kind}",
        f"{report['rate_hz']:g} Hz: {report['scans']} scans, {report['frames']} frames to a command, "
        f"{report['imagined']} of them imagined on, the others with the plan before",
    ]
    rows = {"every frame": report["sensor_to_command_s"], "imagined": report["breakdown_s"]["total"]}
    lines.append("sensor to command, and the five parts of the imagined frames:")
    lines += [_row(name, of) for name, of in {**rows, **{p: report["breakdown_s"][p] for p in PARTS}}.items()]
    lines += _span_lines(report["spans"])
    lines.append("memory:")
    lines += [
        f"  {node:20s} peak {of['peak_mb']:6.0f} MB, growth {of['growth_mb']:5.1f} MB, "
        f"swapped {of['swapped_mb']:.0f} MB, {of['cores']:.2f} cores"
        for node, of in report["memory"].items()
    ]
    swap, heat = report["swap_used_mb"], report["hottest_celsius"]
    told = "no thermal zone tells" if heat["after"] is None else f"{heat['before']} to {heat['after']} degrees Celsius"
    lines.append(f"swap of the machine {swap['before']} to {swap['after']} MB; temperature: {told}")
    return lines


def _span_lines(spans: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    found = [(of["share"], f"{node} {name}", of) for node, names in spans.items() for name, of in names.items()]
    most = sorted(found, key=lambda item: -item[0])[:_SHOWN_SPANS]
    rows = [f"{_row(name, of)}  {share:6.1%} of the time, {of['samples']} times" for share, name, of in most]
    return ["what takes the time (inner spans count in outer ones):", *rows]


def _row(name: str, of: Mapping[str, float]) -> str:
    if "p50" not in of:
        return f"  {name:34s} none"
    return f"  {name:34s} p50 {1e3 * of['p50']:7.2f}  p95 {1e3 * of['p95']:7.2f}  p99 {1e3 * of['p99']:7.2f} ms"


def _no_tools(_command: list[str]) -> str:
    """Stand for the tools that an inventory asks; they take seconds, and none of them is needed here."""
    return ""
