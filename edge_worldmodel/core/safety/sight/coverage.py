"""Which places the sensors have looked at a short while ago; elsewhere the robot only creeps.

A place has been looked at if two rays or more passed it within the last 0.3 s, or 2.5 periods of their sensor where
that is longer, or if the robot's own body was there in the last two seconds.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.geometry import compose, relative, transform_points
from edge_worldmodel.core.safety.motion.approach import Movers
from edge_worldmodel.core.safety.motion.braking import RobotFootprint, arc_pose, points_in_turned, turned
from edge_worldmodel.core.safety.sight.approaching import Approaching
from edge_worldmodel.core.safety.sight.bearings import BIN_STARTS, BINS, Rays, bearing_bins
from edge_worldmodel.core.safety.sight.blind_ring import BlindRing
from edge_worldmodel.core.safety.sight.static_returns import StaticReturns
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.time_units import to_seconds
from edge_worldmodel.core.types import Floats, Mask, Points, Pose, Twist
from edge_worldmodel.kernels.library import looked_at

_LOOKED_AT_S, _LOOKED_AT_PERIODS = 0.3, 2.5
_LONGEST_PERIOD_S = 1.0
_MAX_VIEWS = 12
_BODY_S, _BODY_STEP_S = 2.0, 0.2
_TOLERANCE_M = 0.1
"""A ray looks at places up to this far beyond its end; smaller obstacles than that are seen by their hits."""
_BODY_TOLERANCE_M = 0.03
"""Less than the way in which a robot stops from the speed allowed where no sensor has looked."""
_MIN_ECHOES = 3
"""With fewer echoes than this a sweep may be that of a covered or failed sensor, which reports nothing in range."""


@dataclass(frozen=True)
class _View:
    """One sweep.

    Attributes:
        place: (3,) of the base.
        look: (7 + BINS,) as x, y, cos(yaw), sin(yaw) of the base, position x, y of the sensor in it, the largest reach
            of two rays, and their reach in each bin.
    """

    stamp_ns: int
    place: Pose
    look: Floats


class _Sensor:
    """The newest views of one sensor, its blind ring, and what approaches in its sweeps."""

    def __init__(self, approach_speed_mps: float) -> None:
        self.views: deque[_View] = deque(maxlen=_MAX_VIEWS)
        self.ring = BlindRing()
        self._static_returns = StaticReturns()
        self.approaching = Approaching(approach_speed_mps)
        self.waiting: tuple[Sweep, Floats, Pose] | None = None
        """The newest sweep in which nobody has looked for what approaches yet, lengths of its rays, and its place."""

    def find_approaching(self) -> None:
        """Look for what approaches in the sweep that waits."""
        if self.waiting is not None:
            (sweep, lengths_m, place), self.waiting = self.waiting, None
            returns = self._static_returns.look(sweep, lengths_m, place)
            self.approaching.look(returns, transform_points(place, sweep.origin), sweep.stamp_ns)

    def recent(self, now_ns: int) -> list[_View]:
        """Return the views that still count, the newest first."""
        period_s = to_seconds(self.views[-1].stamp_ns - self.views[-2].stamp_ns) if len(self.views) > 1 else 0.0
        lasting_s = max(_LOOKED_AT_S, _LOOKED_AT_PERIODS * min(period_s, _LONGEST_PERIOD_S))
        return [view for view in reversed(self.views) if to_seconds(now_ns - view.stamp_ns) <= lasting_s]


class Coverage:
    """Keeps in mind where the sensors have looked and where the body has been.

    Places are kept in a frame of its own, in which the measured motion is summed up.

    Args:
        footprint: footprint of the robot.
        open_country: whether a sweep without any echo is believed.
        approach_speed_mps: standard deviation of the velocity of what has just come into sight.
    """

    def __init__(self, footprint: RobotFootprint, open_country: bool, approach_speed_mps: float) -> None:
        self._footprint, self._open_country = footprint, open_country
        self._approach_speed_mps = approach_speed_mps
        self.forget()

    def forget(self) -> None:
        """Drop everything, as after a jump of the clock."""
        self._sensors: dict[str, _Sensor] = {}
        self._body: deque[tuple[int, Pose]] = deque()
        self._place, self._at_ns = np.zeros(3), 0

    def move(self, twist: Twist, now_ns: int) -> None:
        """Note that the robot has moved with a twist (3,) until now."""
        elapsed_s = min(to_seconds(max(now_ns - self._at_ns, 0)), 1.0) if self._at_ns else 0.0
        if not self._body or to_seconds(now_ns - self._body[-1][0]) >= _BODY_STEP_S:
            self._body.append((now_ns, self._place))
        self._place, self._at_ns = compose(self._place, arc_pose(twist, elapsed_s)), now_ns
        while to_seconds(now_ns - self._body[0][0]) > _BODY_S:
            self._body.popleft()

    def look(self, topic: str, sweep: Sweep, twist: Twist) -> None:
        """Take a sweep of a sensor, and the twist (3,) of the robot around its time."""
        sensor = self._sensors.setdefault(topic, _Sensor(self._approach_speed_mps))
        since_s = float(np.clip(to_seconds(sweep.stamp_ns - self._at_ns), -1.0, 1.0)) if self._at_ns else 0.0
        place = compose(self._place, arc_pose(twist, since_s))
        rays = Rays.of(sweep)
        sensor.ring.look(sweep, rays, relative(sensor.views[-1].place, place) if sensor.views else np.zeros(3))
        sensor.waiting = sweep, rays.lengths_m, place
        reach_m = self._reach_m(sweep, rays)
        look = np.concatenate((turned(place[None])[0], sweep.origin, (reach_m.max(),), reach_m))
        sensor.views.append(_View(sweep.stamp_ns, place, look))

    def find_approaching(self) -> None:
        """Look for what approaches in the oldest sweep that waits: one in a tick, which bounds the work of a tick."""
        waiting = [sensor for sensor in self._sensors.values() if sensor.waiting is not None]
        if waiting:
            min(waiting, key=lambda sensor: sensor.waiting[0].stamp_ns if sensor.waiting else 0).find_approaching()

    def remembered(self, topic: str) -> Points:
        """Return the obstacles (k, 2) in the blind ring of a sensor, in the base frame at its newest sweep."""
        return self._sensors[topic].ring.points if topic in self._sensors else np.empty((0, 2))

    def movers(self, now_ns: int) -> Movers:
        """Return what may approach the robot, in the present base frame."""
        rows = [sensor.approaching.movers(self._place, now_ns) for sensor in self._sensors.values()]
        return Movers(np.concatenate(rows)) if rows else Movers()

    def has_seen(self, points: Points, now_ns: int) -> Mask:
        """Return whether each of some places (n, 2) in the present base frame was looked at, or is beside the body."""
        recent = [view.look for sensor in self._sensors.values() for view in sensor.recent(now_ns)]
        looks = np.array(recent).reshape(-1, 7 + BINS)
        bodies = turned(np.array([*(place for _, place in self._body), self._place]))
        places, footprint = transform_points(self._place, points), self._footprint
        seen = looked_at(
            footprint.outline,
            footprint.radius_m,
            BIN_STARTS,
            looks,
            _TOLERANCE_M,
            bodies,
            _BODY_TOLERANCE_M,
            places,
        )
        return _looked_at(footprint, looks, bodies, places) if seen is None else seen

    def _reach_m(self, sweep: Sweep, rays: Rays) -> Floats:
        """Return how far the second longest ray reaches in each bin; nothing for a sweep that is not believed."""
        if sweep.echo is not None and sweep.echo.sum() < _MIN_ECHOES and not self._open_country:
            return np.zeros(BINS) - 2.0 * _TOLERANCE_M
        return rays.reach_m


def _looked_at(footprint: RobotFootprint, looks: Floats, bodies: Floats, places: Points) -> Mask:
    """Do the same as the kernel, its twin.

    Args:
        footprint: footprint of the robot.
        looks: (k, 7 + BINS) as in ``_View``.
        bodies: (b, 4) where the body was, as x, y, cos(yaw), sin(yaw).
        places: (n, 2).
    """
    offsets = points_in_turned(looks[:, :4], places) - looks[:, None, 4:6]
    reach_m = np.take_along_axis(looks[:, 7:], bearing_bins(offsets), axis=1)
    seen: Mask = (np.sqrt((offsets * offsets).sum(axis=-1)) <= reach_m + _TOLERANCE_M).any(axis=0)
    unseen = np.flatnonzero(~seen)
    beside_m = footprint.clearance(points_in_turned(bodies, places[unseen]))
    seen[unseen] = (beside_m <= _BODY_TOLERANCE_M).any(axis=0)
    return seen
