"""A reliability diagram: forecast probability against observed frequency, for each horizon."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_worldmodel.core.types import Floats
from edge_worldmodel.training.validation.methods import OURS

_SHOWN_STEPS = (0, 1, 3, 5, 7)
_METHODS = {OURS: "#0b6e99", "constant_velocity_calibrated": "#d1691e"}
_KINDS = {"cells": "cells in reach", "paths": "random paths"}
_MIN_COUNT = 20
"""Bins with fewer cells or paths are too uncertain and are not drawn."""


def draw_reliability(path: Path, report: Mapping[str, Any]) -> None:
    """Draw a row of panels for cells and one for paths of each data set, a panel per horizon.

    On the diagonal probabilities are calibrated; below it they are too high. The bars show the share of all cells
    (paths) in each bin of our forecast, on a logarithmic scale from 1 in 1,000 to all.

    Args:
        path: PNG to write.
        report: of `evaluate forecast`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [(data, kind) for data in report["reliability"] for kind in _KINDS]
    figure = Figure(figsize=(2.1 * len(_SHOWN_STEPS), 2.0 * len(rows) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(rows), len(_SHOWN_STEPS), sharex=True, sharey=True, squeeze=False)
    for line, (data, kind) in zip(panels, rows, strict=True):
        for panel, step in zip(line, _SHOWN_STEPS, strict=True):
            methods = report["reliability"][data]
            tables = {name: np.array(methods[name][kind][step]) for name in _METHODS if kind in methods.get(name, {})}
            _draw_panel(panel, tables)
            panel.set_title(f"{report['horizons_s'][step]:.1f} s", fontsize=8, pad=2)
        line[0].set_ylabel(f"{data}\n{_KINDS[kind]}\nfrequency", fontsize=8)
    for panel in panels[-1]:
        panel.set_xlabel("probability", fontsize=8)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _draw_panel(panel: Any, tables: Mapping[str, Floats]) -> None:
    panel.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.8)
    for number, (name, table) in enumerate(tables.items()):
        cells, hits, probability = table.T
        error = np.abs(probability - hits).sum() / max(1.0, cells.sum())
        enough = cells >= _MIN_COUNT
        x, y = probability[enough] / cells[enough], hits[enough] / cells[enough]
        panel.plot(x, y, "o-", color=_METHODS[name], markersize=2.5, linewidth=1.2, label=name)
        panel.text(0.04, 0.9 - 0.12 * number, f"ECE {error:.3f}", color=_METHODS[name], fontsize=7)
        if name == OURS:
            share = cells / max(1.0, cells.sum())
            height = 0.25 * np.clip(1.0 + np.log10(np.maximum(share, 1e-9)) / 3.0, 0.0, 1.0)
            edges = (np.arange(len(cells)) + 0.5) / len(cells)
            panel.bar(edges, height, width=0.9 / len(cells), color=_METHODS[name], alpha=0.15)
    panel.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    panel.tick_params(labelsize=7, length=2)
