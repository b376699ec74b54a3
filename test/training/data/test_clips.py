from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge_worldmodel.core.geometry import compose, relative
from edge_worldmodel.core.grid import EGO_GRID
from edge_worldmodel.training.data import clips
from edge_worldmodel.training.data.clips import FUTURE_TIMES_S, HISTORY_TIMES_S, at_times, make_clip
from edge_worldmodel.training.data.drives import AFTER_STEPS, BEFORE_STEPS, EgoDrive, draw_drives
from edge_worldmodel.training.data.lidar import Lidar
from edge_worldmodel.training.data.scenes import (
    STEP_S,
    Movers,
    Raster,
    Statics,
    TrainingScene,
    clearance_raster,
    headings,
    no_movers,
    no_robots,
    points_in_discs,
    points_on_segments,
)
from edge_worldmodel.training.data.truth import box_cells, disc_cells

SAMPLES = BEFORE_STEPS + 1 + AFTER_STEPS
CLEAN = Lidar(1080, 2 * np.pi, 0.05, 12.0, 10.0, 0.0, 0.0, False, 0.0, (0.1, 0.0, 0.0), 0.0, False)
REFERENCE = np.array((1.0, -0.5, 0.7))


def room(movers: Movers, robots=None) -> TrainingScene:
    corners = np.array([(-4.5, -4.5), (4.5, -4.5), (4.5, 4.5), (-4.5, 4.5)])
    walls = np.concatenate((corners, np.roll(corners, -1, axis=0)), axis=1)
    pillars = np.array([(2.5, 2.0, 0.3)])
    solid = np.concatenate((points_on_segments(walls), points_in_discs(pillars)))
    clearance_m = clearance_raster(np.ones((90, 90), bool), (-4.5, -4.5), 0.1)
    statics = Statics(walls, pillars, None, solid, clearance_m)
    return TrainingScene("room", statics, movers, no_robots(SAMPLES) if robots is None else robots)


def drive(speed_mps=0.6, yaw_rate_radps=0.4, robot=None) -> EgoDrive:
    t_s = (np.arange(SAMPLES) - BEFORE_STEPS) * STEP_S
    yaw = yaw_rate_radps * t_s
    x, y = np.sin(yaw) * speed_mps / yaw_rate_radps, (1 - np.cos(yaw)) * speed_mps / yaw_rate_radps
    return EgoDrive(compose(REFERENCE, np.stack((x, y, yaw), axis=-1)), BEFORE_STEPS, robot)


def walkers(*starts_and_velocities) -> Movers:
    t_s = (np.arange(SAMPLES) - BEFORE_STEPS)[:, None, None] * STEP_S
    table = np.array(starts_and_velocities, dtype=float)
    count = len(table)
    people = table[None, :, :2] + t_s * table[None, :, 2:]
    return Movers(people, np.full(count, 0.25), np.zeros(count, bool), np.zeros((SAMPLES, 0, 3)), np.zeros((0, 2)))


@pytest.fixture
def exact(monkeypatch):
    """Odometry without error and no lost frames, so that only geometry is tested."""
    monkeypatch.setattr(clips, "_odometry", lambda drive, times_s, rng: exact_poses(drive, times_s))
    monkeypatch.setattr(clips, "_missing_frames", lambda rng: np.zeros(5, bool))


def exact_poses(drive, times_s):
    return relative(drive.poses[BEFORE_STEPS], at_times(drive.poses, times_s))


def frames(clip):
    return clip.history.reshape(5, 2, 64, 64)


def grown(mask):
    padded = np.pad(mask, 1)
    return np.any([padded[1 + y : 65 + y, 1 + x : 65 + x] for y in (-1, 0, 1) for x in (-1, 0, 1)], axis=0)


def test_walls_seen_in_every_past_frame_are_where_the_truth_has_them(exact):
    clip = make_clip(room(no_movers(SAMPLES)), drive(), CLEAN, np.random.default_rng(0))
    truth = clip.future[0]
    assert (clip.future == truth).all()
    for occupied, free in frames(clip):
        assert occupied.sum() > 100
        assert (occupied & ~grown(truth)).sum() == 0
        # A hit lies on the edge of two cells at worst; and nearly all of what is true was seen.
        assert (occupied & truth).sum() > 0.9 * occupied.sum()
        assert (free & truth).sum() < 0.12 * truth.sum()
    assert not clip.moving.any()


def test_somebody_walking_is_seen_where_the_truth_has_them_and_moves_the_right_way(exact):
    # Walks along +y of the world, at x 2 m ahead or so; the robot turns and drives meanwhile.
    scene = room(walkers((2.5, -2.0, 0.0, 0.9)))
    clip = make_clip(scene, drive(), CLEAN, np.random.default_rng(0))
    times_s = np.concatenate((HISTORY_TIMES_S, FUTURE_TIMES_S))
    expected = relative(REFERENCE, np.stack((np.full(13, 2.5), -2.0 + 0.9 * times_s, np.zeros(13)), axis=-1))[:, :2]
    np.testing.assert_allclose(clip.agents[0], expected, atol=1e-4)
    assert np.isnan(clip.agents[1:]).all()
    centres = EGO_GRID.cell_centres()
    static = clip.future.all(axis=0) & ~clip.moving.any(axis=0)
    for index in range(5):
        body = np.linalg.norm(centres - expected[index], axis=-1) < 0.25 + 0.2
        seen = frames(clip)[index, 0] & ~grown(static)
        assert seen.any()
        assert (seen & ~body).sum() == 0
    for index in range(8):
        cells = centres[clip.moving[index]]
        assert cells.mean(axis=0) == pytest.approx(expected[5 + index], abs=0.08)
        assert (clip.future[index] & clip.moving[index]).sum() == clip.moving[index].sum()
    assert clip.present_moving.any()


def test_legs_are_hit_within_the_body(exact):
    lidar = dataclasses.replace(CLEAN, at_leg_height=True)
    for seed in range(8):
        clip = make_clip(room(walkers((2.5, -2.8, 0.0, 1.2))), drive(), lidar, np.random.default_rng(seed))
        static = clip.future.all(axis=0) & ~clip.moving.any(axis=0)
        seen = frames(clip)[4, 0] & ~grown(static)
        assert (seen & ~grown(clip.present_moving)).sum() == 0


def test_the_maneuver_is_where_the_robot_truly_goes():
    clip = make_clip(room(no_movers(SAMPLES)), drive(0.5, 0.3), CLEAN, np.random.default_rng(0))
    yaw = 0.3 * FUTURE_TIMES_S
    expected = np.stack((np.sin(yaw) * 0.5 / 0.3, (1 - np.cos(yaw)) * 0.5 / 0.3, yaw), axis=-1)
    np.testing.assert_allclose(clip.maneuver, expected, atol=2e-3)


def test_who_stands_is_occupied_but_not_moving():
    clip = make_clip(room(walkers((2.5, -2.0, 0.0, 0.0))), drive(), CLEAN, np.random.default_rng(0))
    empty = make_clip(room(no_movers(SAMPLES)), drive(), CLEAN, np.random.default_rng(0))
    assert not clip.moving.any()
    assert not clip.present_moving.any()
    assert clip.future[7].sum() > empty.future[7].sum()


def test_the_robot_is_not_an_obstacle_to_itself_but_other_robots_are():
    path = drive().poses
    people = np.stack((path[:, :2], np.tile((2.5, -2.0), (SAMPLES, 1))), axis=1)
    movers = Movers(people, np.array([0.3, 0.3]), np.ones(2, bool), np.zeros((SAMPLES, 0, 3)), np.zeros((0, 2)))
    robots = np.concatenate((people, np.zeros((SAMPLES, 2, 1))), axis=-1)
    clip = make_clip(room(movers, robots), drive(robot=0), CLEAN, np.random.default_rng(0))
    assert clip.reacts
    assert not clip.moving.any()
    assert np.isfinite(clip.agents[0]).all()
    assert np.isnan(clip.agents[1]).all()
    assert not clip.future[:, 32, 32].any()


def test_a_vehicle_is_hit_on_its_near_side(exact):
    poses = np.tile((3.5, -0.5, 0.0), (SAMPLES, 1, 1)).reshape(SAMPLES, 1, 3)
    movers = dataclasses.replace(no_movers(SAMPLES), boxes=poses, box_sizes=np.array([[1.0, 0.6]]))
    still = EgoDrive(np.tile((0.0, -0.5, 0.0), (SAMPLES, 1)), BEFORE_STEPS, None)
    clip = make_clip(room(movers), still, CLEAN, np.random.default_rng(0))
    row = frames(clip)[4, 0, 32]
    assert np.flatnonzero(row)[0] == EGO_GRID.world_to_cell((3.0 - 1e-6, 0.0))[0] or row[47]
    assert clip.future[0, 32, 47:52].all()


def test_nothing_beyond_what_was_recorded_counts_as_known():
    known = Raster(np.ones((10, 20), bool), (0.0, 0.0), 0.5)
    scene = dataclasses.replace(room(no_movers(SAMPLES)), known=known)
    still = EgoDrive(np.tile((2.0, 2.0, 0.0), (SAMPLES, 1)), BEFORE_STEPS, None)
    clip = make_clip(scene, still, CLEAN, np.random.default_rng(0))
    centres = EGO_GRID.cell_centres() + 2.0
    expected = (centres[..., 0] > 0) & (centres[..., 1] > 0) & (centres[..., 0] < 10) & (centres[..., 1] < 5)
    np.testing.assert_array_equal(clip.future_known[0], expected)


def test_a_disc_touches_just_the_cells_within_its_radius_and_absent_ones_none():
    masks = disc_cells(np.array([[[0.3, -0.5]], [[np.nan, np.nan]], [[6.5, 0.1]]]), np.array([0.25]))
    axis = np.arange(64) * 0.2 - 6.4
    gap_x = np.maximum(np.maximum(axis - 0.3, 0.3 - axis - 0.2), 0.0)
    gap_y = np.maximum(np.maximum(axis + 0.5, -0.5 - axis - 0.2), 0.0)
    np.testing.assert_array_equal(masks[0], np.hypot(gap_x[None, :], gap_y[:, None]) <= 0.25)
    assert not masks[1].any()
    assert masks[2].any()


def test_a_turned_rectangle_covers_its_corners():
    mask = box_cells(np.array([[[1.0, 1.0, np.pi / 2]]]), np.array([[2.0, 0.4]]))[0]
    x, y = EGO_GRID.cell_centres()[mask].T
    assert np.ptp(y) == pytest.approx(2.0, abs=0.25)
    assert np.ptp(x) == pytest.approx(0.4, abs=0.25)


def test_made_up_drives_keep_clear_of_walls_and_start_clear_of_people():
    movers = walkers((1.0, 1.0, 0.3, 0.0), (-2.0, 0.5, 0.0, -0.4))
    scene = room(movers)
    rng = np.random.default_rng(0)
    drives = [found for _ in range(20) for found in draw_drives(scene, 10, rng)]
    assert len(drives) > 100
    through_walls = 0
    for found in drives:
        clear_m = 4.5 - np.abs(found.poses[:, :2]).max(axis=-1)
        assert (clear_m[: BEFORE_STEPS + 1] > 0.2).all()
        through_walls += (clear_m < 0.1).any()
        gaps_m = np.linalg.norm(movers.people - found.poses[:, None, :2], axis=-1)[: BEFORE_STEPS + 1]
        assert gaps_m.min() > 0.25 + 0.25
    assert through_walls < 0.2 * len(drives)
    speed_mps = np.linalg.norm(np.diff([found.poses[:, :2] for found in drives], axis=1), axis=-1) / STEP_S
    assert speed_mps.max() < 2.01


def test_headings_hold_while_somebody_stands():
    t = np.arange(30.0)[:, None, None]
    track = np.where(t < 10, np.zeros(2), np.where(t < 20, (t - 10) * np.array((0.0, 0.1)), np.array((0.0, 1.0))))
    assert headings(track)[:, 0] == pytest.approx(np.pi / 2)
