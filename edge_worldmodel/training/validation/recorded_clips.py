"""Clips from recorded scanners: the observed past second, and the cells observed over the next three seconds.

The history comes from core.perception, as on a robot. The true future comes from later scans, with ego motion removed;
cells that no later scan observed are unknown and not scored.
"""

from __future__ import annotations

import logging
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.errors import InputError, RecordingError
from edge_worldmodel.core.geometry import relative
from edge_worldmodel.core.grid import render
from edge_worldmodel.core.perception.config import PerceptionConfig
from edge_worldmodel.core.perception.perception import Perception
from edge_worldmodel.core.sweep import Sweep, limit_range, sweep_from_scan
from edge_worldmodel.core.tensors import GRID_CELLS, GRID_CHANNELS, HISTORY_FRAMES, HORIZON_STEP_S, HORIZON_STEPS
from edge_worldmodel.core.time_units import NS_PER_S
from edge_worldmodel.core.types import Floats, Mask
from edge_worldmodel.recordings import open_recording
from edge_worldmodel.recordings.description import describe
from edge_worldmodel.recordings.playback import EgoMotion, played_records, prepare
from edge_worldmodel.recordings.records import Scan
from edge_worldmodel.training.data.shards import pack
from edge_worldmodel.training.data.splits import ClipSet, motion_of

_LOG = logging.getLogger(__name__)
_HISTORY_S = 1.0
_TOLERANCE_S = 0.12
"""Largest difference between an imagined time and the stamp of the scan that shows the true future at that time."""
_STRETCH_S = 20.0
"""Clips within this time of a recording form one group of the bootstrap, because they show much the same scene."""
_NEIGHBOURS = np.ones((3, 3), np.uint8)


@dataclass
class _Recorded:
    """Sweeps of every scanner in the base frame and poses of the base, in order of their stamps."""

    sweeps: dict[str, list[Sweep]] = field(default_factory=dict)
    pose_stamps_ns: list[int] = field(default_factory=list)
    poses: list[Floats] = field(default_factory=list)

    def pose_at(self, stamp_ns: int) -> Floats:
        """Return the interpolated pose (3,) of the base; the origin if there are no poses."""
        if not self.poses:
            return np.zeros(3)
        return np.array([np.interp(stamp_ns, self.pose_stamps_ns, values) for values in self._columns])

    @cached_property
    def _columns(self) -> Floats:
        columns = np.array(self.poses).T
        columns[2] = np.unwrap(columns[2])
        return columns

    def near(self, topic: str, since_ns: int, until_ns: int) -> list[Sweep]:
        """Return a scanner's sweeps between two times, both included."""
        stamps_ns = self._stamps_ns[topic]
        return self.sweeps[topic][bisect_left(stamps_ns, since_ns) : bisect_right(stamps_ns, until_ns)]

    @cached_property
    def _stamps_ns(self) -> dict[str, list[int]]:
        return {topic: [sweep.stamp_ns for sweep in sweeps] for topic, sweeps in self.sweeps.items()}


@dataclass(frozen=True)
class _RecordedClip:
    """One clip in the ego frame at its stamp.

    Attributes:
        stamp_ns: reference time.
        history: (10, 64, 64) frames of occupied and free cells, oldest first.
        occupied: (H, 64, 64) cells that were occupied at the imagined times.
        known: (H, 64, 64) cells that were observed at the imagined times.
        moving: (H, 64, 64) occupied cells that were observed free before.
        present_moving: (64, 64) the same in the present frame.
        maneuver: (H, 3) driven ego poses.
    """

    stamp_ns: int
    history: Mask
    occupied: Mask
    known: Mask
    moving: Mask
    present_moving: Mask
    maneuver: NDArray[np.float32]


def recorded_clips(paths: Iterable[Path], most: int, damage: list[str] | None = None) -> ClipSet:
    """Return clips from recordings, spread evenly over each.

    Args:
        paths: ROS bags and CARMEN logs; a damaged one is logged and used as far as it can be read.
        most: largest number of clips per recording.
        damage: list to which a line is added for each recording that was skipped or read in part; None: only logged.

    Raises:
        RecordingError: no recording gives a clip.
    """
    clips: list[_RecordedClip] = []
    groups: list[tuple[int, int]] = []
    for number, path in enumerate(paths):
        recorded, trouble = _read(path)
        found = _clips_of(recorded, most)
        if not found and not trouble:
            trouble = f"{path} gives no clip of {_HISTORY_S + HORIZON_STEPS * HORIZON_STEP_S:.1f} s"
        if trouble:
            line = f"read up to its damaged part: {trouble}" if found else f"skipped: {trouble}"
            _LOG.warning(line)
            (damage if damage is not None else []).append(line)
        clips += found
        groups += [(number, int((clip.stamp_ns - found[0].stamp_ns) / NS_PER_S / _STRETCH_S)) for clip in found]
    if not clips:
        raise RecordingError("no recording gives a clip; the log gives the reason for each")
    columns = ("history", "occupied", "known", "moving", "present_moving")
    history, future, known, moving, present = (
        pack(np.stack([getattr(clip, name) for clip in clips])) for name in columns
    )
    _, group = np.unique(np.array(groups), axis=0, return_inverse=True)
    maneuver = np.stack([clip.maneuver for clip in clips])
    # Whether recorded people reacted to the robot is not known.
    unaware = np.zeros(len(clips), bool)
    grouped = group.ravel().astype(np.intp)
    return ClipSet(history, motion_of(history), future, known, moving, present, maneuver, unaware, grouped)


def _read(path: Path) -> tuple[_Recorded, str]:
    """Return the readable scans and poses of a recording, and why reading stopped early; empty if it did not."""
    found = _Recorded()
    try:
        recording = open_recording(path)
        playback = prepare(describe(recording))
        motion = EgoMotion(playback.ego)
        mounts = {frame: mount.matrix() for frame, mount in playback.mounts.items()}
        for record in played_records(recording, playback):
            moved = motion.update(record.topic, record.stamp_ns, record.value)
            if moved is not None:
                found.pose_stamps_ns.append(record.stamp_ns)
                found.poses.append(moved[0])
            mount = mounts.get(record.value.frame_id) if isinstance(record.value, Scan) else None
            if isinstance(record.value, Scan) and record.topic in playback.outputs and mount is not None:
                _keep(found, record.topic, record.stamp_ns, record.value, mount)
    except RecordingError as error:
        return found, str(error)
    return found, ""


def _keep(found: _Recorded, topic: str, stamp_ns: int, scan: Scan, mount: Floats) -> None:
    angles = scan.angle_min_rad, scan.angle_increment_rad
    try:
        sweep = sweep_from_scan(stamp_ns, scan.ranges_m, *angles, scan.range_min_m, scan.range_max_m, mount)
    except InputError:
        return  # a scan without a usable reading
    sweeps = found.sweeps.setdefault(topic, [])
    # Late scans are dropped, because scans are looked up by their rising stamps.
    if not sweeps or sweep.stamp_ns > sweeps[-1].stamp_ns:
        sweeps.append(sweep)


def _clips_of(found: _Recorded, most: int) -> list[_RecordedClip]:
    """Return up to ``most`` clips, spread evenly."""
    if not found.sweeps:
        return []
    first = next(iter(found.sweeps.values()))
    begin_ns = first[0].stamp_ns + int(_HISTORY_S * NS_PER_S)
    end_ns = first[-1].stamp_ns - int(HORIZON_STEPS * HORIZON_STEP_S * NS_PER_S)
    stamps_ns = [sweep.stamp_ns for sweep in first if begin_ns <= sweep.stamp_ns <= end_ns]
    if not stamps_ns:
        return []
    chosen = np.unique(np.linspace(0, len(stamps_ns) - 1, most).astype(int))
    built = (_clip_at(found, stamps_ns[index]) for index in chosen)
    return [clip for clip in built if clip is not None]


def _clip_at(found: _Recorded, stamp_ns: int) -> _RecordedClip | None:
    """Return the clip at a time; None if nothing was observed in its past or in its future."""
    reference = found.pose_at(stamp_ns)
    try:
        history = _perceived_history(found, stamp_ns)
    except InputError:
        return None
    times_ns = [stamp_ns + round((step + 1) * HORIZON_STEP_S * NS_PER_S) for step in range(HORIZON_STEPS)]
    seen = np.stack([_observed(found, time_ns, reference) for time_ns in times_ns])
    if not seen.any():
        return None
    occupied, known = seen[:, 0], seen.any(axis=1)
    frames = history.reshape(HISTORY_FRAMES, GRID_CHANNELS, GRID_CELLS, GRID_CELLS)
    moving = np.stack([_newly_occupied(each, frames) for each in occupied])
    maneuver = np.stack([relative(reference, found.pose_at(time_ns)) for time_ns in times_ns])
    present = _newly_occupied(frames[-1, 0], frames[:-1])
    return _RecordedClip(stamp_ns, history, occupied, known, moving, present, maneuver.astype(np.float32))


def _perceived_history(found: _Recorded, stamp_ns: int) -> Mask:
    """Return the history (10, 64, 64) of perception at a time."""
    perception = Perception(PerceptionConfig(ego_motion="odom" if found.poses else "fixed"))
    # Somewhat more than the history, so that its first frame has scans, too; later poses serve to interpolate the last.
    since_ns = stamp_ns - round(1.5 * _HISTORY_S * NS_PER_S)
    first, last = np.searchsorted(found.pose_stamps_ns, [since_ns, stamp_ns + NS_PER_S // 10])
    for at_ns, pose in zip(found.pose_stamps_ns[first:last], found.poses[first:last], strict=True):
        perception.add_pose(at_ns, pose)
    for topic in found.sweeps:
        for sweep in found.near(topic, since_ns, stamp_ns):
            perception.add_sweep(topic, sweep)
    return perception.observe(stamp_ns).history[0] > 0.5


def _observed(found: _Recorded, time_ns: int, reference: Floats) -> Mask:
    """Return the occupied and free cells (2, 64, 64) by the scans nearest to a time, around the pose ``reference``."""
    tolerance_ns = round(_TOLERANCE_S * NS_PER_S)
    sweeps = []
    for topic in found.sweeps:
        near = found.near(topic, time_ns - tolerance_ns, time_ns + tolerance_ns)
        if near:
            nearest = min(near, key=lambda sweep: abs(sweep.stamp_ns - time_ns))
            sweeps.append(limit_range(nearest, PerceptionConfig().max_range_m))
    if not sweeps:
        return np.zeros((GRID_CHANNELS, GRID_CELLS, GRID_CELLS), bool)
    poses = np.stack([relative(reference, found.pose_at(sweep.stamp_ns)) for sweep in sweeps])
    return render(sweeps, poses) > 0.5


def _newly_occupied(occupied: Mask, frames: Mask) -> Mask:
    """Return the occupied cells (64, 64) that were free, with free neighbours, in an earlier frame (F, 2, 64, 64).

    Free neighbours are required because noise can move a wall by one cell.
    """
    crowded = np.stack([cv2.dilate(frame[0].astype(np.uint8), _NEIGHBOURS) > 0 for frame in frames])
    clear: Mask = (frames[:, 1] & ~crowded).any(axis=0)
    return occupied & clear
