"""Quality over time for all models of some reports: `python -m edge_worldmodel.compression.chart PNG REPORT.json ...`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

_STEPS = {"steps_1": ("o", "1 step"), "steps_4": ("s", "4 steps")}


def draw(path: Path, reports: Sequence[dict[str, Any]]) -> None:
    """Draw Brier score on moving cells over the time of a tick, each relative to the first model of its report."""
    figure, axes = plt.subplots(figsize=(7.5, 4.5), constrained_layout=True)
    for key, (marker, label) in _STEPS.items():
        points: dict[str, tuple[float, float, float]] = {}
        for report in reports:
            for name, over in report[key].items():
                if name.endswith("_over_before"):
                    made = report[key]["models"]["after"]["model_id"].rpartition("-")[0]
                    points[made] = (over["speed"], 100 * over["brier_loss"], 100 * over["size"])
                    low, high = 100 * over["brier_loss_low"], 100 * over["brier_loss_high"]
                    axes.plot([over["speed"]] * 2, [low, high], color="0.7", zorder=1)
        axes.scatter(*zip(*[p[:2] for p in points.values()], strict=True), marker=marker, label=label, zorder=2)
        for name, (speed, loss, size) in points.items():
            axes.annotate(f"{name}, {size:.0f} %", (speed, loss), textcoords="offset points", xytext=(7, 5), fontsize=8)
    axes.plot(1.0, 0.0, "k*", markersize=11, label="FP32 as trained")
    axes.axhline(1.0, color="0.5", linestyle=":", label="INT8 may lose 1 %")
    axes.axvline(2.3, color="0.5", linestyle="--", label="INT8 is to be 2.3 times as fast")
    axes.set(xlabel="times as fast as FP32 (median tick, one core)", ylabel="Brier, moving cells: % worse than FP32")
    axes.set_title("Compressed models, with their share of the bytes; bars: 95 % over scenes", fontsize=10)
    axes.margins(x=0.18)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), [json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[2:]])
