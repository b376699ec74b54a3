"""Charts of the report, as PNG data URLs."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter

_COLOURS = {"success": "#3a9a5b", "contact": "#d1495b", "timeout": "#e9b44c", "error": "#59636e"}
_PLANNERS = {
    "ours": "#e67e22", "ours_live": "#a04000", "ours_cv": "#d4ac0d",
    "ours_frozen": "#85c1e9", "ours_unconditioned": "#f5b041", "ours_calm": "#f8c471",
    "dwa": "#4a78b5", "mppi_static": "#7f8c8d", "mppi_cv": "#8e44ad", "orca": "#2a9d8f", "pytorch_mppi": "#c0a000",
}  # fmt: skip


def comparison(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a chart of success and contact of each planner on every scenario, with intervals, as a PNG data URL."""
    planners = list(dict.fromkeys(name for figures in results.values() for name in figures))
    figure, axes = plt.subplots(
        1, 2, figsize=(13, len(results) * (0.16 * len(planners) + 0.12) + 1.0), layout="constrained", sharey=True
    )
    try:
        for axis, key in zip(axes, ("success", "contact"), strict=True):
            _shares(axis, results, planners, key)
            axis.set_title(f"{key}, with 95 % intervals", fontsize=11)
        axes[0].set_yticks(range(len(results)), list(results))
        axes[0].invert_yaxis()
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(planners), frameon=False, fontsize=10)
        return data_url(figure)
    finally:
        plt.close(figure)


def _shares(axis: Any, results: Mapping[str, Mapping[str, Any]], planners: Sequence[str], key: str) -> None:
    for place, planner in enumerate(planners):
        rows = [(row, figures[planner]) for row, figures in enumerate(results.values()) if planner in figures]
        shares = np.array([figures[key] for _, figures in rows])
        low, high = np.array([figures["ci95"][key] for _, figures in rows], float).T
        offset = 0.7 * ((place + 0.5) / len(planners) - 0.5)
        axis.errorbar(
            shares, [row + offset for row, _ in rows], fmt="o", markersize=5, capsize=2, linewidth=1.2, label=planner,
            xerr=np.maximum([shares - low, high - shares], 0.0), color=_PLANNERS.get(planner, "#333333"),
        )  # fmt: skip
    for row in range(1, len(results)):
        axis.axhline(row - 0.5, color="#d8dee4", linewidth=0.8)
    axis.set_xlim(-0.02, 1.02)
    axis.set_ylim(-0.5, len(results) - 0.5)
    axis.set_xticks(np.linspace(0, 1, 5))
    axis.xaxis.set_major_formatter(PercentFormatter(1.0))
    axis.grid(axis="x", alpha=0.3)


def overview(planners: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a chart of the endings, times to the goal and clearances of all planners, as a PNG data URL."""
    names = list(planners)
    figure, axes = plt.subplots(
        1, 3, figsize=(13, 0.5 * len(names) + 1.6), layout=ConstrainedLayoutEngine(wspace=0.06), sharey=True
    )
    try:
        _endings(axes[0], planners)
        for axis, key, title in (
            (axes[1], "time_s", "time to the goal [s]"),
            (axes[2], "min_distance_m", "clearance [m]"),
        ):
            _spread(axis, names, [_values(rows, name, key) for name in names], title)
        axes[0].set_yticks(range(len(names)), names)
        axes[0].invert_yaxis()
        return data_url(figure)
    finally:
        plt.close(figure)


def data_url(figure: Any) -> str:
    """Return a figure as a PNG data URL."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _values(rows: Sequence[Mapping[str, Any]], planner: str, key: str) -> np.ndarray[Any, Any]:
    chosen = (row for row in rows if row["planner"] == planner and (key != "time_s" or row["ending"] == "success"))
    return np.array([row[key] for row in chosen if row[key] is not None], float)


def _endings(axis: Any, planners: Mapping[str, Any]) -> None:
    left = np.zeros(len(planners))
    for ending, colour in _COLOURS.items():
        shares = np.array([figures[ending] for figures in planners.values()])
        if ending != "error" or shares.any():
            axis.barh(range(len(planners)), shares, left=left, color=colour, label=ending, height=0.6)
        left += shares
    for i, figures in enumerate(planners.values()):
        low, high = figures["ci95"]["success"]
        share = figures["success"]
        axis.errorbar(share, i, xerr=[[max(share - low, 0)], [max(high - share, 0)]], color="black", capsize=3)
    axis.set_xlim(0, 1.02)
    axis.set_xticks(np.linspace(0, 1, 5))
    axis.xaxis.set_major_formatter(PercentFormatter(1.0))
    axis.set_title("endings, with the 95 % interval of success", fontsize=10)
    axis.legend(fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.12), frameon=False)


def _spread(axis: Any, names: Sequence[str], values: Sequence[np.ndarray[Any, Any]], title: str) -> None:
    for i in range(len(names)):
        if len(values[i]):
            jitter = np.linspace(-0.18, 0.18, len(values[i]))
            axis.plot(values[i], i + jitter, "o", color="#4a78b5", alpha=0.6, markersize=5, markeredgewidth=0)
            axis.plot([np.median(values[i])] * 2, [i - 0.3, i + 0.3], color="black", linewidth=1.8)
    if not any(len(found) for found in values):
        axis.text(0.5, 0.5, "none", transform=axis.transAxes, ha="center", color="#59636e")
    axis.set_xlim(left=min(-0.02 * axis.get_xlim()[1], 0.0))
    axis.xaxis.set_major_locator(MaxNLocator(7))
    axis.set_title(f"{title}: episodes and median", fontsize=10)
    axis.grid(axis="x", alpha=0.3)
