"""Perception as a whole: ego motion, several scanners, imagined worlds, and everything that can go wrong."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.geometry import inverse, transform_points
from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.perception.perception import Observation, Perception, PerceptionConfig
from edge_worldmodel.core.perception.pose_buffer import extrapolate
from edge_worldmodel.core.rejection import RejectedInputError, RejectionKind
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.tensors import HISTORY

S = 1_000_000_000
MS = 1_000_000
START = 100 * S
# Posts around the origin of the fixed frame, each in the middle of a cell while the robot is there.
POSTS = EGO_GRID.cell_centres()[10:60:7, 8:60:9].reshape(-1, 2)


def look_at(points: np.ndarray, pose: np.ndarray, stamp_ns: int, beams: int = 0) -> Sweep:
    """Return what a scanner sees that measures the points exactly from a base pose, all else open."""
    ends = transform_points(inverse(pose), points)
    return Sweep(stamp_ns, np.zeros(2), ends, np.ones(len(ends), dtype=bool), beams)


def fixed(**changes: object) -> Perception:
    return Perception(PerceptionConfig(ego_motion="fixed", **changes))  # type: ignore[arg-type]


def drive(perception: Perception, twist: np.ndarray, points: np.ndarray, *, pose_ms: int = 20) -> Observation:
    """Drive an arc for 1.2 s with poses every 20 ms and a sweep every 100 ms, then observe."""
    for ms in range(0, 1201, pose_ms):
        perception.add_pose(START + ms * MS, extrapolate(np.zeros(3), twist, ms / 1000), twist)
    for ms in range(0, 1201, 100):
        pose = extrapolate(np.zeros(3), twist, ms / 1000)
        perception.add_sweep("scan", look_at(points, pose, START + ms * MS))
    return perception.observe(START + 1200 * MS)


def feed_standing(perception: Perception, stamp_ns: int) -> list[RejectionKind]:
    """Feed one pose and one sweep of a robot that stands; return notes and the causes of refusals."""
    causes: list[RejectionKind] = []
    try:
        causes += perception.add_pose(stamp_ns, np.zeros(3), np.zeros(3))
    except RejectedInputError as error:
        causes.append(error.kind)
    try:
        causes += perception.add_sweep("scan", look_at(POSTS, np.zeros(3), stamp_ns))
    except RejectedInputError as error:
        causes.append(error.kind)
    return causes


def frames_of(observation: Observation) -> np.ndarray:
    return observation.history.reshape(5, 2, 64, 64)


def cause_of(refused: pytest.ExceptionInfo[RejectedInputError]) -> RejectionKind:
    return refused.value.kind


@given(st.floats(-1.5, 1.5), st.floats(-0.5, 0.5), st.floats(-1.5, 1.5))
@settings(max_examples=30, deadline=None)
def test_a_static_world_stands_still_in_the_history_of_a_moving_robot(vx: float, vy: float, rate: float) -> None:
    twist = np.array([vx, vy, rate])
    observation = drive(Perception(PerceptionConfig(max_range_m=40.0)), twist, POSTS)
    HISTORY.check(observation.history)
    frames = frames_of(observation)
    # Exact but for interpolated rounding: a post within a nanometre of a cell border may fall to either side.
    differing = [np.count_nonzero(frames[i, 0] != frames[-1, 0]) for i in range(4)]
    assert max(differing) <= 2
    here = transform_points(inverse(observation.pose), POSTS)
    cells = EGO_GRID.world_to_cell(here[np.abs(here).max(axis=1) < 6.39])
    assert len(cells) > 5
    assert frames[-1, 0, cells[:, 1], cells[:, 0]].all()
    np.testing.assert_allclose(observation.twist, twist)
    assert observation.frames_seen == 5


def test_without_ego_motion_the_same_world_would_smear() -> None:
    perception = fixed()
    twist = np.array([1.0, 0.0, 0.5])
    observation = drive(perception, twist, POSTS)
    frames = frames_of(observation)
    assert np.count_nonzero(frames[0, 0] != frames[-1, 0]) > 20


def test_a_moving_obstacle_walks_through_the_frames_oldest_first() -> None:
    perception = fixed()
    for ms in range(0, 901, 100):
        walker = np.array([[2.1, -2.0 + ms / 1000.0 * 2.0 + 0.1]])
        perception.add_sweep("scan", look_at(walker, np.zeros(3), START + ms * MS))
    frames = frames_of(perception.observe(START + 900 * MS))
    rows = [int(np.argmax(frame[0].any(axis=1))) for frame in frames]
    assert rows == [23, 25, 27, 29, 31]


def test_frames_without_a_sweep_stay_unknown() -> None:
    perception = fixed()
    perception.add_sweep("scan", look_at(POSTS, np.zeros(3), START))
    perception.add_sweep("scan", look_at(POSTS, np.zeros(3), START + 800 * MS))
    observation = perception.observe(START + 800 * MS)
    assert observation.frames_seen == 2
    assert [bool(frame.any()) for frame in frames_of(observation)] == [True, False, False, False, True]
    early = fixed()
    early.add_sweep("scan", look_at(POSTS, np.zeros(3), START))
    assert early.observe(START).frames_seen == 1
    assert early.observe(START).entropy_bits > observation.entropy_bits


def test_scanners_with_stamps_of_their_own_each_get_their_own_pose() -> None:
    perception = Perception(PerceptionConfig())
    twist = np.array([1.0, 0.0, 0.0])
    for ms in range(0, 201, 20):
        perception.add_pose(START + ms * MS, extrapolate(np.zeros(3), twist, ms / 1000), twist)
    front, rear = np.array([[3.1, 0.1]]), np.array([[-3.1, 0.1]])
    perception.add_sweep("rear", look_at(rear, extrapolate(np.zeros(3), twist, 0.1), START + 100 * MS))
    perception.add_sweep("front", look_at(front, extrapolate(np.zeros(3), twist, 0.2), START + 200 * MS))
    observation = perception.observe(START + 200 * MS)
    assert set(observation.sources) == {"front", "rear"}
    for post in (front, rear):
        ix, iy = EGO_GRID.world_to_cell(post[0] - (0.2, 0.0) + (1e-6, 0.0))
        assert observation.grid[0, iy, ix] == 1.0
    assert observation.grid[0].sum() == 2.0
    for ms in range(220, 401, 20):
        perception.add_pose(START + ms * MS, extrapolate(np.zeros(3), twist, ms / 1000), twist)
    perception.add_sweep("front", look_at(front, extrapolate(np.zeros(3), twist, 0.3), START + 300 * MS))
    assert perception.observe(START + 300 * MS).sources == ("front",), "the rear sweep is 0.2 s old by now"


def test_given_poses_place_sweeps_and_serve_as_ego_motion() -> None:
    perception = Perception(PerceptionConfig(ego_motion="tf"))
    for ms in (0, 200, 400):
        pose = np.array([ms / 1000, 0.0, 0.0])
        perception.add_sweep("a", look_at(POSTS, pose, START + ms * MS), pose)
        earlier = pose - (0.03, 0.0, 0.0)
        perception.add_sweep("b", look_at(POSTS, earlier, START + (ms - 30) * MS), earlier)
    observation = perception.observe(START + 400 * MS)
    np.testing.assert_allclose(observation.pose, [0.4, 0, 0])
    np.testing.assert_allclose(observation.twist, [1.0, 0, 0], atol=1e-6)
    frames = frames_of(observation)
    np.testing.assert_array_equal(frames[2, 0], frames[4, 0])


def test_odometry_that_comes_after_the_scan_is_used_when_it_comes() -> None:
    perception = Perception(PerceptionConfig())
    perception.add_pose(START, [0, 0, 0], [0, 0, 0])
    perception.add_sweep("scan", look_at(POSTS, np.array([0.1, 0, 0]), START + 100 * MS))
    assert perception.observe(START + 100 * MS).pose[0] == 0.0
    perception.add_pose(START + 100 * MS, [0.1, 0, 0], [1, 0, 0])
    late = perception.observe(START + 100 * MS)
    assert late.pose[0] == pytest.approx(0.1)
    ix, iy = EGO_GRID.world_to_cell(POSTS[0] - (0.1 - 1e-6, 0.0))
    assert late.grid[0, iy, ix] == 1.0


def test_surprise_only_for_what_was_imagined_for_now() -> None:
    perception = fixed()
    perception.add_sweep("scan", look_at(POSTS, np.zeros(3), START))
    first = perception.observe(START)
    assert np.isnan(first.surprise_bits)
    perception.add_imagined(START + 400 * MS, first.pose, first.grid[0])
    perception.add_imagined(START + 1000 * MS, first.pose, 1.0 - first.grid[0])
    perception.add_sweep("scan", look_at(POSTS, np.zeros(3), START + 450 * MS))
    assert perception.observe(START + 450 * MS).surprise_bits < 0.1
    perception.add_sweep("scan", look_at(POSTS, np.zeros(3), START + 700 * MS))
    assert np.isnan(perception.observe(START + 700 * MS).surprise_bits)
    perception.add_sweep("scan", look_at(POSTS, np.zeros(3), START + 950 * MS))
    assert perception.observe(START + 950 * MS).surprise_bits > 5.0


@pytest.mark.parametrize(
    ("pose", "probability", "cause"),
    [
        ([0, 0, np.nan], np.zeros((64, 64), np.float32), RejectionKind.POSE_NOT_FINITE),
        ([0, 0, 0], np.zeros((32, 64), np.float32), RejectionKind.MALFORMED),
        ([0, 0, 0], np.full((64, 64), np.nan, np.float32), RejectionKind.MALFORMED),
        ([0, 0, 0], np.full((64, 64), 1.5, np.float32), RejectionKind.MALFORMED),
    ],
)
def test_bad_imagined_maps_are_refused(pose: list[float], probability: np.ndarray, cause: RejectionKind) -> None:
    with pytest.raises(RejectedInputError) as refused:
        fixed().add_imagined(START, pose, probability)
    assert cause_of(refused) is cause


def test_rate_limit_holds_on_average_and_does_not_halve_a_fast_scanner() -> None:
    perception = fixed(max_rate_hz=10.0)
    seen = 0
    for i in range(130):  # 13 Hz for 10 s
        stamp_ns = START + i * S // 13
        perception.add_sweep("scan", look_at(POSTS, np.zeros(3), stamp_ns))
        if perception.due(stamp_ns):
            perception.observe(stamp_ns)
            seen += 1
    assert 95 <= seen <= 101


def test_order_of_stamps_and_beam_counts() -> None:
    perception = fixed()
    assert perception.add_sweep("a", look_at(POSTS, np.zeros(3), START, beams=360)) == ()
    wrong = {
        START: RejectionKind.DUPLICATE_STAMP,
        START - 50 * MS: RejectionKind.OUT_OF_ORDER,
        0: RejectionKind.CLOCK_JUMP,
    }
    for stamp_ns, cause in wrong.items():
        with pytest.raises(RejectedInputError) as refused:
            perception.add_sweep("a", look_at(POSTS, np.zeros(3), stamp_ns))
        assert cause_of(refused) is cause
    assert perception.add_sweep("b", look_at(POSTS, np.zeros(3), START - 50 * MS)) == (), "an order for each sensor"
    changed = perception.add_sweep("a", look_at(POSTS, np.zeros(3), START + 100 * MS, beams=720))
    assert changed == (RejectionKind.BEAMS_CHANGED,)
    assert perception.observe(START + 100 * MS).grid.any()


def test_unsound_sweeps_and_poses_are_refused_and_nothing_is_lost() -> None:
    perception = fixed()
    perception.add_sweep("a", look_at(POSTS, np.zeros(3), START))
    sound = look_at(POSTS, np.zeros(3), START + 100 * MS)
    broken = look_at(np.full((3, 2), np.nan), np.zeros(3), START + 100 * MS)
    empty = look_at(np.zeros((0, 2)), np.zeros(3), START + 100 * MS, beams=360)
    for sweep, pose, cause in (
        (broken, None, RejectionKind.MALFORMED),
        (empty, None, RejectionKind.EMPTY),
        (sound, [np.nan, 0, 0], RejectionKind.POSE_NOT_FINITE),
    ):
        with pytest.raises(RejectedInputError) as refused:
            perception.add_sweep("a", sweep, pose)
        assert cause_of(refused) is cause
    assert perception.add_sweep("a", sound) == ()
    assert perception.observe(START + 200 * MS).frames_seen == 2


def test_a_looped_recording_empties_the_buffers_once_and_goes_on() -> None:
    perception = Perception(PerceptionConfig())
    stamps_ns = [START + ms * MS for _ in range(2) for ms in range(0, 2001, 100)]
    causes = [cause for stamp_ns in stamps_ns for cause in feed_standing(perception, stamp_ns)]
    assert causes == [RejectionKind.CLOCK_JUMP, RejectionKind.CLOCK_JUMP, RejectionKind.CLOCK_RESET]
    assert perception.due(START + 2000 * MS)
    assert perception.observe(START + 2000 * MS).frames_seen == 5


def test_a_pose_jump_drops_the_sweeps_placed_before_it() -> None:
    perception = Perception(PerceptionConfig())
    observation = drive(perception, np.array([0.5, 0.0, 0.0]), POSTS)
    assert observation.frames_seen == 5
    assert perception.add_pose(START + 1300 * MS, [30.0, 0, 0], [0, 0, 0]) == (RejectionKind.POSE_JUMP,)
    perception.add_sweep("scan", look_at(POSTS, np.array([30.0, 0, 0]), START + 1300 * MS))
    assert perception.observe(START + 1300 * MS).frames_seen == 1


def test_observe_says_what_is_missing() -> None:
    perception = Perception(PerceptionConfig())
    with pytest.raises(RejectedInputError) as refused:
        perception.observe(START)
    assert cause_of(refused) is RejectionKind.NO_POSE
    perception.add_pose(START, [0, 0, 0])
    with pytest.raises(RejectedInputError) as refused:
        perception.observe(START)
    assert cause_of(refused) is RejectionKind.NO_SWEEP
    perception.add_sweep("scan", look_at(POSTS, np.zeros(3), START - 10 * MS))
    with pytest.raises(RejectedInputError) as refused:
        perception.observe(START)
    assert cause_of(refused) is RejectionKind.NO_POSE


def test_one_scanner_without_a_pose_does_not_blind_the_other() -> None:
    perception = Perception(PerceptionConfig())
    perception.add_pose(START, [0, 0, 0])
    perception.add_sweep("early", look_at(POSTS, np.zeros(3), START - 50 * MS))
    perception.add_sweep("scan", look_at(POSTS, np.zeros(3), START))
    observation = perception.observe(START)
    assert observation.without_pose == 1
    assert observation.grid.any()


def test_silent_sensors_are_named() -> None:
    perception = fixed(scan_timeout_s=0.3)
    perception.add_sweep("a", look_at(POSTS, np.zeros(3), START))
    perception.add_sweep("b", look_at(POSTS, np.zeros(3), START + 200 * MS))
    assert perception.stale_sources(START + 250 * MS) == ()
    assert perception.stale_sources(START + 400 * MS) == ("a",)


events = st.tuples(
    st.sampled_from(["pose", "scan", "rear", "observe", "imagine"]),
    st.one_of(st.integers(START, START + 3 * S), st.integers(-10, 300 * S)),
    st.tuples(*[st.one_of(st.floats(-50, 50), st.floats())] * 3),
)


@given(st.lists(events, max_size=40), st.sampled_from(["odom", "fixed"]))
@settings(max_examples=60, deadline=None)
def test_whatever_comes_only_named_refusals_and_it_works_again_after(feed: list[tuple], source: str) -> None:
    perception = Perception(PerceptionConfig(ego_motion=source))
    for kind, stamp_ns, numbers in feed:
        pose = np.array(numbers)
        try:
            if kind == "pose":
                perception.add_pose(stamp_ns, pose, pose)
            elif kind == "observe":
                perception.observe(stamp_ns)
            elif kind == "imagine":
                perception.add_imagined(stamp_ns, pose, np.full((64, 64), numbers[0]))
            else:
                perception.add_sweep(kind, look_at(POSTS, pose, stamp_ns, beams=abs(stamp_ns) % 3))
        except RejectedInputError:
            pass
    begin = 1000 * S
    for ms in range(0, 1401, 100):
        causes = feed_standing(perception, begin + ms * MS)
        assert not causes or ms <= 100, "recovered after at most two messages of the new clock"
    assert perception.observe(begin + 1400 * MS).frames_seen == 5


def test_configuration_is_checked_and_can_change() -> None:
    with pytest.raises(ConfigError, match="teleport"):
        PerceptionConfig(ego_motion="teleport")
    with pytest.raises(ConfigError, match="obstacle heights"):
        PerceptionConfig(obstacle_height_min_m=1.9)
    perception = fixed(max_range_m=40.0)
    perception.configure(PerceptionConfig(ego_motion="fixed", max_range_m=2.0))
    perception.add_sweep("scan", look_at(np.array([[4.1, 0.1]]), np.zeros(3), START))
    assert not perception.observe(START).grid[0].any()


def test_it_keeps_up() -> None:
    """Five frames of 720 beams well within a control period; the bound leaves room for a busy machine."""
    angles = np.linspace(-np.pi, np.pi, 720, endpoint=False)
    ends = (5.0 + np.sin(7 * angles))[:, None] * np.stack((np.cos(angles), np.sin(angles)), axis=-1)
    perception = fixed()
    for ms in range(0, 1001, 100):
        perception.add_sweep("scan", Sweep(START + ms * MS, np.zeros(2), ends, np.ones(720, dtype=bool)))
    times_s = []
    for _ in range(20):
        begin_s = time.perf_counter()
        perception.observe(START + S)
        times_s.append(time.perf_counter() - begin_s)
    assert min(times_s) < 0.02
