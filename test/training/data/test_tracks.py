from __future__ import annotations

import numpy as np
import pytest

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.training.data.scenes import STEP_S
from edge_worldmodel.training.data.tracks import interpolate, read_obstacles, read_tracks, track_scene

WALLS = '<T xmlns="x"><Line x1="0" y1="1" x2="2" y2="1" thickness="1"/><Circle x="1" y="3" radius="0.2"/></T>'


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("10 1 2.0", "line 3: 3 numbers"),
        ("10 1 2.0 3.0 4.0", "line 3: 5 numbers"),
        ("10 1 here 3.0", "line 3: '10 1 here 3.0'"),
        ("10 1 nan 3.0", "line 3"),
        ("10 1 2.0 1e9", "line 3"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, complaint):
    path = tmp_path / "walk.txt"
    path.write_text(f"0 1 0.0 0.0\n\n{line}\n")
    with pytest.raises(RecordingError, match=complaint) as caught:
        read_tracks(path)
    assert "walk.txt" in str(caught.value)


def test_files_that_hold_no_tracks_are_refused_by_name(tmp_path):
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    for name in ("empty.txt", "binary.txt", "absent.txt"):
        with pytest.raises(RecordingError, match=name):
            read_tracks(tmp_path / name)


def test_people_pass_through_every_sighting_and_between_them_keep_their_pace():
    frames = np.arange(0, 60, 10.0)
    rows = np.stack((frames, np.ones(6), 0.05 * frames, np.zeros(6)), axis=1)
    track = interpolate(rows)[:, 0]
    assert track[:: round(0.4 / STEP_S), 0] == pytest.approx(0.05 * frames)
    assert np.diff(track[:, 0]) / STEP_S == pytest.approx(0.05 * 25.0)


def test_nobody_is_made_up_before_after_or_in_a_long_gap():
    rows = np.array([(0, 1, 0, 0), (10, 1, 0, 0), (60, 1, 5, 0), (70, 1, 5, 0), (20, 2, 1, 1), (30, 2, 1, 2)], float)
    people = interpolate(rows)
    there = np.isfinite(people[:, :, 0])
    times_s = np.arange(len(people)) * STEP_S
    np.testing.assert_array_equal(there[:, 0], (times_s < 0.41) | (times_s > 2.39))
    np.testing.assert_array_equal(there[:, 1], (times_s > 0.79) & (times_s < 1.21))


def test_obstacles_are_read_and_become_solid(tmp_path):
    (tmp_path / "plaza_obstacles.xml").write_text(WALLS)
    (tmp_path / "big_plaza.txt").write_text("0 1 0 0\n10 1 2 4\n")
    segments, discs = read_obstacles(tmp_path / "plaza_obstacles.xml")
    assert segments.tolist() == [[0.0, 1.0, 2.0, 1.0]]
    assert discs.tolist() == [[1.0, 3.0, 0.2]]
    scene = track_scene(tmp_path / "big_plaza.txt")
    assert scene.statics.clearance_m.at((1.0, 1.0), -1.0) == 0.0
    assert scene.statics.clearance_m.at((1.0, 2.0), -1.0) > 0.5
    assert not scene.known.at((1.0, 4.5), False)
    assert scene.known.at((1.0, 3.5), False)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("<T><Line x1='0'/></T>", "needs numbers"),
        ("<T><Circle x='0' y='0' radius='-1'/></T>", "radius"),
        ("<T", "not readable as XML"),
        ('<!DOCTYPE T [<!ENTITY a "b">]><T>&a;</T>', "entities"),
        ("<T><Line x1='nan' y1='0' x2='0' y2='0'/></T>", "not finite"),
    ],
)
def test_bad_obstacle_files_are_refused_by_name(tmp_path, text, complaint):
    path = tmp_path / "bad_obstacles.xml"
    path.write_text(text)
    with pytest.raises(RecordingError, match=complaint) as caught:
        read_obstacles(path)
    assert "bad_obstacles.xml" in str(caught.value)


def test_recorded_people_walk_like_people(shared_data):
    for path in sorted((shared_data / "tracks" / "eth_ucy").glob("*.txt")):
        people = track_scene(path).movers.people
        speed_mps = np.linalg.norm(np.diff(people, axis=0), axis=-1) / STEP_S
        seen = speed_mps[np.isfinite(speed_mps)]
        assert 0.3 < np.median(seen) < 1.6, path
        assert np.percentile(seen, 99.5) < 4.0, path
