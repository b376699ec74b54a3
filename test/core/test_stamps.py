"""Order of stamps: single wrong ones are refused, a clock that really moved is followed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.rejection import RejectedInputError, RejectionKind
from edge_worldmodel.core.stamps import ClockOffset, StampGate

S = 1_000_000_000


def cause_of(gate: StampGate, stamp_ns: int) -> RejectionKind:
    with pytest.raises(RejectedInputError, match="scan") as refused:
        gate.admit(stamp_ns, "scan")
    return refused.value.kind


def test_late_and_double_stamps_are_refused_and_forgotten() -> None:
    gate = StampGate()
    assert gate.admit(100 * S, "scan") is False
    assert cause_of(gate, 100 * S) is RejectionKind.DUPLICATE_STAMP
    assert cause_of(gate, 100 * S - 1) is RejectionKind.OUT_OF_ORDER
    assert cause_of(gate, -1) is RejectionKind.MALFORMED
    assert gate.admit(100 * S + 1, "scan") is False


@pytest.mark.parametrize("wrong_ns", [0, 50 * S, 4_000 * S])
def test_one_wrong_stamp_does_not_move_the_clock(wrong_ns: int) -> None:
    gate = StampGate()
    gate.admit(100 * S, "scan")
    assert cause_of(gate, wrong_ns) is RejectionKind.CLOCK_JUMP
    assert gate.admit(100 * S + 1, "scan") is False
    assert cause_of(gate, wrong_ns) is RejectionKind.CLOCK_JUMP


@pytest.mark.parametrize("start_ns", [0, 20 * S, 4_000 * S])
def test_a_clock_that_moved_is_followed_from_the_second_stamp(start_ns: int) -> None:
    gate = StampGate()
    gate.admit(100 * S, "scan")
    assert cause_of(gate, start_ns) is RejectionKind.CLOCK_JUMP
    assert gate.admit(start_ns + S // 10, "scan") is True
    assert gate.admit(start_ns + S // 5, "scan") is False


@given(st.lists(st.integers(-5, 200 * S), max_size=40))
@settings(deadline=None)
def test_admitted_stamps_rise_between_resets(stamps: list[int]) -> None:
    gate, last = StampGate(), -1
    for stamp_ns in stamps:
        try:
            if gate.admit(stamp_ns, "scan"):
                last = -1
        except RejectedInputError:
            continue
        assert stamp_ns > last
        last = stamp_ns


def test_a_driver_that_sets_no_stamps_is_named() -> None:
    gate = StampGate()
    gate.admit(0, "scan")
    with pytest.raises(RejectedInputError, match="does not set header.stamp"):
        gate.admit(0, "scan")
    with pytest.raises(RejectedInputError, match="negative"):
        gate.admit(-5, "scan")


@pytest.mark.parametrize("offset_s", [0.04, 3.0, -2.5])
def test_the_offset_of_a_clock_is_the_median_of_the_last_messages(offset_s: float) -> None:
    clock = ClockOffset()
    for step in range(40):
        assert step >= 15 or math.isnan(clock.offset_s)
        late_s = 5.0 if step % 4 == 0 else 0.002 * (step % 3)
        clock.note(round((100.0 + 0.1 * step - offset_s - late_s) * 1e9), round((100.0 + 0.1 * step) * 1e9))
    assert clock.offset_s == pytest.approx(offset_s + 0.002, abs=0.003)
