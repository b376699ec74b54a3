"""From sweeps and poses to the history: occupancy around the robot over the last second.

Each frame of the history is rendered from the rays of its sweeps directly into the present ego frame. Ego motion is
thereby compensated exactly, without resampling grids.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from edge_worldmodel.core.geometry import relative
from edge_worldmodel.core.grid import EGO_GRID, hit_points, render
from edge_worldmodel.core.perception.config import EGO_MOTION_SOURCES, PerceptionConfig
from edge_worldmodel.core.perception.pose_buffer import PoseBuffer
from edge_worldmodel.core.perception.uncertainty import entropy_bits, surprise_bits
from edge_worldmodel.core.rejection import RejectedInputError, RejectionKind
from edge_worldmodel.core.stamps import StampGate
from edge_worldmodel.core.sweep import Sweep, check_sweep, deskewed, limit_range
from edge_worldmodel.core.tensors import GRID_CELLS, GRID_CHANNELS, HISTORY, HISTORY_FRAMES, HISTORY_INTERVAL_S
from edge_worldmodel.core.time_units import NS_PER_S
from edge_worldmodel.core.types import LatentFrame, Pose, Tensor, Twist

__all__ = ["EGO_MOTION_SOURCES", "Observation", "Perception", "PerceptionConfig"]

_KEPT_NS = int((HISTORY_FRAMES * HISTORY_INTERVAL_S + 1.0) * NS_PER_S)
# Enough for a scanner of 100 Hz over the kept time.
_KEPT_SWEEPS = 200
_KEPT_IMAGINED = 16


@dataclass(frozen=True)
class Observation:
    """Perception's result at ``stamp_ns``.

    Attributes:
        stamp_ns: reference time.
        pose: (3,) of the base in the fixed frame.
        twist: (3,) in the base frame.
        history: the HISTORY tensor.
        grid: (2, 64, 64) newest frame of the history: occupied, observed free.
        entropy_bits: uncertainty of the occupancy, per cell.
        surprise_bits: per observed cell; NaN when nothing was imagined for this time.
        sources: sensors with a sweep in the newest frame.
        frames_seen: number of frames with a sweep.
        without_pose: number of sweeps left out because no pose was known for them.
        obstacles: (n, 2) hits of the newest sweeps in the ego frame, one for each square of 5 cm.
    """

    stamp_ns: int
    pose: Pose
    twist: Twist
    history: Tensor
    grid: Tensor
    entropy_bits: float
    surprise_bits: float
    sources: tuple[str, ...]
    frames_seen: int
    without_pose: int
    obstacles: Tensor

    def latent_frame(self, tensor: Tensor, model_id: str, sequence: int, frames: tuple[str, str]) -> LatentFrame:
        """Return the observation with its encoding as a frame; ``frames`` are the fixed frame and the base frame."""
        return LatentFrame(
            stamp_ns=self.stamp_ns,
            frame_id=frames[0],
            child_frame_id=frames[1],
            pose=self.pose,
            twist=self.twist,
            tensor=tensor,
            entropy_bits=self.entropy_bits,
            surprise=self.surprise_bits,
            model_id=model_id,
            sequence=sequence,
            obstacles=self.obstacles,
        )


@dataclass
class _PosedSweep:
    """A kept sweep and the base pose (3,) in the fixed frame at its stamp; None until the pose is final.

    Its rays are as measured until the pose is final; then they are placed as seen from that pose.
    """

    sweep: Sweep
    pose: Pose | None = None


@dataclass
class _Source:
    """The recent sweeps of one sensor, oldest first."""

    gate: StampGate = field(default_factory=StampGate)
    sweeps: deque[_PosedSweep] = field(default_factory=lambda: deque(maxlen=_KEPT_SWEEPS))
    beams: int = 0

    def nearest(self, stamp_ns: int, tolerance_ns: int) -> _PosedSweep | None:
        """Return the sweep closest in time, None when none is within the tolerance."""
        near = min(self.sweeps, key=lambda posed: abs(posed.sweep.stamp_ns - stamp_ns), default=None)
        return near if near is not None and abs(near.sweep.stamp_ns - stamp_ns) <= tolerance_ns else None


@dataclass(frozen=True)
class _ImaginedMap:
    stamp_ns: int
    pose: Pose
    probability: Tensor


class Perception:
    """Keeps the sweeps of every sensor over the last second and renders them around the robot.

    A rejected input raises RejectedInputError and changes nothing. Methods that accept an input return
    notes about it, for example that the clock was reset.
    """

    def __init__(self, config: PerceptionConfig) -> None:
        """Start without sweeps or poses; with ``ego_motion`` "fixed" the base stays at the origin."""
        self.config = config
        self.poses = PoseBuffer(max_gap_s=config.pose_gap_s, max_ahead_s=config.pose_ahead_s)
        self.reset()

    def reset(self) -> None:
        """Forget all sweeps, poses and imagined maps."""
        self._sources: dict[str, _Source] = {}
        self._imagined: deque[_ImaginedMap] = deque(maxlen=_KEPT_IMAGINED)
        self._next_due_ns: int | None = None
        self.poses.clear()

    def configure(self, config: PerceptionConfig) -> None:
        """Use new parameters from now on, except the read-only ones."""
        self.config = config

    def add_pose(self, stamp_ns: int, pose: ArrayLike, twist: ArrayLike | None = None) -> tuple[RejectionKind, ...]:
        """Keep a pose of the base; see PoseBuffer.add for arguments, notes and errors."""
        note = self.poses.add(stamp_ns, pose, twist)
        if note is not None:
            self._forget_sweeps()
        return () if note is None else (note,)

    def _forget_sweeps(self) -> None:
        """Drop sweeps and imagined maps, which were placed by poses that no longer hold."""
        self._sources.clear()
        self._imagined.clear()
        self._next_due_ns = None

    def add_sweep(self, source: str, sweep: Sweep, pose: ArrayLike | None = None) -> tuple[RejectionKind, ...]:
        """Keep a sweep.

        Args:
            source: name of the sensor; stamps are ordered per sensor.
            sweep: in the base frame at its stamp.
            pose: base pose (3,) in the fixed frame at the stamp, which is added to the poses if it is the newest;
                without it the pose is interpolated when the sweep is used.

        Returns:
            Notes: CLOCK_RESET or POSE_JUMP when everything older was dropped; BEAMS_CHANGED.

        Raises:
            RejectedInputError: MALFORMED, EMPTY, POSE_NOT_FINITE, or a kind of StampGate.
        """
        check_sweep(sweep)
        given = None if pose is None else np.array(pose, dtype=np.float64)
        if given is not None and (given.shape != (3,) or not np.isfinite(given).all()):
            raise RejectedInputError(RejectionKind.POSE_NOT_FINITE, f"{source}: base pose {given.tolist()}")
        known = self._sources.get(source) or _Source()
        notes: list[RejectionKind] = []
        if known.gate.admit(sweep.stamp_ns, source):
            notes.append(RejectionKind.CLOCK_RESET)
            self.reset()
            known.sweeps.clear()
        if given is not None and sweep.stamp_ns > (self.poses.newest_ns or -1):
            notes.extend(self.add_pose(sweep.stamp_ns, given))
        self._sources[source] = known
        if known.beams and sweep.beams != known.beams:
            notes.append(RejectionKind.BEAMS_CHANGED)
        known.beams = sweep.beams
        known.sweeps.append(_PosedSweep(limit_range(sweep, self.config.max_range_m), given))
        while known.sweeps[0].sweep.stamp_ns < sweep.stamp_ns - _KEPT_NS:
            known.sweeps.popleft()
        return tuple(notes)

    def add_imagined(self, stamp_ns: int, pose: ArrayLike, probability: Tensor) -> None:
        """Keep an imagined map, to be compared with the frame of its time.

        Args:
            stamp_ns: the time that was imagined.
            pose: (3,) of the ego frame of the map in the fixed frame.
            probability: (64, 64) occupancy.

        Raises:
            RejectedInputError: POSE_NOT_FINITE or MALFORMED.
        """
        origin = np.array(pose, dtype=np.float64)
        if origin.shape != (3,) or not np.isfinite(origin).all():
            raise RejectedInputError(RejectionKind.POSE_NOT_FINITE, f"imagined map at {origin.tolist()}")
        if probability.shape != (GRID_CELLS, GRID_CELLS) or not np.all((probability >= 0.0) & (probability <= 1.0)):
            raise RejectedInputError(
                RejectionKind.MALFORMED, f"imagined map {probability.shape}: expected 64 x 64 within 0..1"
            )
        self._imagined.append(_ImaginedMap(stamp_ns, origin, np.asarray(probability, np.float32)))

    def due(self, stamp_ns: int) -> bool:
        """Return whether the next observation is due; the mean rate is at most ``max_rate_hz``."""
        return self._next_due_ns is None or stamp_ns >= self._next_due_ns

    def stale_sources(self, now_ns: int) -> tuple[str, ...]:
        """Return the sensors without a sweep for longer than ``scan_timeout_s``."""
        timeout_ns = int(self.config.scan_timeout_s * NS_PER_S)
        newest = {name: source.gate.last_ns for name, source in self._sources.items()}
        return tuple(name for name, last in newest.items() if last is None or now_ns - last > timeout_ns)

    def observe(self, reference_stamp_ns: int) -> Observation:
        """Render the last second around the robot at the reference time.

        Raises:
            RejectedInputError: NO_SWEEP, no sensor has a sweep near this time; NO_POSE, no pose is known.
        """
        pose, twist = self._pose_at(reference_stamp_ns)
        present = self._sweeps_near(reference_stamp_ns, self.config.sweep_tolerance_s)
        if not present:
            raise RejectedInputError(
                RejectionKind.NO_SWEEP, f"no sweep within sweep_tolerance_s of {reference_stamp_ns} ns"
            )
        frames = np.zeros((HISTORY_FRAMES, GRID_CHANNELS, GRID_CELLS, GRID_CELLS), dtype=np.float32)
        seen = without_pose = 0
        for index, near in enumerate((*self._past(reference_stamp_ns), present)):
            sweeps, poses = self._placed(list(near.values()))
            without_pose += len(near) - len(sweeps)
            seen += bool(sweeps)
            if sweeps:
                placed = relative(pose, np.stack(poses))
                frames[index] = render(sweeps, placed, EGO_GRID)
            elif index == HISTORY_FRAMES - 1:
                raise RejectedInputError(RejectionKind.NO_POSE, f"no pose for any sweep near {reference_stamp_ns} ns")
        self._count_rate(reference_stamp_ns)
        surprise = self._surprise(reference_stamp_ns, frames[-1], pose)
        history = frames.reshape(1, *HISTORY.shape[1:])
        return Observation(
            stamp_ns=reference_stamp_ns,
            pose=pose,
            twist=twist,
            history=history,
            grid=frames[-1],
            entropy_bits=entropy_bits(frames),
            surprise_bits=surprise,
            sources=tuple(present),
            frames_seen=seen,
            without_pose=without_pose,
            obstacles=hit_points(sweeps, placed),
        )

    def _past(self, reference_stamp_ns: int) -> list[dict[str, _PosedSweep]]:
        ages_s = HISTORY_INTERVAL_S * np.arange(HISTORY_FRAMES - 1, 0, -1)
        stamps_ns = [reference_stamp_ns - round(age_s * NS_PER_S) for age_s in ages_s]
        return [self._sweeps_near(stamp_ns, self.config.history_tolerance_s) for stamp_ns in stamps_ns]

    def _sweeps_near(self, stamp_ns: int, tolerance_s: float) -> dict[str, _PosedSweep]:
        found = {name: s.nearest(stamp_ns, int(tolerance_s * NS_PER_S)) for name, s in self._sources.items()}
        return {name: posed for name, posed in found.items() if posed is not None}

    def _placed(self, near: Sequence[_PosedSweep]) -> tuple[list[Sweep], list[Pose]]:
        """Return the sweeps whose pose is known, each as seen from one place, and their poses."""
        sweeps, poses = [], []
        for posed in near:
            placed = self._place(posed)
            if placed is not None:
                sweeps.append(placed[0])
                poses.append(placed[1])
        return sweeps, poses

    def _place(self, posed: _PosedSweep) -> tuple[Sweep, Pose] | None:
        if posed.pose is not None and posed.sweep.delays_s is None:
            return posed.sweep, posed.pose
        try:
            pose, twist = self._pose_at(posed.sweep.stamp_ns)
        except RejectedInputError:
            return None if posed.pose is None else (posed.sweep, posed.pose)
        pose = pose if posed.pose is None else posed.pose
        sweep = deskewed(posed.sweep, twist)
        # an extrapolated pose is not kept: a later call may interpolate it
        if (self.poses.newest_ns or 0) >= posed.sweep.stamp_ns:
            posed.sweep, posed.pose = sweep, pose
        return sweep, pose

    def _pose_at(self, stamp_ns: int) -> tuple[Pose, Twist]:
        if self.config.ego_motion == "fixed":
            return np.zeros(3), np.zeros(3)
        return self.poses.at(stamp_ns)

    def _count_rate(self, stamp_ns: int) -> None:
        period_ns = int(NS_PER_S / self.config.max_rate_hz)
        # After a late frame the next one may come earlier by the same time, so that the mean rate is kept.
        owed_ns = 0 if self._next_due_ns is None else min(max(stamp_ns - self._next_due_ns, 0), period_ns)
        self._next_due_ns = stamp_ns + period_ns - owed_ns

    def _surprise(self, stamp_ns: int, grid: Tensor, pose: Pose) -> float:
        near = min(self._imagined, key=lambda imagined: abs(imagined.stamp_ns - stamp_ns), default=None)
        tolerance_ns = self.config.imagined_tolerance_s * NS_PER_S
        if near is None or abs(near.stamp_ns - stamp_ns) > tolerance_ns:
            return float("nan")
        return surprise_bits(near.probability, near.pose, grid, pose)
