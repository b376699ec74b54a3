"""The log of a training run: a table in a file, and TensorBoard's where it is installed."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

try:
    from torch.utils.tensorboard import SummaryWriter
except ImportError:  # tensorboard is not installed: the table is enough
    SummaryWriter = None

LOG_NAME = "log.csv"
_COLUMNS = (
    "stage", "step", "elapsed_s", "rate", "reconstruction", "divergence", "flow", "forecast",
    "from_noise", "on_the_way", "energy", "brier", "iou_near_moving", "recall_moving", "validation_forecast",
)  # fmt: skip


class ProgressLog:
    """Appends rows to ``log.csv`` in a folder, and writes their numbers as TensorBoard events beside it."""

    def __init__(self, out: Path) -> None:
        """Go on with the folder's log, if it has one."""
        self._path = out / LOG_NAME
        self._board = SummaryWriter(str(out)) if SummaryWriter else None

    def append(self, row: Mapping[str, float | str]) -> None:
        """Write one row; numbers that it lacks stay empty."""
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
