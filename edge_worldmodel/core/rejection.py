"""Why an input was not used, from a fixed list, so that nodes can count and people can act."""

from __future__ import annotations

from enum import Enum

from edge_worldmodel.core.errors import InputError


class RejectionKind(str, Enum):
    """Everything that can be wrong or remarkable about an input; the value is what a person reads."""

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
    """An input that was not used; ``kind`` says why in one of a fixed set of ways."""

    def __init__(self, kind: RejectionKind, message: str) -> None:
        """Keep the cause beside the message, which quotes the bad value."""
        super().__init__(message)
        self.kind = kind
