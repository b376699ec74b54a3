"""The log of a training run: a CSV file, and TensorBoard events if TensorBoard is installed."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

try:
    from torch.utils.tensorboard import SummaryWriter
except ImportError:  # tensorboard is optional
    SummaryWriter = None

LOG_NAME = "log.csv"
_COLUMNS = (
    "stage", "step", "elapsed_s", "rate", "reconstruction", "divergence", "flow", "forecast",
    "from_noise", "on_the_way", "energy", "brier", "iou_near_moving", "recall_moving", "validation_forecast",
)  # fmt: skip


class ProgressLog:
    """Appends rows to ``log.csv`` in a folder, and writes the same numbers as TensorBoard events."""

    def __init__(self, out: Path) -> None:
        """Append to the log in ``out``, if there is one."""
        self._path = out / LOG_NAME
        self._board = SummaryWriter(str(out)) if SummaryWriter else None

    def append(self, row: Mapping[str, float | str]) -> None:
        """Append one row; missing columns stay empty."""
        fresh = not self._path.exists()
        with self._path.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, _COLUMNS)
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        if self._board is not None:
            for name, value in row.items():
                if name not in ("stage", "step"):
                    self._board.add_scalar(f"{row['stage']}/{name}", float(value), int(row["step"]))
