"""The pose buffer: interpolation, extrapolation, twists, jumps and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.geometry import compose, wrap_angle
from edge_worldmodel.core.perception.pose_buffer import PoseBuffer, extrapolate
from edge_worldmodel.core.rejection import RejectedInputError, RejectionKind

S = 1_000_000_000
MS = 1_000_000


def cause_at(buffer: PoseBuffer, stamp_ns: int) -> RejectionKind:
    with pytest.raises(RejectedInputError) as refused:
        buffer.at(stamp_ns)
    return refused.value.kind


def driven(twist: np.ndarray, *, with_twist: bool, period_ms: int = 20, count: int = 60) -> PoseBuffer:
    buffer = PoseBuffer()
    for i in range(count):
        pose = extrapolate([1, 2, 3], twist, i * period_ms / 1000)
        buffer.add(S + i * period_ms * MS, pose, twist if with_twist else None)
    return buffer


twists = st.tuples(st.floats(-2, 2), st.floats(-1, 1), st.floats(-2, 2)).map(np.array)


@given(twists, st.booleans(), st.integers(0, 1180))
@settings(deadline=None)
def test_place_and_twist_on_an_arc(twist: np.ndarray, with_twist: bool, elapsed_ms: int) -> None:
    pose, found = driven(twist, with_twist=with_twist).at(S + elapsed_ms * MS)
    expected = extrapolate([1, 2, 3], twist, elapsed_ms / 1000)
    np.testing.assert_allclose(pose[:2], expected[:2], atol=2e-3)
    np.testing.assert_allclose(wrap_angle(pose[2] - expected[2]), 0.0, atol=1e-6)
    np.testing.assert_allclose(found, twist, atol=0.05)


@given(twists)
@settings(deadline=None)
def test_a_little_ahead_follows_the_arc_and_no_farther(twist: np.ndarray) -> None:
    buffer = driven(twist, with_twist=True)
    newest_ns = S + 59 * 20 * MS
    assert buffer.newest_ns == newest_ns
    pose, _ = buffer.at(newest_ns + 100 * MS)
    expected = extrapolate([1, 2, 3], twist, 1.28)
    np.testing.assert_allclose(pose[:2], expected[:2], atol=1e-6)
    assert cause_at(buffer, newest_ns + 151 * MS) is RejectionKind.NO_POSE


@given(twists, st.floats(0.0, 0.5))
@settings(deadline=None)
def test_extrapolation_is_many_small_steps(twist: np.ndarray, time_s: float) -> None:
    pose = np.array([1.0, -2.0, 0.5])
    for _ in range(500):
        pose = compose(pose, twist * time_s / 500)
    np.testing.assert_allclose(extrapolate([1.0, -2.0, 0.5], twist, time_s), pose, atol=5e-3)


def test_what_is_not_known_is_refused() -> None:
    buffer = PoseBuffer(max_gap_s=0.5)
    assert buffer.newest_ns is None
    assert cause_at(buffer, S) is RejectionKind.NO_POSE
    buffer.add(10 * S, [0, 0, 0])
    np.testing.assert_array_equal(buffer.at(10 * S)[1], 0.0)
    assert cause_at(buffer, 10 * S - 1) is RejectionKind.NO_POSE
    buffer.add(11 * S, [1, 0, 0])
    assert cause_at(buffer, 10 * S + S // 2) is RejectionKind.NO_POSE
    assert buffer.at(11 * S)[0].tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("stamp_ns", "pose", "twist", "cause"),
    [
        (2 * S, [np.nan, 0, 0], None, RejectionKind.POSE_NOT_FINITE),
        (2 * S, [0, 0, np.inf], None, RejectionKind.POSE_NOT_FINITE),
        (2 * S, [1e300, 0, 0], None, RejectionKind.POSE_NOT_FINITE),
        (2 * S, [0, 0], None, RejectionKind.POSE_NOT_FINITE),
        (2 * S, [0, 0, 0], [np.nan, 0, 0], RejectionKind.POSE_NOT_FINITE),
        (S, [0, 0, 0], None, RejectionKind.DUPLICATE_STAMP),
        (S - 1, [0, 0, 0], None, RejectionKind.OUT_OF_ORDER),
        (100 * S, [0, 0, 0], None, RejectionKind.CLOCK_JUMP),
    ],
)
def test_bad_poses_are_refused_by_name(
    stamp_ns: int, pose: list[float], twist: list[float] | None, cause: RejectionKind
) -> None:
    buffer = PoseBuffer()
    buffer.add(S, [1, 2, 3])
    with pytest.raises(RejectedInputError) as refused:
        buffer.add(stamp_ns, pose, twist)
    assert refused.value.kind is cause
    np.testing.assert_allclose(buffer.at(S)[0], [1, 2, 3])
    buffer.add(S + 1, [1, 2, 3])


def test_a_relocalisation_and_a_looped_clock_start_afresh() -> None:
    buffer = PoseBuffer()
    assert buffer.add(10 * S, [0, 0, 0]) is None
    assert buffer.add(10 * S + 50 * MS, [0.1, 0, 0]) is None
    assert buffer.add(10 * S + 100 * MS, [5.0, 0, 0]) is RejectionKind.POSE_JUMP
    assert cause_at(buffer, 10 * S + 50 * MS) is RejectionKind.NO_POSE
    assert buffer.add(10 * S + 150 * MS, [5.0, 0, 2.5]) is RejectionKind.POSE_JUMP
    with pytest.raises(RejectedInputError):
        buffer.add(S, [0, 0, 0])
    assert buffer.add(S + 50 * MS, [0, 0, 0]) is RejectionKind.CLOCK_RESET
    assert buffer.newest_ns == S + 50 * MS


def test_the_buffer_is_bounded() -> None:
    buffer = PoseBuffer(capacity=10)
    for i in range(50):
        buffer.add(S + i * MS, [0, 0, 0])
    assert cause_at(buffer, S + 39 * MS) is RejectionKind.NO_POSE
    buffer.at(S + 40 * MS)
