"""The supervisor's state machine: what each finding of a tick leads to, from every state."""

from __future__ import annotations

from enum import Enum, IntEnum


class State(IntEnum):
    """States, with the numbers of Verdict.msg."""

    STARTING = 0
    ACTIVE = 1
    LIMITING = 2
    STOPPING = 3
    STOPPED = 4
    HOLD = 5
    LANDING = 6
    LATCHED = 7
    ESTOP = 8


class Condition(Enum):
    """What a tick found; exactly one holds, the first that applies. RESET is a person's call between ticks."""

    ESTOP = "emergency stop pressed"
    SINKING = "drone: fault lasts, or does not allow to hold"
    LATCHING = "fault that needs a person"
    MOVING = "fault, robot still moves"
    STANDING = "fault, robot stands"
    HOVERING = "fault, drone"
    LIMITED = "no fault, slower than planned"
    CLEAR = "no fault"
    RESET = "reset accepted"


_ROWS = {
    # from:          ESTOP    SINKING  LATCHING MOVING   STANDING HOVERING LIMITED  CLEAR    RESET
    State.STARTING: "ESTOP    STARTING LATCHED  STARTING STARTING STARTING LIMITING ACTIVE   STARTING",
    State.ACTIVE:   "ESTOP    LANDING  LATCHED  STOPPING STOPPED  HOLD     LIMITING ACTIVE   ACTIVE",
    State.LIMITING: "ESTOP    LANDING  LATCHED  STOPPING STOPPED  HOLD     LIMITING ACTIVE   LIMITING",
    State.STOPPING: "ESTOP    LANDING  LATCHED  STOPPING STOPPED  HOLD     LIMITING ACTIVE   STOPPING",
    State.STOPPED:  "ESTOP    LANDING  LATCHED  STOPPING STOPPED  HOLD     LIMITING ACTIVE   STOPPED",
    State.HOLD:     "ESTOP    LANDING  LATCHED  HOLD     HOLD     HOLD     LIMITING ACTIVE   HOLD",
    State.LANDING:  "ESTOP    LANDING  LANDING  LANDING  LANDING  LANDING  LANDING  LANDING  STARTING",
    State.LATCHED:  "ESTOP    LANDING  LATCHED  LATCHED  LATCHED  LATCHED  LATCHED  LATCHED  STARTING",
    State.ESTOP:    "ESTOP    LANDING  LATCHED  LATCHED  LATCHED  LATCHED  LATCHED  LATCHED  STARTING",
}  # fmt: skip
TRANSITIONS = {
    (state, condition): State[name]
    for state, row in _ROWS.items()
    for condition, name in zip(Condition, row.split(), strict=True)
}
PASSING = frozenset({State.ACTIVE, State.LIMITING})
"""The only states in which a command is passed on."""
WAITING_FOR_PERSON = frozenset({State.LANDING, State.LATCHED, State.ESTOP})
"""States that only a person's reset leaves."""
