"""Clips of recorded scanners: the past as perception draws it, the future as later scans saw it."""

from __future__ import annotations

import bz2
from pathlib import Path

import numpy as np
import pytest

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.core.tensors import GRID_CHANNELS
from edge_worldmodel.training.data.shards import unpack
from edge_worldmodel.training.validation.recorded_clips import recorded_clips

RATE_HZ = 10.0
BEAMS = 181


def write_log(path: Path, seconds: float, mover_mps: float = 0.0, speed_mps: float = 0.0) -> Path:
    """Write a CARMEN log: a wall 5 m ahead at the start, a robot that drives at it, and a disc that crosses."""
    angles = np.deg2rad(np.arange(BEAMS) - 90.0)
    lines = []
    for scan in range(int(seconds * RATE_HZ)):
        t = scan / RATE_HZ
        x, side = speed_mps * t, -2.0 + mover_mps * t
        with np.errstate(divide="ignore"):
            ranges = np.where(np.cos(angles) > 0.1, (5.0 - x) / np.cos(angles), 81.9)
        if mover_mps:
            bearing = np.arctan2(side, 2.5 - x)
            ranges = np.where(np.abs(angles - bearing) < 0.1, np.minimum(ranges, np.hypot(2.5 - x, side)), ranges)
        pose = f"{x:.4f} 0.0 0.0"
        row = " ".join(f"{r:.2f}" for r in np.minimum(ranges, 81.9))
        lines.append(f"FLASER {BEAMS} {row} {pose} {pose} {t:.4f} host {t:.4f}")
    path.write_bytes(bz2.compress("\n".join(lines).encode() + b"\n"))
    return path


def test_somebody_who_crosses_is_moving_and_the_wall_is_not(tmp_path):
    clips = recorded_clips([write_log(tmp_path / "cross.clf.bz2", 8.0, mover_mps=0.7)], most=5)
    future, moving, known = unpack(clips.future), unpack(clips.moving), unpack(clips.future_known)
    assert len(clips) == 5 and (moving <= future).all() and (future <= known).all()
    wall = int(32 + 5.0 / 0.2)
    assert future[:, :, 8, wall - 1 : wall + 2].any(axis=-1).all() and not moving[:, :, :, wall - 1 :].any()
    rows = [np.nonzero(moving[0, step])[0].mean() for step in range(8)]
    assert np.diff(rows) == pytest.approx([0.7 * 0.4 / 0.2] * 7, abs=0.7), "it goes on to the left"
    assert unpack(clips.present_moving).any(axis=(1, 2)).all()


def test_ego_motion_is_taken_out(tmp_path):
    clips = recorded_clips([write_log(tmp_path / "drive.clf.bz2", 8.0, speed_mps=0.5)], most=3)
    present = unpack(clips.history)[:, -GRID_CHANNELS]
    column = int(np.nonzero(present[0][32])[0][0])
    for step in range(8):
        assert unpack(clips.future)[0, step, 32, column - 1 : column + 2].any(), "the wall stays where it is"
    assert clips.maneuver[0, :, 0] == pytest.approx(0.5 * 0.4 * np.arange(1, 9), abs=0.03)
    assert not unpack(clips.moving).any()


def test_damaged_recordings_are_named_counted_and_skipped(tmp_path, caplog):
    good = write_log(tmp_path / "good.clf.bz2", 8.0, mover_mps=0.7)
    (tmp_path / "noise.clf.bz2").write_bytes(bytes(range(256)) * 8)
    (tmp_path / "empty.clf.bz2").write_bytes(b"")
    (tmp_path / "cut.clf.bz2").write_bytes(good.read_bytes()[:-400])
    damage: list[str] = []
    names = ("noise", "good", "empty", "cut")
    clips = recorded_clips([tmp_path / f"{name}.clf.bz2" for name in names], 5, damage)
    assert [line.split(":")[0] for line in damage][:2] == ["skipped", "skipped"] and len(damage) == 3
    assert all(name in line for name, line in zip(("noise", "empty", "cut"), damage, strict=True))
    assert "noise.clf.bz2" in caplog.text and len(clips) in (5, 10)
    np.testing.assert_array_equal(clips.history[:5], recorded_clips([good], 5).history)


def test_too_short_a_recording_is_no_clip(tmp_path):
    with pytest.raises(RecordingError, match="no recording gives a clip"):
        recorded_clips([write_log(tmp_path / "short.clf.bz2", 2.0)], most=3)
