"""What a person can set about perception."""

from __future__ import annotations

from dataclasses import dataclass

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.errors import ConfigError

EGO_MOTION_SOURCES = ("odom", "pose", "tf", "fixed")


@dataclass(frozen=True)
class PerceptionConfig(Config):
    """Settings of perception; heights are above the floor, ranges from the sensor."""

    max_rate_hz: float = param(10.0, "Most latent frames per second", minimum=0.5, maximum=50.0)
    ego_motion: str = param(
        "odom", "Where the motion of the robot comes from", choices=EGO_MOTION_SOURCES, read_only=True
    )
    max_range_m: float = param(12.0, "Readings beyond this count as free up to here", minimum=1.0, maximum=100.0)
    scan_timeout_s: float = param(0.5, "A sensor silent for longer is reported as stale", minimum=0.05, maximum=10.0)
    sweep_tolerance_s: float = param(
        0.15, "Farthest a sweep may lie from the reference time to be part of the present", minimum=0.01, maximum=0.5
    )
    history_tolerance_s: float = param(
        0.1, "Farthest a sweep may lie from a past time to stand for it", minimum=0.01, maximum=0.2
    )
    imagined_tolerance_s: float = param(
        0.15, "Farthest an imagined map may lie from the time it is compared at", minimum=0.01, maximum=1.0
    )
    pose_gap_s: float = param(
        0.5, "Longest time between two poses that is interpolated over", minimum=0.02, maximum=5.0, read_only=True
    )
    pose_ahead_s: float = param(
        0.15, "How far past the newest pose its twist is trusted", minimum=0.0, maximum=1.0, read_only=True
    )
    obstacle_height_min_m: float = param(
        0.12, "Lowest point that counts as an obstacle (clouds, depth)", minimum=0.0, maximum=2.0
    )
    obstacle_height_max_m: float = param(
        1.8, "Highest point that counts as an obstacle: higher ones are passed under", minimum=0.1, maximum=10.0
    )
    ground_tolerance_m: float = param(
        0.08, "Points this close to the fitted floor belong to it (clouds, depth)", minimum=0.01, maximum=0.5
    )
    ground_tilt_max_rad: float = param(
        0.15, "Steepest floor that is fitted, seen from the base frame", minimum=0.0, maximum=0.5
    )
    azimuth_bins: int = param(720, "Directions a cloud or depth image is reduced to", minimum=36, maximum=3600)
    depth_unit_m: float = param(0.001, "One count of an integer depth image in metres", minimum=1e-5, maximum=1.0)
    depth_stride: int = param(4, "Every how many rows and columns of a depth image are used", minimum=1, maximum=32)

    def __post_init__(self) -> None:
        """Check the fields, then the two heights against each other and the floor."""
        super().__post_init__()
        if not self.ground_tolerance_m <= self.obstacle_height_min_m < self.obstacle_height_max_m:
            raise ConfigError(
                f"obstacle heights {self.obstacle_height_min_m}..{self.obstacle_height_max_m} m must rise and start at"
                f" ground_tolerance_m = {self.ground_tolerance_m} m or above"
            )
