"""Memory and processor time of running processes, from /proc."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple


class Usage(NamedTuple):
    """One reading of a process; swapped memory is zero where the kernel does not count it."""

    resident_mb: float
    peak_mb: float
    swapped_mb: float
    cpu_s: float


def read_usage(pid: int) -> Usage:
    """Read what a process has used so far.

    Raises:
        OSError: there is no such process.
    """
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    lines = (line.split() for line in status.splitlines())
    kilobytes = {words[0]: float(words[1]) for words in lines if words[2:] == ["kB"]}
    resident_mb, peak_mb, swapped_mb = (kilobytes.get(key, 0.0) / 1024.0 for key in ("VmRSS:", "VmHWM:", "VmSwap:"))
    # The name of the program, in brackets, may hold spaces.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return Usage(resident_mb, peak_mb, swapped_mb, cpu_s)


@dataclass
class UsageHistory:
    """Readings of one process with the seconds since launch at which they were made."""

    readings: list[tuple[float, Usage]] = field(default_factory=list)

    def add(self, pid: int, now_s: float) -> None:
        """Add a reading; a process that has just ended is left out."""
        with contextlib.suppress(OSError):
            self.readings.append((now_s, read_usage(pid)))

    def peak_mb(self) -> float:
        """Return the highest resident memory so far."""
        return max((usage.peak_mb for _, usage in self.readings), default=0.0)

    def swapped_mb(self) -> float:
        """Return the most memory that was swapped out at any reading."""
        return max((usage.swapped_mb for _, usage in self.readings), default=0.0)

    def growth_mb(self) -> float:
        """Return how much resident memory grew from the first reading to the last."""
        return self.readings[-1][1].resident_mb - self.readings[0][1].resident_mb if self.readings else 0.0

    def cores(self) -> float:
        """Return the processor seconds per second between the first reading and the last."""
        if len(self.readings) < 2:
            return 0.0
        (first_s, first), (last_s, last) = self.readings[0], self.readings[-1]
        return (last.cpu_s - first.cpu_s) / max(last_s - first_s, 1e-9)
