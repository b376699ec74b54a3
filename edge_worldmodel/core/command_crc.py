"""The checksum of a supervisor's command, as its watchdog computes it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

_LAYOUT = struct.Struct("<QiI6d")


def command_crc(sequence: int, sec: int, nanosec: int, twist: Sequence[float]) -> int:
    """Return the CRC-32 of SupervisorCommand.msg.

    Args:
        sequence: number of the command, 0 to 2**64 - 1.
        sec: seconds of its stamp.
        nanosec: nanoseconds of its stamp.
        twist: linear x y z [m/s], then angular x y z [rad/s], in the base frame.

    Returns:
        The checksum, an unsigned number of 32 bits.
    """
    return zlib.crc32(_LAYOUT.pack(sequence, sec, nanosec, *twist))
