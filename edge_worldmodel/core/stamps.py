"""Checks the stamps of one stream for late and repeated ones, and for jumps of the clock."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median

from edge_worldmodel.core.rejection import RejectedInputError, RejectionKind
from edge_worldmodel.core.time_units import NS_PER_S

_COMPARED = 15


class ClockOffset:
    """Estimates how far the stamps of a stream are behind the clock of its receiver.

    It is the median over the last messages, which one late message or one wrong stamp does not change. Besides the
    offset between two clocks it contains the time from measurement to receipt.
    """

    def __init__(self) -> None:
        self._ages_s: deque[float] = deque(maxlen=_COMPARED)

    def note(self, stamp_ns: int, received_ns: int) -> None:
        """Take the stamp of a message and the time of its receipt."""
        self._ages_s.append((received_ns - stamp_ns) / NS_PER_S)

    @property
    def offset_s(self) -> float:
        """Seconds by which the stamps are behind, negative if they are in the future; NaN until it is known."""
        return median(self._ages_s) if len(self._ages_s) == _COMPARED else math.nan


@dataclass
class StampGate:
    """Accepts stamps in rising order and distinguishes a clock that jumped from a single wrong stamp.

    A stamp far from the last one is rejected. If the next stamp follows it, the clock has really jumped (a looped
    recording, a restarted simulator), and the stream goes on from there.

    Attributes:
        back_jump_s: a stamp this much before the last one, or more, counts as a jump.
        forward_jump_s: a stamp this much after the last one, or more, counts as a jump.
        last_ns: the last accepted stamp; None: there is none yet.
    """

    back_jump_s: float = 1.0
    forward_jump_s: float = 10.0
    last_ns: int | None = None
    _suspect_ns: int | None = None

    def admit(self, stamp_ns: int, stream: str) -> bool:
        """Accept the next stamp of the stream.

        Args:
            stamp_ns: the stamp.
            stream: name of the stream for error messages.

        Returns:
            Whether the clock has jumped. Then data from before the jump must be dropped.

        Raises:
            RejectedInputError: MALFORMED, DUPLICATE_STAMP, OUT_OF_ORDER or CLOCK_JUMP; ``last_ns`` stays as it is.
        """
        if stamp_ns < 0:
            raise RejectedInputError(
                RejectionKind.MALFORMED, f"{stream}: stamp {stamp_ns} ns is negative; look at its driver"
            )
        if self.last_ns is None:
            self.last_ns = stamp_ns
            return False
        step_s = (stamp_ns - self.last_ns) / NS_PER_S
        if -self.back_jump_s < step_s < self.forward_jump_s:
            return self._follow(stamp_ns, step_s, stream)
        return self._jump(stamp_ns, step_s, stream)

    def _follow(self, stamp_ns: int, step_s: float, stream: str) -> bool:
        if step_s == 0.0:
            cause = ": its driver does not set header.stamp" if stamp_ns == 0 else ""
            raise RejectedInputError(RejectionKind.DUPLICATE_STAMP, f"{stream}: stamp {stamp_ns} ns came twice{cause}")
        if step_s < 0.0:
            raise RejectedInputError(
                RejectionKind.OUT_OF_ORDER, f"{stream}: stamp {stamp_ns} ns is {-step_s:.3f} s before the last one"
            )
        self.last_ns, self._suspect_ns = stamp_ns, None
        return False

    def _jump(self, stamp_ns: int, step_s: float, stream: str) -> bool:
        suspect_ns, self._suspect_ns = self._suspect_ns, stamp_ns
        if suspect_ns is None or not 0 < stamp_ns - suspect_ns < self.forward_jump_s * NS_PER_S:
            raise RejectedInputError(
                RejectionKind.CLOCK_JUMP, f"{stream}: stamp {stamp_ns} ns is {step_s:+.1f} s from the last one"
            )
        self.last_ns, self._suspect_ns = stamp_ns, None
        return True
