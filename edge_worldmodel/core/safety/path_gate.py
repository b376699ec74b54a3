"""The gate on the way to the wheels: how much of a planned twist may pass, given what the sensors see now.

What is imagined only ever takes speed away: it is looked at after the raw data, and its share can but lower the
result. It cannot stop the robot either, so that a wrong forecast costs time and nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.geometry import compose
from edge_worldmodel.core.safety.braking import Brakes, Footprint, PathCheck, allowed_share, check_path, is_seen, moved
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import Cause, Fault
from edge_worldmodel.core.safety.limits import REST, Motion, MotionLimits, limit_change, limit_velocity
from edge_worldmodel.core.safety.polygon import signed_distance
from edge_worldmodel.core.types import Floats

_MIN_SHARE = 0.05
"""Slower than this share of the planned speed is a stop."""
_CAREFUL_SHARE = 0.3
"""What is only imagined slows down to this share of the planned speed, and no further."""
_ALREADY_SEEN_M = 0.3
"""What is imagined this close to something seen is that thing, which the raw data judges better."""
_FASTER = np.array([0.1, 0.1, 0.3])
"""A robot this much faster than commanded has its own braking path checked too."""


@dataclass(frozen=True)
class Look:
    """Everything known around the robot, in the base frame of now.

    Args:
        points: what the sensors hit, (n, 2).
        endpoints: where all their rays end, (m, 2).
        imagined: where the world model expects something, (k, 2).
    """

    points: Floats
    endpoints: Floats
    imagined: Floats


@dataclass(frozen=True)
class Decision:
    """What would be commanded, or the fault that speaks against it."""

    motion: Motion = REST
    fault: Fault | None = None
    slowed: bool = False
    limits: tuple[str, ...] = ()
    clearance_m: float = math.nan


class PathGate:
    """Velocity limits, speed for the way to stop, limited change, and last the hard checks, without any lead."""

    def __init__(self, config: SupervisorConfig) -> None:
        self._config = config
        self.limits = MotionLimits.from_config(config)
        self.brakes = Brakes.from_config(config)
        self._footprint = Footprint(config.footprint, config.footprint_radius_m)
        self._fence = config.geofence
        correction = (config.max_correction_mps, config.max_correction_mps, config.max_correction_radps)
        self._correction = np.array(correction) + 1e-6

    def decide(
        self, planned: Floats, measured: Floats, motion: Motion, look: Look, pose: Floats | None, dt_s: float
    ) -> Decision:
        """Return what may pass.

        Args:
            planned: twist (3,) that the plan asks for.
            measured: twist (3,) of the robot.
            motion: what was commanded last.
            look: what is around.
            pose: (3,) in the frame of the geofence, None without one.
            dt_s: time since the last tick.
        """
        allowed, names, fault = self._slow_down(planned, look)
        if fault is not None:
            return Decision(fault=fault)
        motion, shaping = limit_change(allowed, motion, self.limits, dt_s)
        check = self._check(motion.twist, self.brakes.reaction_s, look.points)
        fault = self._objection(motion.twist, measured, check, look.points, pose)
        if fault is not None:
            return Decision(fault=fault, clearance_m=check.clearance_m)
        return Decision(motion, None, bool(names), (*names, *shaping), check.clearance_m)

    def _slow_down(self, planned: Floats, look: Look) -> tuple[Floats, tuple[str, ...], Fault | None]:
        """Reduce the planned twist, keeping its arc, until the robot can stop before anything it sees."""
        allowed, names = limit_velocity(planned, self.limits), []
        if (np.abs(allowed - planned) > self._correction).any():  # cutting a correction is not slower than planned
            names.append("velocity")
        speed_mps = math.hypot(allowed[0], allowed[1])
        blind = len(look.endpoints) and not is_seen(allowed, look.endpoints)
        if speed_mps > self._config.unseen_speed_mps and blind:
            allowed = allowed * (self._config.unseen_speed_mps / speed_mps)
            names.append("unseen")
        share = self._share(allowed, look.points)
        if share < _MIN_SHARE:
            return allowed, (), Fault(Cause.OBSTACLE, "an obstacle stands in the braking path")
        if share < 1.0:
            names.append("braking_path")
        careful = self._careful_share(allowed, look)
        if careful < share:
            names.append("imagined")
        return allowed * min(share, careful), tuple(names), None

    def _careful_share(self, twist: Floats, look: Look) -> float:
        """Return the share of a twist that suits what is imagined where nothing is seen yet."""
        if self._share(twist, look.imagined) >= 1.0:  # mostly so, and cheaper than to tell it from what is seen
            return 1.0
        return max(self._share(twist, _unseen(look)), _CAREFUL_SHARE)

    def _share(self, twist: Floats, points: Floats) -> float:
        """Return the share of a twist at which the robot can stop, gently, before any of the points (n, 2)."""
        if not len(points):
            return 1.0
        reaction_s = self.brakes.reaction_s + self._config.slowing_lead_s
        free_s = self._check(twist, reaction_s, points).free_s
        return allowed_share(free_s, reaction_s, self.brakes.braking_s(twist))

    def _check(self, twist: Floats, reaction_s: float, points: Floats) -> PathCheck:
        margin_m = self._config.safety_margin_m + self._config.sensor_noise_m
        duration_s = reaction_s + self.brakes.braking_s(twist)
        return check_path(twist, duration_s, points, self._footprint, margin_m, self._config.min_hits)

    def _objection(
        self, twist: Floats, measured: Floats, check: PathCheck, points: Floats, pose: Floats | None
    ) -> Fault | None:
        """Return what speaks against passing a limited twist on: the hard checks, without any lead."""
        if check.free_s < math.inf:
            return Fault(Cause.OBSTACLE, "an obstacle appeared in the braking path, too close to slow down gently")
        faster = bool((np.abs(measured) > np.abs(twist) + _FASTER).any())
        if faster and self._check(measured, self.brakes.reaction_s, points).free_s < math.inf:
            return Fault(Cause.OBSTACLE, "the robot is faster than commanded, with an obstacle in its braking path")
        if pose is not None:
            stop = compose(pose, moved(twist, self.brakes.reaction_s + self.brakes.braking_s(twist)))
            if signed_distance(self._fence, stop[:2]) > 0.0:
                return Fault(Cause.GEOFENCE_AHEAD, "the braking path leaves the geofence")
        return None


def _unseen(look: Look) -> Floats:
    """Return the imagined points that are not what the sensors see anyway."""
    if not len(look.imagined) or not len(look.points):
        return look.imagined
    apart = look.imagined[:, None] - look.points[None]
    far: Floats = look.imagined[(np.einsum("kni,kni->kn", apart, apart) > _ALREADY_SEEN_M**2).all(axis=1)]
    return far
