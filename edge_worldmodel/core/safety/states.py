"""State machine of the supervisor: the next state for each state and each condition that a tick found."""

from __future__ import annotations

from enum import Enum, IntEnum


class State(IntEnum):
    """States of the supervisor, with the numbers of Verdict.msg."""

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
    """Condition found in a tick: the first that applies. RESET is a reset by a person, between ticks."""

    ESTOP = "emergency stop pressed"
    LAND = "drone: a fault lasts too long, or does not allow holding"
    LATCH = "fault that needs a person"
    MOVING = "fault, robot still moves"
    AT_REST = "fault, robot is at rest"
    HOVER = "fault, drone"
    LIMITED = "no fault, slower than planned"
    CLEAR = "no fault"
    RESET = "reset accepted"


_ROWS = {
    # from:          ESTOP    LAND     LATCH    MOVING   AT_REST  HOVER    LIMITED  CLEAR    RESET
    State.STARTING: "ESTOP    LANDING  LATCHED  STARTING STARTING STARTING LIMITING ACTIVE   STARTING",
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
"""States in which commands are passed on."""
WAITING_FOR_PERSON = frozenset({State.LANDING, State.LATCHED, State.ESTOP})
"""States that only a reset by a person leaves."""
