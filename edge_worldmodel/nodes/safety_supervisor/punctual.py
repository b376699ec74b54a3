"""What a process can do to be on time."""

from __future__ import annotations

import gc
import os


def be_punctual(priority: int) -> str:
    """Keep the garbage collector from walking what lives now and, if asked, other processes from going first.

    Args:
        priority: of SCHED_FIFO; 0: normal scheduling.

    Returns:
        What was refused and what to do, empty when nothing was.
    """
    gc.collect()
    gc.freeze()
    if priority:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        except OSError as error:
            return f"SCHED_FIFO refused ({error}): allow it with 'rtprio' in /etc/security/limits.conf."
    return ""
