"""The parts of `edge-worldmodel bench` beside the networks: planner tick, live graph, convolution share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from edge_worldmodel.backends.timing import Workload
from edge_worldmodel.core.model.world_model import Backend, WorldModel
from edge_worldmodel.evaluation.bench.convolution_share import ConvolutionError, measure_share
from edge_worldmodel.evaluation.bench.graph_benchmark import RATES_HZ, GraphMissingError, measure_graph
from edge_worldmodel.evaluation.bench.span_log import PARTS, SpanLogError
from edge_worldmodel.evaluation.bench.tick_benchmark import COLD, SHIPPED, WARM, TickSetup, measure_ticks, row
from edge_worldmodel.evaluation.live.live_graph import LiveGraphError
from edge_worldmodel.models.manifest import VerifiedModel

TICK_PART, GRAPH_PART, SHARE_PART = "tick", "graph", "convolution"
ALL_PARTS = (TICK_PART, SHARE_PART, GRAPH_PART)
_MISSING = (GraphMissingError, ConvolutionError)
_FAILED = (LiveGraphError, SpanLogError)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--parts", nargs="*", choices=ALL_PARTS, metavar="PART",
        help=f"to measure beside the networks: {', '.join(ALL_PARTS)}; default: all, or none with --slo, "
        "--against, --backend or --cpu-time, which are about the networks; --parts without a name: none",
    )  # fmt: skip
    parser.add_argument(
        "--rates", type=float, nargs="+", default=RATES_HZ, metavar="HZ",
        help="scans per second in the live graph; default: 10 20 40",
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, default=15.0, help="of driving in each run of the graph; %(default)s")
    parser.add_argument("--runs", type=int, default=1, help="of the graph for each rate, cold and warm; %(default)s")
    parser.add_argument(
        "--peer-python", default="", metavar="PYTHON", help="interpreter with torch and pytorch-mppi; default: this "
        "one, else .venv-train/bin/python",
    )  # fmt: skip


def wanted(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the parts to measure."""
    if options.parts is not None:
        return tuple(options.parts)
    about_networks = options.slo or options.against or options.backend or options.cpu_time
    return () if about_networks else ALL_PARTS


def measure_parts(
    options: argparse.Namespace, backend: Backend, model: VerifiedModel, backend_name: str
) -> dict[str, Any]:
    """Measure the wanted parts and return their keys of the report.

    A part that cannot run here is named under ``missing`` with the reason, one that broke under ``failed``; the others
    are measured all the same.

    Args:
        options: of the verb.
        backend: with the model loaded.
        model: that is measured.
        backend_name: backend of the nodes in the live graph.
    """
    setup = TickSetup(options.maneuvers, options.futures, options.rounds, options.cpu_time)
    workload = Workload(options.maneuvers * options.futures, options.steps)
    measures: dict[str, Callable[[], dict[str, Any]]] = {
        TICK_PART: lambda: measure_ticks(WorldModel(backend, model.model_id), setup, options.peer_python),
        SHARE_PART: lambda: {
            "convolution_share": measure_share(
                model.networks, workload, options.threads, max(options.rounds // 4, 3), options.cpu_time
            )
        },
        GRAPH_PART: lambda: measure_graph(options.rates, options.seconds, options.runs, backend_name),
    }
    report: dict[str, Any] = {"missing": {}, "failed": {}}
    for part in wanted(options):
        print(f"measuring: {part}", flush=True)
        try:
            report.update(measures[part]())
        except (*_MISSING, *_FAILED) as error:
            report["missing" if isinstance(error, _MISSING) else "failed"][part] = str(error)
    return report


def lines_of(report: Mapping[str, Any]) -> list[str]:
    """Return the measured parts as lines for people, times in milliseconds."""
    lines = _tick_lines(report) if "tick_s" in report else []
    if "convolution_share" in report:
        share = report["convolution_share"]
        each = ", ".join(f"{name} {value:.0%}" for name, value in share["networks"].items())
        lines.append(
            f"share of the best convolution here ({share['best_gflops']:.0f} GFLOP/s at {share['best_shape']}, "
            f"{share['precision']}): {share['share']:.0%}; {each}"
        )
    if "sensor_to_command_s" in report:
        lines += _graph_lines(report)
    return lines + [f"{state} {part}: {why}" for state in ("missing", "failed") for part, why in report[state].items()]


def _tick_lines(report: Mapping[str, Any]) -> list[str]:
    ticks, steps, imagined = report["tick_s"], report["steps"], report["futures_imagined"]
    notes = {COLD: f"{steps[COLD]:.1f} steps", WARM: f"{steps[WARM]:.1f} steps", SHIPPED: "warm, early exit"}
    lines = ["the planner's tick:"]
    lines += [f"{row(kind, ticks[kind])}  {notes[kind]}, {imagined[kind]:.1f} futures" for kind in notes]
    rates = report["trajectories_per_s"]
    ours, peer = rates["ours"], report["peers"]["pytorch-mppi"]
    lines.append(f"  futures imagined per second: {report['futures_per_s']:.0f}")
    lines.append(
        f"  outcomes scored per second ({ours['outcomes']} a tick): {ours['with_imagination']:.0f}, "
        f"without imagining {ours['without_imagination']:.0f}"
    )
    if "missing" in peer:
        return [*lines, f"  pytorch-mppi is missing: {peer['missing']}"]
    lines += [
        row(f"peer, {count}", of) + f"  {rates['pytorch-mppi'][count]:.0f}/s" for count, of in peer["command_s"].items()
    ]
    times = rates["times_pytorch-mppi"]
    ratios = f"{times['with_imagination']:.2f}, without imagining {times['without_imagination']:.2f}"
    return [*lines, f"  times pytorch-mppi's: {ratios}"]


def _graph_lines(report: Mapping[str, Any]) -> list[str]:
    lines = ["sensor to command in the live graph:"]
    for rate, kinds in report["sensor_to_command_s"].items():
        for kind, of in kinds.items():
            run, parts = report["graph"][rate][kind], report["breakdown_s"][rate][kind]
            lines.append(
                f"{row(f'{rate} Hz {kind}', of)}  {run['plans_hz']:.1f} plans/s, "
                f"{run['commanded_share']:.0%} of scans commanded, {run['imagined_share']:.0%} of plans imagined"
            )
            medians = "  ".join(f"{part} {1e3 * parts[part]['p50']:.1f}" for part in PARTS if "p50" in parts[part])
            lines.append(f"    imagined, medians: {medians or 'none'}")
    sustained = ", ".join(f"{kind} {rate or 'none'}" for kind, rate in report["sustained_hz"].items())
    lines.append(f"  highest of these rates in Hz with at most 5 % of scans dropped: {sustained}")
    memory = ", ".join(f"{node} {mb:.0f}" for node, mb in report["rss_mb"].items())
    lines.append(f"  memory in MB: {memory}")
    lines.append(
        f"  first plan {report['start_to_first_plan_s']:.1f} s after the robot's nodes started, "
        f"{report['launch_to_first_plan_s']:.1f} s after launch"
    )
    return lines
