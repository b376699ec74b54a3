"""Clusters of hits in a scan, tracked by Kalman filters with a constant-velocity model.

The usual pipeline of people trackers for planar scanners: cluster, associate each cluster with the nearest track,
filter. MPPI with prediction uses it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.geometry import transform_points
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.types import Floats


@dataclass(frozen=True)
class ClusterConfig(Config):
    """Thresholds of clustering, association and motion."""

    gap_m: float = param(0.15, "neighbouring hits farther apart belong to two clusters", minimum=0.01, maximum=2.0)
    max_range_m: float = param(8.0, "hits farther away are ignored", minimum=1.0, maximum=100.0)
    min_hits: int = param(3, "smaller clusters are ignored", minimum=1, maximum=100)
    max_size_m: float = param(2.5, "larger clusters are walls", minimum=0.1, maximum=5.0)
    behind_m: float = param(0.12, "distance of the centre behind the visible surface", minimum=0.0, maximum=1.0)
    gate_m: float = param(0.5, "largest distance of a cluster from its predicted track", minimum=0.05, maximum=3.0)
    position_noise_m: float = param(0.06, "standard deviation of measured centres", minimum=0.001, maximum=1.0)
    acceleration_mps2: float = param(1.0, "standard deviation of accelerations", minimum=0.01, maximum=10.0)
    lost_after_s: float = param(0.5, "time without a cluster after which a track ends", minimum=0.1, maximum=5.0)
    confirmed_updates: int = param(4, "updates after which a track is confirmed", minimum=1, maximum=100)
    moving_mps: float = param(0.25, "slower tracks count as static", minimum=0.0, maximum=3.0)
    moved_m: float = param(0.2, "displacement in the last second of a moving track", minimum=0.0, maximum=3.0)


@dataclass(frozen=True)
class Clusters:
    """Centres (n, 2) in the frame of the points, radii (n,) in metres, number of hits (n,)."""

    centres: Floats
    radii_m: Floats
    hits: NDArray[np.intp]


@dataclass(frozen=True)
class ClusterTracks:
    """Positions (n, 2) and velocities (n, 2) in the odom frame, radii (n,), whether each moves (n,), identity (n,)."""

    positions: Floats
    velocities: Floats
    radii_m: Floats
    is_moving: NDArray[np.bool_]
    ids: NDArray[np.intp]

    @staticmethod
    def none() -> ClusterTracks:
        """Return an empty set of tracks."""
        return ClusterTracks(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0), np.zeros(0, bool), np.zeros(0, np.intp))

    def __len__(self) -> int:
        """Return the number of tracks."""
        return len(self.positions)

    def pick(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> ClusterTracks:
        """Return some of the tracks."""
        return ClusterTracks(
            self.positions[which], self.velocities[which], self.radii_m[which], self.is_moving[which], self.ids[which]
        )

    def moving(self) -> ClusterTracks:
        """Return the moving tracks."""
        return self.pick(self.is_moving)

    def near(self, point: Floats, within_m: float, count: int) -> ClusterTracks:
        """Return the ``count`` tracks nearest to a point (2,), none farther than ``within_m``."""
        away = np.hypot(*(self.positions - point).T)
        order = np.argsort(away, kind="stable")
        return self.pick(order[away[order] <= within_m][:count])


@dataclass
class _Track:
    identity: int
    state: Floats  # x, y, vx, vy
    covariance: Floats  # (4, 4)
    radius_m: float
    seen_ns: int
    updates: int = 1
    places: list[tuple[int, Floats]] = field(default_factory=list)


def find_clusters(sweep: Sweep, config: ClusterConfig) -> Clusters:
    """Return the clusters of a sweep (base frame), without those larger than ``max_size_m``."""
    points = sweep.endpoints[sweep.hit]
    away = np.hypot(*(points - sweep.origin).T)
    points = points[away <= config.max_range_m]
    if len(points) < config.min_hits:
        return Clusters(np.zeros((0, 2)), np.zeros(0), np.zeros(0, np.intp))
    # Points of clouds and of rotated scanners are not in order of bearing.
    offset = points - sweep.origin
    points = points[np.argsort(np.arctan2(offset[:, 1], offset[:, 0]), kind="stable")]
    groups = _split(points, config.gap_m)
    kept = [group for group in groups if len(group) >= config.min_hits and _size(group) <= config.max_size_m]
    centres, radii = [], []
    for group in kept:
        # A scanner sees the near side of a body: its centre lies further along the ray.
        middle = group.mean(axis=0)
        ray = middle - sweep.origin
        centres.append(middle + ray * (config.behind_m / max(float(np.hypot(*ray)), 1e-6)))
        radii.append(max(0.5 * _size(group), config.behind_m))
    return Clusters(
        np.array(centres).reshape(-1, 2), np.array(radii), np.array([len(group) for group in kept], np.intp)
    )


def _split(points: Floats, gap_m: float) -> list[Floats]:
    """Split points (n, 2) in order of bearing at gaps; the first and the last group may be one."""
    steps = np.hypot(*np.diff(points, axis=0).T)
    groups = np.split(points, np.flatnonzero(steps > gap_m) + 1)
    if len(groups) > 1 and np.hypot(*(points[0] - points[-1])) <= gap_m:
        groups = [np.concatenate([groups[-1], groups[0]]), *groups[1:-1]]
    return groups


def _size(group: Floats) -> float:
    return float(np.hypot(*np.ptp(group, axis=0)))


class ClusterTracker:
    """Follows clusters from sweep to sweep in the odom frame."""

    def __init__(self, config: ClusterConfig | None = None) -> None:
        """Start without tracks."""
        self.config = config or ClusterConfig()
        self._tracks: list[_Track] = []
        self._next = 0
        self._stamp_ns = 0

    def update(self, stamp_ns: int, sweep: Sweep, pose: Floats) -> None:
        """Take in a sweep (base frame) seen from a base pose (3,) in the odom frame."""
        found = find_clusters(sweep, self.config)
        centres = transform_points(pose, found.centres) if len(found.centres) else found.centres
        for track in self._tracks:
            self._predict(track, (stamp_ns - self._stamp_ns) * 1e-9)
        self._stamp_ns = stamp_ns
        pairs = assign(
            np.array([track.state[:2] for track in self._tracks]).reshape(-1, 2), centres, self.config.gate_m
        )
        for index, cluster in pairs:
            self._correct(self._tracks[index], centres[cluster], float(found.radii_m[cluster]), stamp_ns)
        taken = {cluster for _, cluster in pairs}
        for cluster in range(len(centres)):
            if cluster not in taken:
                self._begin(centres[cluster], float(found.radii_m[cluster]), stamp_ns)
        oldest_ns = stamp_ns - round(self.config.lost_after_s * 1e9)
        self._tracks = [track for track in self._tracks if track.seen_ns >= oldest_ns]

    def tracks(self) -> ClusterTracks:
        """Return the confirmed tracks at the time of the last sweep."""
        known = [track for track in self._tracks if track.updates >= self.config.confirmed_updates]
        if not known:
            return ClusterTracks.none()
        states = np.stack([track.state for track in known])
        return ClusterTracks(
            states[:, :2],
            states[:, 2:],
            np.array([track.radius_m for track in known]),
            np.array([self._is_moving(track) for track in known]),
            np.array([track.identity for track in known], np.intp),
        )

    def _is_moving(self, track: _Track) -> bool:
        speed = float(np.hypot(track.state[2], track.state[3]))
        displacement_m = float(np.hypot(*(track.places[-1][1] - track.places[0][1])))
        return speed > self.config.moving_mps and displacement_m > self.config.moved_m

    def _begin(self, centre: Floats, radius_m: float, stamp_ns: int) -> None:
        covariance = np.diag([self.config.position_noise_m**2] * 2 + [1.0, 1.0])
        track = _Track(self._next, np.append(centre, (0.0, 0.0)), covariance, radius_m, stamp_ns)
        track.places.append((stamp_ns, centre))
        self._tracks.append(track)
        self._next += 1

    def _predict(self, track: _Track, dt_s: float) -> None:
        model = np.eye(4)
        model[0, 2] = model[1, 3] = dt_s
        # The process noise is a random acceleration.
        push = np.array([0.5 * dt_s**2, 0.5 * dt_s**2, dt_s, dt_s])
        noise = np.outer(push, push) * np.tile(np.eye(2), (2, 2)) * self.config.acceleration_mps2**2
        track.state = model @ track.state
        track.covariance = model @ track.covariance @ model.T + noise

    def _correct(self, track: _Track, centre: Floats, radius_m: float, stamp_ns: int) -> None:
        measured = track.covariance[:2, :2] + np.eye(2) * self.config.position_noise_m**2
        gain = np.linalg.solve(measured, track.covariance[:2]).T
        track.state = track.state + gain @ (centre - track.state[:2])
        track.covariance = track.covariance - gain @ track.covariance[:2]
        # The visible part of a body changes, so the radius follows slowly.
        track.radius_m += 0.3 * (radius_m - track.radius_m)
        track.seen_ns, track.updates = stamp_ns, track.updates + 1
        track.places.append((stamp_ns, centre))
        while track.places[0][0] < stamp_ns - 1_000_000_000:
            track.places.pop(0)


def assign(tracks: Floats, clusters: Floats, gate_m: float) -> list[tuple[int, int]]:
    """Pair tracks (n, 2) and clusters (m, 2), the nearest first, none farther apart than the gate."""
    if len(tracks) == 0 or len(clusters) == 0:
        return []
    gaps = np.hypot(*np.moveaxis(tracks[:, None] - clusters[None], -1, 0))
    near = np.argwhere(gaps <= gate_m)
    order = np.argsort(gaps[near[:, 0], near[:, 1]], kind="stable")
    pairs: list[tuple[int, int]] = []
    used_tracks: set[int] = set()
    used_clusters: set[int] = set()
    for track, cluster in near[order].tolist():
        if track not in used_tracks and cluster not in used_clusters:
            pairs.append((track, cluster))
            used_tracks.add(track)
            used_clusters.add(cluster)
    return pairs
