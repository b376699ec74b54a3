"""Conditions that only a person ends: emergency stop, latched faults, a landing; and their record.

The record outlives the process: a supervisor that starts again reads it before its first tick, and goes on waiting.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from edge_worldmodel.core.errors import LatchStoreError
from edge_worldmodel.core.safety.faults import Fault, FaultKind
from edge_worldmodel.core.safety.states import State

SERVICE = "service"
"""Source of the emergency stop for everything that uses the service ``supervisor/estop``."""
_KINDS = list(FaultKind)


@dataclass(frozen=True)
class LatchRecord:
    """Everything that waits for a person.

    Attributes:
        state: state to start in: LATCHED, ESTOP or LANDING; STARTING if nothing waits for a person.
        causes: latched faults, at most one of a kind, the most serious first.
        pressed: sources that press the emergency stop.
        landing: reason of a landing.
    """

    state: State = State.STARTING
    causes: tuple[Fault, ...] = ()
    pressed: frozenset[str] = frozenset()
    landing: str = ""


class LatchStore(Protocol):
    """Keeps the newest record."""

    def read(self) -> LatchRecord:
        """Return the record that was written last; an empty one if there is none.

        Raises:
            LatchStoreError: there is one that cannot be read.
        """

    def write(self, record: LatchRecord) -> None:
        """Replace the record. When this returns, the new record survives a power failure.

        Raises:
            LatchStoreError: it could not be written.
        """


@dataclass
class MemoryLatchStore:
    """Keeps the record for as long as this object lives: for simulations and tests."""

    record: LatchRecord = field(default_factory=LatchRecord)

    def read(self) -> LatchRecord:
        """Return the record."""
        return self.record

    def write(self, record: LatchRecord) -> None:
        """Replace the record."""
        self.record = record


class EmergencyStop:
    """Emergency stop with several sources: pressed while any of them presses it.

    A press that is shorter than a tick still counts: ``pressed`` stays true until ``acknowledge``.
    """

    def __init__(self, sources: Iterable[str] = ()) -> None:
        self.sources = set(sources)
        self._unacknowledged = False

    def press(self, pressed: bool, source: str) -> None:
        """Press or release the stop; a source releases only what it pressed itself."""
        if pressed:
            self.sources.add(source)
            self._unacknowledged = True
        else:
            self.sources.discard(source)

    @property
    def pressed(self) -> bool:
        """Whether the stop is pressed, or was pressed since the last ``acknowledge``."""
        return self._unacknowledged or bool(self.sources)

    def acknowledge(self) -> None:
        """Note that the robot was stopped for it."""
        self._unacknowledged = False


class Latches:
    """Latched faults and their record.

    Args:
        store: keeps the record.
        known_sources: sources of the emergency stop that can still release it. A stop pressed by another source stays
            latched, but a reset is enough.
    """

    def __init__(self, store: LatchStore, known_sources: Iterable[str]) -> None:
        self._store = store
        try:
            record = store.read()
        except LatchStoreError as error:
            record = LatchRecord(State.LATCHED, (Fault(FaultKind.RECORD, str(error)),))
        known = set(known_sources)
        pressed = frozenset(source for source in record.pressed if source.partition(",")[0] in known)
        self.restored = LatchRecord(record.state, record.causes, pressed, record.landing)
        self._causes = {fault.kind: fault for fault in record.causes}
        self._recorded: LatchRecord | None = None

    @property
    def causes(self) -> tuple[Fault, ...]:
        """Latched faults, the most serious first."""
        return tuple(sorted(self._causes.values(), key=lambda fault: _KINDS.index(fault.kind)))

    def add(self, fault: Fault) -> None:
        """Latch a fault. Of each kind the first one stays, so that its text does not change in each tick."""
        self._causes.setdefault(fault.kind, fault)

    def save(self, state: State, pressed: Iterable[str], landing: str) -> bool:
        """Record the present state if it differs from the last record.

        A record that cannot be written is itself a cause: a person has to learn of it before the robot moves again.

        Returns:
            Whether all is recorded.
        """
        record = LatchRecord(state, self.causes, frozenset(pressed), landing)
        if record == self._recorded:
            return True
        try:
            self._store.write(record)
        except LatchStoreError as error:
            self.add(Fault(FaultKind.RECORD, str(error)))
            # The next attempt is made when there is something new to record.
            self._recorded = LatchRecord(state, self.causes, frozenset(pressed), landing)
            return False
        self._recorded = record
        return True

    def clear(self) -> str:
        """Forget all latched faults, first in the record.

        Returns:
            Why this is not possible; empty if it was done.
        """
        try:
            self._store.write(LatchRecord())
        except LatchStoreError as error:
            return str(error)
        self._recorded = LatchRecord()
        self._causes.clear()
        return ""
