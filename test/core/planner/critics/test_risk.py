"""Risk: the definition of CVaR, monotony, the right frame at the right time, and getting out of a margin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.core.planner.candidates.candidates import Candidates
from edge_worldmodel.core.planner.candidates.driving import roll_out
from edge_worldmodel.core.planner.candidates.libraries import library_of
from edge_worldmodel.core.planner.critics import exposure, risk
from edge_worldmodel.core.planner.critics.collision import dilate, footprint_kernel, time_weights
from edge_worldmodel.core.planner.critics.cvar import cvar
from edge_worldmodel.core.planner.critics.scene import Scene
from edge_worldmodel.core.planner.guidance.local_map import LocalMap, local_map
from edge_worldmodel.core.planner.guidance.outlook import Outlook
from edge_worldmodel.core.planner.robot_limits import STEPS, RobotLimits

LIMITS = RobotLimits()
LIBRARY = library_of(LIMITS)
NOBODY = np.zeros((9, 64, 64), bool)
STRAIGHT = max(index for index, name in enumerate(LIBRARY.names) if name == "straight_fast")


def _map(occupied: np.ndarray | None = None) -> LocalMap:
    frame = np.zeros((2, 64, 64), np.float32)
    frame[0] = 0.0 if occupied is None else occupied
    frame[1] = 1.0 - frame[0]
    return local_map(frame)


def _scene(
    futures: np.ndarray, speed: float = 1.0, rows: slice = slice(None), surroundings: LocalMap | None = None
) -> Scene:
    poses, twists = roll_out(np.array([speed, 0.0, 0.0]), LIBRARY.targets[rows], LIMITS)
    candidates = Candidates(LIBRARY.names[rows], poses, twists)
    surroundings = surroundings or _map()
    futures = np.broadcast_to(futures, (len(poses), *futures.shape[-4:]))
    return Scene(
        candidates=candidates,
        disturbed=poses[:, None],
        futures=futures,
        outlook=Outlook(surroundings, NOBODY, None, 0.3),
        limits=LIMITS,
        clear_m=0.3,
        wall_margin_m=0.05,
        tail=0.25,
        time_weights=np.ones(STEPS + 1),
        harmless_mps=1e-3,
    )


def _somebody_comes(outlook: Outlook, ix: int) -> Outlook:
    """Return an outlook in which a mover, far away now, is expected at a cell ahead at every imagined time."""
    movers = NOBODY.copy()
    movers[0, 2, 2] = movers[1:, 32, ix] = True
    return replace(outlook, movers=movers)


ONE = slice(STRAIGHT, STRAIGHT + 1)


def _risk(scene: Scene) -> np.ndarray:
    return risk.score(scene)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0.01, 1.0))
def test_cvar_is_the_mean_of_the_worst_share(values: list[float], tail: float) -> None:
    found = float(cvar(np.array([values]), tail)[0])
    # Oracle: Rockafellar and Uryasev's minimum over thresholds.
    outcomes = np.array(values)
    best = min(t + np.maximum(outcomes - t, 0.0).mean() / tail for t in outcomes)
    assert found == pytest.approx(best, abs=1e-9)
    assert np.mean(values) - 1e-9 <= found <= max(values) + 1e-9


def test_cvar_of_everything_is_the_mean_and_of_little_the_worst() -> None:
    outcomes = np.array([[0.0, 0.2, 1.0, 0.4]])
    assert cvar(outcomes, 1.0)[0] == pytest.approx(0.4)
    assert cvar(outcomes, 0.25)[0] == pytest.approx(1.0)
    assert cvar(outcomes, 0.5)[0] == pytest.approx(0.7)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1.0))
def test_more_occupancy_is_never_less_risk(seed: int, more: float) -> None:
    rng = np.random.default_rng(seed)
    futures = (rng.random((1, 2, 8, 64, 64)) ** 20).astype(np.float32)
    fuller = np.maximum(futures, more * (rng.random(futures.shape) > 0.99)).astype(np.float32)
    assert (_risk(_scene(fuller)) >= _risk(_scene(futures)) - 1e-9).all()


def test_empty_world_is_free_and_a_wall_is_hit() -> None:
    futures = np.zeros((1, 1, 8, 64, 64), np.float32)
    assert (_risk(_scene(futures)) == 0.0).all()
    futures[..., 42] = 0.8
    assert _risk(_scene(futures, rows=ONE)) == pytest.approx(0.8)


@pytest.mark.parametrize(("frame", "expected"), [(3, 0.0), (4, 0.9), (5, 0.0)])
def test_only_the_frame_of_that_time_counts(frame: int, expected: float) -> None:
    # At 1 m/s the robot is 2 m ahead at 2.0 s, which is imagined frame index 4.
    futures = np.zeros((1, 1, 8, 64, 64), np.float32)
    futures[0, 0, frame, 31:33, 42] = 0.9
    scene = _scene(futures, rows=ONE)
    scene = replace(scene, clear_m=0.05, wall_margin_m=0.05 - LIMITS.radius_m)
    assert _risk(scene)[0] == pytest.approx(expected)


def test_the_present_counts_at_first() -> None:
    occupied = np.zeros((64, 64), np.float32)
    occupied[30:34, 34] = 1.0
    scene = _scene(np.zeros((1, 1, 8, 64, 64), np.float32), rows=ONE, surroundings=_map(occupied))
    # Three times as fast it is there before the first imagined frame.
    scene = replace(scene, clear_m=0.1, wall_margin_m=0.1 - LIMITS.radius_m, disturbed=3.0 * scene.disturbed)
    assert _risk(scene)[0] == pytest.approx(1.0)


def test_futures_and_disturbances_stay_apart() -> None:
    futures = np.zeros((1, 4, 8, 64, 64), np.float32)
    futures[0, 2, :, :, 42] = 1.0
    scene = _scene(futures, rows=ONE)
    scene = replace(scene, disturbed=np.concatenate([scene.disturbed, scene.disturbed * 0.1], axis=1))
    hit = scene.collision_probability[0].max(axis=-1)
    np.testing.assert_array_equal(hit, [[0, 0], [0, 0], [1, 0], [0, 0]])
    assert _risk(scene)[0] == pytest.approx(0.5)


def test_leaving_a_margin_is_free_and_going_deeper_is_not() -> None:
    occupied = np.zeros((64, 64), np.float32)
    occupied[:, 29] = 1.0  # a wall 0.5 m behind
    surroundings = _map(occupied)
    futures = np.broadcast_to(occupied, (1, 1, 8, 64, 64)).astype(np.float32)
    scene = replace(_scene(futures, 0.0, ONE, surroundings), clear_m=0.6, wall_margin_m=0.6 - LIMITS.radius_m)
    assert _risk(scene)[0] == 0.0
    back = scene.disturbed * np.array([-1.0, 1.0, 1.0])
    assert _risk(replace(scene, disturbed=back))[0] == 1.0


def test_at_rest_inside_a_margin_something_that_comes_closer_is_a_risk() -> None:
    occupied = np.zeros((64, 64), np.float32)
    occupied[31:33, 34] = 1.0  # 0.3 m clear ahead, closer than wanted
    surroundings = _map(occupied)
    still = np.broadcast_to(occupied, (1, 1, 8, 64, 64)).astype(np.float32)
    scene = replace(_scene(still, 0.0, ONE, surroundings), clear_m=0.4, wall_margin_m=0.4 - LIMITS.radius_m)
    stand = replace(scene, disturbed=0.0 * scene.disturbed)
    assert _risk(stand)[0] == 0.0
    stand = replace(stand, futures=np.roll(still, -1, axis=-1))
    assert _risk(stand)[0] == 0.0, "where nothing is expected to move, an edge is only seen badly"
    assert _risk(replace(stand, outlook=_somebody_comes(stand.outlook, 34)))[0] == 1.0


def test_imagined_occupancy_in_unknown_cells_counts_only_near_expected_movers() -> None:
    futures = np.zeros((1, 1, 8, 64, 64), np.float32)
    futures[..., 42] = 0.8
    scene = _scene(futures, rows=ONE)
    dark = replace(scene.outlook.seen, unknown=np.ones((64, 64), bool))
    unseen = replace(scene, outlook=replace(scene.outlook, seen=dark))
    assert _risk(scene)[0] == pytest.approx(0.8) and _risk(unseen)[0] == 0.0
    assert _risk(replace(unseen, outlook=_somebody_comes(unseen.outlook, 42)))[0] == pytest.approx(0.8)


def test_a_robot_at_rest_has_no_risk_but_exposure() -> None:
    futures = np.zeros((1, 1, 8, 64, 64), np.float32)
    futures[0, 0, 3, 31:33, 31:33] = 0.7
    scene = _scene(futures, 0.0, ONE)
    still = replace(scene, candidates=replace(scene.candidates, twists=0.0 * scene.candidates.twists))
    still = replace(still, disturbed=0.0 * scene.disturbed)
    assert risk.score(still)[0] == 0.0 and exposure.score(still)[0] == pytest.approx(0.7)


def test_dilation_keeps_frames_apart() -> None:
    frames = np.zeros((3, 64, 64), np.float32)
    frames[1, 0] = frames[1, -1] = 1.0
    grown = dilate(frames, footprint_kernel(0.3))
    assert (grown[[0, 2]] == 0.0).all()
    assert (grown[1, :3] == 1.0).all() and (grown[1, 3:-3] == 0.0).all()


@given(st.floats(0.05, 1.0))
def test_kernel_agrees_with_clearance(radius_m: float) -> None:
    occupied = np.zeros((64, 64), bool)
    occupied[32, 32] = True
    blocked = local_map(np.stack([occupied, ~occupied]).astype(np.float32)).clearance_m < radius_m + 1e-4
    grown = dilate(occupied[None].astype(np.float32), footprint_kernel(radius_m))[0] > 0
    np.testing.assert_array_equal(grown, blocked)
    assert EGO_GRID.cells == 64


def test_a_collision_counts_fully_until_the_time_to_stop_and_half_per_half_life_after():
    fade = time_weights(0.8, 1.0)
    assert fade[:9] == pytest.approx(1.0) and fade[18] == pytest.approx(0.5) and fade[28] == pytest.approx(0.25)
    assert (np.diff(fade) <= 0.0).all() and time_weights(0.8, 1e9) == pytest.approx(1.0)
