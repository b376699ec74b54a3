"""`edge-worldmodel profile`: latency and memory of the live graph by part and node, and a trace of one second."""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_worldmodel.core.time_units import to_nanoseconds, to_seconds
from edge_worldmodel.evaluation.bench.graph_benchmark import breakdown, require_graph
from edge_worldmodel.evaluation.bench.perfetto import write_trace
from edge_worldmodel.evaluation.bench.span_log import PARTS, FrameLatency, NodeLog, SpanLogError, read_logs
from edge_worldmodel.evaluation.bench.tick_benchmark import percentiles, row
from edge_worldmodel.evaluation.live.graph_run import GraphRun, GraphSetup, run_graph
from edge_worldmodel.models.doctor import this_machine
from edge_worldmodel.models.inventory import Inventory, commit, device_name

SCHEMA = 1
_SHOWN_SPANS = 14
_WIDTH = 34


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    setup = GraphSetup()
    parser.add_argument("--rate", type=float, default=setup.rate_hz, metavar="HZ", help="rate of scans; %(default)s")
    parser.add_argument("--seconds", type=float, default=setup.seconds, help="to drive; %(default)s")
    parser.add_argument("--cold", action="store_true", help="without the latent cache")
    parser.add_argument("--world", default=setup.world, help="world file, or the name of a shipped one; %(default)s")
    parser.add_argument("--seed", type=int, default=setup.seed, help="of people and noise; %(default)s")
    parser.add_argument("--backend", default=setup.backend, help="network runtime; %(default)s")
    parser.add_argument("--robot", default=setup.robot, help="robot preset; %(default)s")
    parser.add_argument("--trace-seconds", type=float, default=1.0, help="length of the trace; %(default)s")
    parser.add_argument("--slowest", action="store_true", help="trace the slowest frame instead of the run's middle")
    parser.add_argument(
        "--spans", type=Path, metavar="FOLDER", help="do not drive; make the trace from the records in FOLDER "
        "(of nodes started with EDGE_WORLDMODEL_SPANS=FOLDER, for example on a robot)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("out/profile"), help="folder of the results; %(default)s")
    parser.add_argument("--verbose", action="store_true", help="print the nodes' logs instead of writing graph.log")
    parser.epilog = "Leaves profile.json, profile.png and trace.json (for https://ui.perfetto.dev)."


def run(options: argparse.Namespace) -> int:
    """Drive, measure and report; return 1 if no frame led to a command."""
    folder = options.out.resolve()
    if options.spans:
        return trace_of_spans(options.spans, folder, options.trace_seconds)
    require_graph()
    # Without the tools of the inventory: they take seconds and are not needed here.
    before = this_machine(lambda _: "")
    setup = GraphSetup(
        options.rate, not options.cold, options.seconds, options.world, options.seed, options.backend, options.robot
    )
    measured = run_graph(setup, folder, options.verbose)
    frames = measured.frame_latencies()
    report = report_of(measured, frames, before, this_machine(lambda _: ""))
    print("\n".join(lines_of(report)))
    if not frames:
        print(f"no frame led to a command; see {folder / 'graph.log'}")
        return 1
    begin_ns = trace_begin_ns(measured, frames, options.trace_seconds, options.slowest)
    end_ns = begin_ns + to_nanoseconds(options.trace_seconds)
    about = {key: report[key] for key in ("commit", "machine", "rate_hz")}
    report["trace_spans"] = write_trace(measured.logs, begin_ns, end_ns, folder / "trace.json", about)
    (folder / "profile.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    # Imported here because matplotlib takes a second to load.
    from edge_worldmodel.evaluation.bench.profile_picture import draw

    draw(measured, frames, (begin_ns, end_ns), report, folder / "profile.png")
    print(f"{folder}/: profile.json, profile.png, trace.json (open it in https://ui.perfetto.dev)")
    return 0


def trace_of_spans(spans: Path, folder: Path, seconds: float) -> int:
    """Write the trace of the middle of a recording made elsewhere, and print which spans took the most time.

    Raises:
        SpanLogError: there is no record, or a record is damaged.
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


def report_of(graph_run: GraphRun, frames: list[FrameLatency], before: Inventory, after: Inventory) -> dict[str, Any]:
    """Return the report of one run.

    Args:
        graph_run: the run.
        frames: its frames.
        before: the machine before the run.
        after: the machine after it.
    """
    return {
        "schema": SCHEMA,
        "commit": commit(),
        "machine": device_name(after),
        "load_average": os.getloadavg()[0],
        "rate_hz": graph_run.setup.rate_hz,
        "warm": graph_run.setup.warm,
        "backend": graph_run.setup.backend,
        "frames": len(frames),
        "imagined": sum(frame.imagined for frame in frames),
        "scans": graph_run.scans(),
        "sensor_to_command_s": percentiles([frame.total_s for frame in frames]),
        "breakdown_s": breakdown(frames),
        "spans": {node: spans_of(log, graph_run.began_ns, graph_run.ended_ns) for node, log in graph_run.logs.items()},
        "memory": memory_of(graph_run),
        "swap_used_mb": {"before": before.swap_used_mb, "after": after.swap_used_mb},
        "hottest_celsius": {"before": hottest(before), "after": hottest(after)},
        "start_to_first_plan_s": graph_run.first_plan_s()[0],
    }


def spans_of(log: NodeLog, begin_ns: int, end_ns: int) -> dict[str, dict[str, float]]:
    """Return percentiles and share of the time of every kind of span; outer spans include inner ones."""
    durations_s: dict[str, list[float]] = defaultdict(list)
    for span in log.within(begin_ns, end_ns):
        durations_s[span.name].append(to_seconds(span.end_ns - span.begin_ns))
    passed_s = to_seconds(end_ns - begin_ns)
    return {
        name: {**percentiles(times), "share": float(np.sum(times)) / passed_s} for name, times in durations_s.items()
    }


def memory_of(graph_run: GraphRun) -> dict[str, dict[str, float]]:
    """Return peak, growth and swapped memory of every node in MB, and the cores that it used."""
    return {
        node: {
            "peak_mb": usage.peak_mb(),
            "growth_mb": usage.growth_mb(),
            "swapped_mb": usage.swapped_mb(),
            "cores": usage.cores(),
        }
        for node, usage in graph_run.usage.items()
    }


def hottest(found: Inventory) -> float | None:
    """Return the highest temperature in degrees Celsius; None where the kernel has no thermal zone."""
    return max((zone.celsius for zone in found.zones), default=None)


def trace_begin_ns(graph_run: GraphRun, frames: list[FrameLatency], seconds: float, slowest: bool) -> int:
    """Return the begin of the trace: so that it covers the middle of the run, or its slowest frame."""
    if slowest:
        worst = max(frames, key=lambda frame: frame.total_s)
        return worst.began_ns - round(0.25e9 * seconds)
    return (graph_run.began_ns + graph_run.ended_ns - round(1e9 * seconds)) // 2


def lines_of(report: Mapping[str, Any]) -> list[str]:
    """Return the report as lines for people."""
    kind = "warm" if report["warm"] else "cold"
    lines = [
        f"{report['machine']}, load {report['load_average']:.1f}; backend {report['backend']}, {kind}",
        f"{report['rate_hz']:g} Hz: {report['scans']} scans, {report['frames']} frames to a command, "
        f"{report['imagined']} of them imagined, the others with the last plan used again",
    ]
    rows = {"every frame": report["sensor_to_command_s"], "imagined": report["breakdown_s"]["total"]}
    lines.append("sensor to command, and the five parts of the imagined frames:")
    lines += [row(name, of, _WIDTH) for name, of in {**rows, **{p: report["breakdown_s"][p] for p in PARTS}}.items()]
    lines += _span_lines(report["spans"])
    lines.append("memory:")
    lines += [
        f"  {node:20s} peak {of['peak_mb']:6.0f} MB, growth {of['growth_mb']:5.1f} MB, "
        f"swapped {of['swapped_mb']:.0f} MB, {of['cores']:.2f} cores"
        for node, of in report["memory"].items()
    ]
    swap, celsius = report["swap_used_mb"], report["hottest_celsius"]
    temperature = (
        "no thermal zone" if celsius["after"] is None else f"{celsius['before']} to {celsius['after']} degrees Celsius"
    )
    lines.append(f"swap of the machine {swap['before']} to {swap['after']} MB; temperature: {temperature}")
    return lines


def _span_lines(spans: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    found = [(of["share"], f"{node} {name}", of) for node, names in spans.items() for name, of in names.items()]
    most = sorted(found, key=lambda item: -item[0])[:_SHOWN_SPANS]
    rows = [f"{row(name, of, _WIDTH)}  {share:6.1%} of the time, {of['samples']} times" for share, name, of in most]
    return ["spans that take the most time (an outer span includes its inner ones):", *rows]
