"""Values that the nodes exchange, without ROS types.

Poses are float64 arrays (x_m, y_m, yaw_rad), twists float64 arrays (vx_mps, vy_mps, yaw_rate_radps) in the
base frame (REP-103). Stamps are integer nanoseconds of the ROS clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
"""Float64 numbers of any other meaning; the docstring gives shape and unit."""
Pose = NDArray[np.float64]
"""(..., 3) x and y in metres and yaw in radians; the frame is named at each use."""
Twist = NDArray[np.float64]
"""(..., 3) vx and vy in m/s and yaw rate in rad/s, in the base frame."""
Points = NDArray[np.float64]
"""(..., 2) x and y in metres."""
Tensor = NDArray[np.float32]
"""Float32 array of a network."""
Mask = NDArray[np.bool_]
"""Array of booleans."""


@dataclass(frozen=True)
class LatentFrame:
    """One encoded frame, or the planner's solution for one on its way back to the cache.

    Attributes:
        tensor: context (1, Cc, 16, 16); for a solution latents (futures, Cl, 16, 16).
        obstacles: (n, 2) hits in metres in the ego frame, thinned to 5 cm; empty if only the cells are known.
    """

    stamp_ns: int
    frame_id: str
    child_frame_id: str
    pose: Pose
    twist: Twist
    tensor: Tensor
    entropy_bits: float
    surprise: float
    model_id: str
    sequence: int
    obstacles: Tensor = field(default_factory=lambda: np.zeros((0, 2), np.float32))


@dataclass(frozen=True)
class WarmStart:
    """Latents (futures, Cl, 16, 16) from which denoising may start; empty if not valid."""

    stamp_ns: int
    sequence: int
    valid: bool
    reason: str
    model_id: str
    age_s: float
    similarity: float
    noise_level: float
    latents: Tensor


@dataclass(frozen=True)
class Trajectory:
    """Poses (T, 3) and base twists (T, 3) at intervals of ``dt_s``, the first at the reference time."""

    dt_s: float
    poses: Pose
    twists: Twist


ROLLOUT_TERMS = ("arrival", "risk", "exposure", "comfort", "progress", "cost")
"""Names of the scores of a rollout, as in Rollout.msg."""


@dataclass(frozen=True)
class Rollout:
    """One candidate with its scores; see Rollout.msg."""

    name: str
    trajectory: Trajectory
    arrival: float
    risk: float
    exposure: float
    comfort: float
    progress: float
    cost: float
    acceptable: bool


@dataclass(frozen=True)
class LatencyBreakdown:
    """Durations of the parts of one planner tick; see LatencyBreakdown.msg."""

    load_s: float = 0.0
    preprocess_s: float = 0.0
    compute_s: float = 0.0
    postprocess_s: float = 0.0
    communication_s: float = 0.0


@dataclass(frozen=True)
class RolloutSet:
    """All candidates of one planner tick; trajectories in ``frame_id``."""

    stamp_ns: int
    frame_id: str
    rollouts: tuple[Rollout, ...]
    selected: int
    reason: str
    latency: LatencyBreakdown
    futures_per_maneuver: int
    steps: int
    warm_started: bool
    noise_level: float
    model_id: str
    sequence: int
    effort: str = ""


@dataclass(frozen=True)
class Plan:
    """A trajectory in ``frame_id`` that may be followed until ``valid_until_ns``."""

    stamp_ns: int
    frame_id: str
    trajectory: Trajectory
    valid_until_ns: int
    risk: float
    maneuver: str
    reason: str
    model_id: str
    sequence: int


@dataclass(frozen=True)
class Verdict:
    """Decision of the supervisor in one tick; see Verdict.msg."""

    stamp_ns: int
    frame_id: str
    state: int
    reason: str
    command: Twist
    limits: tuple[str, ...] = field(default=())
    clearance_margin_m: float = float("nan")
    plan_age_s: float = float("nan")
    sensor_age_s: float = float("nan")
    risk: float = float("nan")
    climb_mps: float = 0.0
    silent: bool = False
