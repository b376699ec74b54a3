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

_COLOURS = {"success": "#3a9a5b", "contact": "#d1495b", "timeout": "#e9b44c", "error": "#59636e"}


def overview(planners: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a picture of the endings with their intervals, times to the goal, and nearest gaps of all planners."""
    names = list(planners)
    figure, axes = plt.subplots(1, 3, figsize=(13, 0.5 * len(names) + 1.6), layout="constrained", sharey=True)
    try:
        _endings(axes[0], planners)
        for axis, key, title in (
            (axes[1], "time_s", "time to the goal [s]"),
            (axes[2], "min_distance_m", "nearest [m]"),
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
    mine = (row for row in rows if row["planner"] == planner and (key != "time_s" or row["ending"] == "success"))
    return np.array([row[key] for row in mine if row[key] is not None], float)


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
    axis.set_xlim(0, 1)
    axis.set_title("endings, with the interval of success", fontsize=10)
    axis.legend(fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.12), frameon=False)


def _spread(axis: Any, names: Sequence[str], values: Sequence[np.ndarray[Any, Any]], title: str) -> None:
    for i in range(len(names)):
        if len(values[i]):
            jitter = np.linspace(-0.18, 0.18, len(values[i]))
            axis.plot(values[i], i + jitter, ".", color="#4a78b5", alpha=0.4, markersize=4)
            axis.plot([np.median(values[i])] * 2, [i - 0.3, i + 0.3], color="black")
    axis.set_title(f"{title}, line: median", fontsize=10)
    axis.grid(axis="x", alpha=0.3)
