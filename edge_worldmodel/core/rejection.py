"""Reasons why an input was not used, as a fixed list, so that nodes can count them."""

from __future__ import annotations

from enum import Enum

from edge_worldmodel.core.errors import InputError


class RejectionKind(str, Enum):
    """Kinds of problems of an input; the value is a description for people."""

    EMPTY = "nothing in it"
    MALFORMED = "malformed"
    TOO_LARGE = "too large"
    DUPLICATE_STAMP = "duplicate stamp"
    OUT_OF_ORDER = "stamp out of order"
    CLOCK_JUMP = "stamp far from the last one"
    CLOCK_RESET = "clock jumped, buffers emptied"
    BEAMS_CHANGED = "number of beams changed"
    POSE_NOT_FINITE = "pose not finite"
    POSE_JUMP = "pose jumped, older sweeps dropped"
    NO_POSE = "no pose for this stamp"
    NO_SWEEP = "no sweep near this stamp"


class RejectedInputError(InputError):
    """An input was not used.

    Args:
        kind: kind of the problem.
        message: description that quotes the bad value.
    """

    def __init__(self, kind: RejectionKind, message: str) -> None:
        """Store the kind and the message."""
        super().__init__(message)
        self.kind = kind
