"""Draws profile.png: latency of every frame by part, work of all threads in one second, memory of the nodes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from edge_worldmodel.evaluation.bench.perfetto import FRAME_PATH, rows_of
from edge_worldmodel.evaluation.bench.span_log import PARTS, FrameLatency, NodeLog, Span
from edge_worldmodel.evaluation.live.graph_run import GraphRun

_PARTS_COLOURS = dict(zip(PARTS, ("#8d6e63", "#4fc3f7", "#ef6c00", "#7cb342", "#b0bec5"), strict=True))
_NETWORK_COLOURS = {"encoder": "#ffb74d", "denoiser": "#ef6c00", "decoder": "#bf360c"}
_CALLBACK, _ARROW = "#cfd8dc", "#1747d1"
_NODES = ("sim", "perception", "latent_cache", "rollout_planner", "safety_supervisor")
_MAX_FRAMES = 200


def draw(
    run: GraphRun, latencies: list[FrameLatency], window_ns: tuple[int, int], report: Mapping[str, Any], target: Path
) -> None:
    """Draw the picture.

    Args:
        run: the measured run.
        latencies: of its frames.
        window_ns: begin and end of the interval that is shown in detail (CLOCK_MONOTONIC).
        report: as in profile.json.
        target: PNG to write.
    """
    figure = Figure(figsize=(15.0, 11.0), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    frames, timeline, memory = figure.subplots(3, 1, height_ratios=(3.0, 3.6, 2.0))
    _draw_frames(frames, run, latencies, report)
    _draw_timeline(timeline, run.logs, window_ns)
    _draw_memory(memory, run)
    figure.savefig(target)


def _draw_frames(axes: Axes, run: GraphRun, frames: list[FrameLatency], report: Mapping[str, Any]) -> None:
    shown = frames[:_MAX_FRAMES]
    at_s = np.array([(frame.began_ns - run.began_ns) * 1e-9 for frame in shown])
    bottom_ms = np.zeros(len(shown))
    width_s = 0.8 / run.setup.rate_hz
    for part in PARTS:
        height_ms = np.array([1e3 * frame.parts_s[part] for frame in shown])
        axes.bar(at_s, height_ms, width_s, bottom=bottom_ms, color=_PARTS_COLOURS[part], label=part)
        bottom_ms += height_ms
    total = report["sensor_to_command_s"]
    for name, style in (("p50", "-"), ("p95", "--"), ("p99", ":")):
        axes.axhline(1e3 * total[name], color="black", lw=1.0, ls=style, label=f"{name} {1e3 * total[name]:.1f} ms")
    kind = "warm" if report["warm"] else "cold"
    axes.set_title(
        f"Sensor to command, frame by frame: {report['rate_hz']:g} Hz, {kind}, {report['backend']}, "
        f"{report['machine']}, load {report['load_average']:.1f}",
        loc="left",
    )
    axes.set(xlabel="seconds since counting began", ylabel="ms", xlim=(-width_s, None))
    _legend_beside(axes)


def _draw_timeline(axes: Axes, logs: Mapping[str, NodeLog], window_ns: tuple[int, int]) -> None:
    begin_ns, end_ns = window_ns
    lanes = [(node, thread) for node in _NODES if node in logs for thread in rows_of(logs[node])]
    lane_of = {lane: len(lanes) - 1 - index for index, lane in enumerate(lanes)}
    for node, thread in lanes:
        spans = [s for s in logs[node].spans if s.thread == thread and s.end_ns >= begin_ns and s.begin_ns < end_ns]
        _draw_lane(axes, spans, lane_of[node, thread], begin_ns)
    _draw_frame_paths(axes, logs, lane_of, window_ns)
    axes.set_yticks(list(lane_of.values()), [f"{node}\n{logs[node].threads[thread]}" for node, thread in lanes])
    axes.set(xlim=(0.0, (end_ns - begin_ns) / 1e6), ylim=(-0.6, len(lanes) - 0.4), xlabel="ms")
    axes.set_title("Work of each thread (trace.json shows the same in Perfetto)", loc="left")
    handles = [Patch(color=colour, label=name) for name, colour in _NETWORK_COLOURS.items()]
    _legend_beside(
        axes, [*handles, Patch(color=_CALLBACK, label="other work"), Patch(color=_ARROW, label="path of a frame")]
    )


def _draw_lane(axes: Axes, spans: list[Span], lane: int, begin_ns: int) -> None:
    """Draw callbacks grey and wide, networks coloured on top of them."""
    for name in (None, *_NETWORK_COLOURS):
        drawn = [s for s in spans if (s.name == name if name else s.name not in _NETWORK_COLOURS)]
        bars = [((s.begin_ns - begin_ns) / 1e6, max((s.end_ns - s.begin_ns) / 1e6, 0.2)) for s in drawn]
        height, colour = (0.5, _NETWORK_COLOURS[name]) if name else (0.8, _CALLBACK)
        axes.broken_barh(bars, (lane - height / 2, height), facecolors=colour, zorder=3 if name else 2)


def _draw_frame_paths(
    axes: Axes, logs: Mapping[str, NodeLog], lane_of: Mapping[tuple[str, int], int], window_ns: tuple[int, int]
) -> None:
    places = [(node, logs[node].first(name)) for node, name in FRAME_PATH]
    for stamp, scan in places[0][1].items():
        if not window_ns[0] <= scan.at_ns < window_ns[1]:
            continue
        passed = [(node, marks[stamp]) for node, marks in places if stamp in marks]
        x_ms = [(mark.at_ns - window_ns[0]) / 1e6 for _, mark in passed]
        axes.plot(
            x_ms, [lane_of[node, mark.thread] for node, mark in passed], color=_ARROW, lw=1.0, alpha=0.8, zorder=5
        )
        axes.plot(x_ms[:1], [lane_of[passed[0][0], passed[0][1].thread]], "o", color=_ARROW, markersize=3, zorder=5)


def _draw_memory(axes: Axes, run: GraphRun) -> None:
    for node in _NODES:
        if node in run.usage and (readings := run.usage[node].readings):
            peak_mb, cores = run.usage[node].peak_mb(), run.usage[node].cores()
            label = f"{node}\npeak {peak_mb:.0f} MB, {cores:.2f} cores"
            axes.plot([at_s for at_s, _ in readings], [usage.resident_mb for _, usage in readings], label=label)
    axes.set(xlabel="seconds since launch", ylabel="resident MB", ylim=(0.0, None))
    axes.set_title("Memory", loc="left")
    _legend_beside(axes)


def _legend_beside(axes: Axes, handles: list[Patch] | None = None) -> None:
    axes.legend(handles=handles, fontsize=9, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
