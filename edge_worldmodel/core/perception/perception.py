"""Sweeps and poses go in, the history of the world around the robot comes out.

Each frame of the history is drawn from the raw rays of its sweeps, straight into the present ego frame: ego
motion is compensated exactly and nothing is resampled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_worldmodel.core.geometry import relative
from edge_worldmodel.core.grid import EGO_GRID, hit_points, render
from edge_worldmodel.core.perception.config import EGO_MOTION_SOURCES, PerceptionConfig
from edge_worldmodel.core.perception.pose_buffer import PoseBuffer
from edge_worldmodel.core.perception.stamps import StampGate
from edge_worldmodel.core.perception.uncertainty import entropy_bits, surprise_bits
from edge_worldmodel.core.rejection import RejectedInputError, RejectionKind
from edge_worldmodel.core.sweep import Sweep, check_sweep, limit_range
from edge_worldmodel.core.tensors import GRID_CELLS, GRID_CHANNELS, HISTORY, HISTORY_FRAMES, HISTORY_INTERVAL_S
from edge_worldmodel.core.types import Floats

__all__ = ["EGO_MOTION_SOURCES", "Observation", "Perception", "PerceptionConfig"]

_NANOSECONDS = 1_000_000_000
_KEPT_NS = int((HISTORY_FRAMES * HISTORY_INTERVAL_S + 1.0) * _NANOSECONDS)
# A scanner at 100 Hz fills the kept time with this many sweeps.
_KEPT_SWEEPS = 200
_KEPT_IMAGINED = 16


@dataclass(frozen=True)
class Observation:
    """What is known at ``stamp_ns``; ``pose`` in the fixed frame, ``twist`` in the base frame.

    ``history`` is the HISTORY tensor, ``grid`` (2, 64, 64) its newest frame. ``surprise_bits`` is NaN when nothing
    was imagined for this time. ``frames_seen`` counts the frames with a sweep, ``without_pose`` the sweeps that
    could not be used for want of a pose. ``obstacles`` (n, 2) is what the newest sweeps hit, in the ego frame, one
    point for each square of 5 cm.
    """

    stamp_ns: int
    pose: Floats
    twist: Floats
    history: NDArray[np.float32]
    grid: NDArray[np.float32]
    entropy_bits: float
    surprise_bits: float
    sources: tuple[str, ...]
    frames_seen: int
    without_pose: int
    obstacles: NDArray[np.float32]


@dataclass
class _Look:
    """One kept sweep; its pose (3,) in the fixed frame is None until known for good."""

    sweep: Sweep
    pose: Floats | None = None


@dataclass
class _Source:
    """The recent sweeps of one sensor, oldest first."""

    gate: StampGate = field(default_factory=StampGate)
    looks: deque[_Look] = field(default_factory=lambda: deque(maxlen=_KEPT_SWEEPS))
    beams: int = 0

    def nearest(self, stamp_ns: int, tolerance_ns: int) -> _Look | None:
        """Return the look closest in time, None when all are farther than the tolerance."""
        near = min(self.looks, key=lambda look: abs(look.sweep.stamp_ns - stamp_ns), default=None)
        return near if near is not None and abs(near.sweep.stamp_ns - stamp_ns) <= tolerance_ns else None


@dataclass(frozen=True)
class _Imagined:
    stamp_ns: int
    pose: Floats
    probability: NDArray[np.float32]


class Perception:
    """Keeps what every sensor saw during the last second and draws it around the robot.

    A refused input raises RejectedInputError and alters nothing; what is remarkable about an input that was
    taken is returned.
    """

    def __init__(self, config: PerceptionConfig) -> None:
        """Start without sweeps or poses; with ``ego_motion`` "fixed" the base stands at the origin for ever."""
        self.config = config
        self.poses = PoseBuffer(max_gap_s=config.pose_gap_s, max_ahead_s=config.pose_ahead_s)
        self.reset()

    def reset(self) -> None:
        """Forget everything that was seen, posed and imagined."""
        self._sources: dict[str, _Source] = {}
        self._imagined: deque[_Imagined] = deque(maxlen=_KEPT_IMAGINED)
        self._next_due_ns: int | None = None
        self.poses.clear()

    def configure(self, config: PerceptionConfig) -> None:
        """Use other settings from now on; fields that are read-only keep their effect."""
        self.config = config

    def add_pose(self, stamp_ns: int, pose: ArrayLike, twist: ArrayLike | None = None) -> tuple[RejectionKind, ...]:
        """Keep a pose of the base; see PoseBuffer.add for arguments, notes and errors."""
        note = self.poses.add(stamp_ns, pose, twist)
        if note is not None:
            self._forget_sweeps()
        return () if note is None else (note,)

    def _forget_sweeps(self) -> None:
        """Drop everything but the poses: it was placed by poses that no longer hold."""
        self._sources.clear()
        self._imagined.clear()
        self._next_due_ns = None

    def add_sweep(self, source: str, sweep: Sweep, pose: ArrayLike | None = None) -> tuple[RejectionKind, ...]:
        """Keep a sweep.

        Args:
            source: the sensor; each has its own order of stamps.
            sweep: in the base frame at its stamp.
            pose: base pose (3,) in the fixed frame at the stamp, kept among the poses too when it is the newest;
                without it the pose is looked up among the poses when the sweep is used.

        Returns:
            Notes: CLOCK_RESET or POSE_JUMP, everything older was dropped; BEAMS_CHANGED.

        Raises:
            RejectedInputError: MALFORMED, EMPTY, POSE_NOT_FINITE, or a cause of StampGate.
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
            known.looks.clear()
        if given is not None and sweep.stamp_ns > (self.poses.newest_ns or -1):
            notes.extend(self.add_pose(sweep.stamp_ns, given))
        self._sources[source] = known
        if known.beams and sweep.beams != known.beams:
            notes.append(RejectionKind.BEAMS_CHANGED)
        known.beams = sweep.beams
        known.looks.append(_Look(limit_range(sweep, self.config.max_range_m), given))
        while known.looks[0].sweep.stamp_ns < sweep.stamp_ns - _KEPT_NS:
            known.looks.popleft()
        return tuple(notes)

    def add_imagined(self, stamp_ns: int, pose: ArrayLike, probability: NDArray[np.float32]) -> None:
        """Remember what was imagined, to be compared with what will be seen.

        Args:
            stamp_ns: the time it was imagined for.
            pose: pose (3,) in the fixed frame of the origin of the map.
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
        self._imagined.append(_Imagined(stamp_ns, origin, np.asarray(probability, np.float32)))

    def due(self, stamp_ns: int) -> bool:
        """Return whether an observation at this time keeps the rate at ``max_rate_hz`` on average."""
        return self._next_due_ns is None or stamp_ns >= self._next_due_ns

    def stale_sources(self, now_ns: int) -> tuple[str, ...]:
        """Return the sensors that were silent for longer than ``scan_timeout_s``."""
        timeout_ns = int(self.config.scan_timeout_s * _NANOSECONDS)
        newest = {name: source.gate.last_ns for name, source in self._sources.items()}
        return tuple(name for name, last in newest.items() if last is None or now_ns - last > timeout_ns)

    def observe(self, reference_stamp_ns: int) -> Observation:
        """Draw the last second around the robot at the reference time.

        Raises:
            RejectedInputError: NO_SWEEP, no sensor looked near this time; NO_POSE, the robot's place is not known.
        """
        pose, twist = self._pose_at(reference_stamp_ns)
        present = self._looks_near(reference_stamp_ns, self.config.sweep_tolerance_s)
        if not present:
            raise RejectedInputError(
                RejectionKind.NO_SWEEP, f"no sweep within sweep_tolerance_s of {reference_stamp_ns} ns"
            )
        frames = np.zeros((HISTORY_FRAMES, GRID_CHANNELS, GRID_CELLS, GRID_CELLS), dtype=np.float32)
        seen = without_pose = 0
        for index, looks in enumerate((*self._past(reference_stamp_ns), present)):
            sweeps, poses = self._placed(list(looks.values()))
            without_pose += len(looks) - len(sweeps)
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
            reference_stamp_ns, pose, twist, history, frames[-1], entropy_bits(frames), surprise,
            tuple(present), seen, without_pose, hit_points(sweeps, placed),
        )  # fmt: skip

    def _past(self, reference_stamp_ns: int) -> list[dict[str, _Look]]:
        ages_s = HISTORY_INTERVAL_S * np.arange(HISTORY_FRAMES - 1, 0, -1)
        stamps_ns = [reference_stamp_ns - round(age_s * _NANOSECONDS) for age_s in ages_s]
        return [self._looks_near(stamp_ns, self.config.history_tolerance_s) for stamp_ns in stamps_ns]

    def _looks_near(self, stamp_ns: int, tolerance_s: float) -> dict[str, _Look]:
        found = {name: s.nearest(stamp_ns, int(tolerance_s * _NANOSECONDS)) for name, s in self._sources.items()}
        return {name: look for name, look in found.items() if look is not None}

    def _placed(self, looks: Sequence[_Look]) -> tuple[list[Sweep], list[Floats]]:
        sweeps, poses = [], []
        for look in looks:
            pose = self._pose_of(look)
            if pose is not None:
                sweeps.append(look.sweep)
                poses.append(pose)
        return sweeps, poses

    def _pose_of(self, look: _Look) -> Floats | None:
        if look.pose is not None:
            return look.pose
        try:
            pose, _ = self._pose_at(look.sweep.stamp_ns)
        except RejectedInputError:
            return None
        # Until a later pose has come the place is extrapolated, and asked for again next time.
        if (self.poses.newest_ns or 0) >= look.sweep.stamp_ns:
            look.pose = pose
        return pose

    def _pose_at(self, stamp_ns: int) -> tuple[Floats, Floats]:
        if self.config.ego_motion == "fixed":
            return np.zeros(3), np.zeros(3)
        return self.poses.at(stamp_ns)

    def _count_rate(self, stamp_ns: int) -> None:
        period_ns = int(_NANOSECONDS / self.config.max_rate_hz)
        # Late by a little, the next one may come early by as much; a long silence earns nothing.
        owed_ns = 0 if self._next_due_ns is None else min(max(stamp_ns - self._next_due_ns, 0), period_ns)
        self._next_due_ns = stamp_ns + period_ns - owed_ns

    def _surprise(self, stamp_ns: int, grid: NDArray[np.float32], pose: Floats) -> float:
        near = min(self._imagined, key=lambda imagined: abs(imagined.stamp_ns - stamp_ns), default=None)
        tolerance_ns = self.config.imagined_tolerance_s * _NANOSECONDS
        if near is None or abs(near.stamp_ns - stamp_ns) > tolerance_ns:
            return float("nan")
        return surprise_bits(near.probability, near.pose, grid, pose)
