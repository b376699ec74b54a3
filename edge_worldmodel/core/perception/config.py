"""Parameters of perception."""

from __future__ import annotations

from dataclasses import dataclass

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.errors import ConfigError

EGO_MOTION_SOURCES = ("odom", "pose", "tf", "fixed")


@dataclass(frozen=True)
class PerceptionConfig(Config):
    """Parameters of perception; heights are above the floor, ranges from the sensor."""

    max_rate_hz: float = param(10.0, "Highest rate of latent frames", minimum=0.5, maximum=50.0)
    ego_motion: str = param("odom", "Source of the ego motion", choices=EGO_MOTION_SOURCES, read_only=True)
    max_range_m: float = param(
        12.0, "Rays are cut at this range; a reading beyond it is no obstacle", minimum=1.0, maximum=100.0
    )
    below_range_min: str = param(
        "hit",
        "Scan readings of -inf or between 0 and range_min: hit, too close to measure (REP-117); or ignore, if the"
        " driver marks missing readings so",
        choices=("hit", "ignore"),
    )
    scan_timeout_s: float = param(
        0.5, "Time without readings after which a sensor is reported as stale", minimum=0.05, maximum=10.0
    )
    sweep_tolerance_s: float = param(
        0.15, "Largest time between a sweep of the present frame and the reference time", minimum=0.01, maximum=0.5
    )
    history_tolerance_s: float = param(
        0.1, "Largest time between a sweep of a past frame and the time of that frame", minimum=0.01, maximum=0.2
    )
    imagined_tolerance_s: float = param(
        0.15, "Largest time between an imagined map and the frame that it is compared with", minimum=0.01, maximum=1.0
    )
    pose_gap_s: float = param(
        0.5, "Longest time between two poses for interpolation between them", minimum=0.02, maximum=5.0, read_only=True
    )
    pose_ahead_s: float = param(
        0.15,
        "Longest time for which the newest pose is extrapolated by its twist",
        minimum=0.0,
        maximum=1.0,
        read_only=True,
    )
    pose_wait_s: float = param(
        0.2,
        "Longest time for which a frame waits for the pose of its time, where extrapolation does not reach; then it is"
        " dropped",
        minimum=0.0,
        maximum=1.0,
    )
    clock_offset_max_s: float = param(
        2.0,
        "Largest offset between the stamps of a topic and this node's clock; beyond, they are those of another clock"
        " and are refused",
        minimum=0.05,
        maximum=1e9,
    )
    obstacle_height_min_m: float = param(
        0.12, "Lowest height of obstacles; lower points are ignored", minimum=0.0, maximum=2.0
    )
    obstacle_height_max_m: float = param(
        1.8, "Greatest height of obstacles; the robot passes under higher points", minimum=0.1, maximum=10.0
    )
    ground_tolerance_m: float = param(
        0.08, "Points this close to the fitted floor belong to it (clouds, depth images)", minimum=0.01, maximum=0.5
    )
    ground_tilt_max_rad: float = param(
        0.15, "Steepest floor that is fitted, relative to the base frame", minimum=0.0, maximum=0.5
    )
    azimuth_bins: int = param(
        720, "Number of directions to which a cloud or depth image is reduced", minimum=36, maximum=3600
    )
    depth_unit_m: float = param(0.001, "Depth of one count of an integer depth image", minimum=1e-5, maximum=1.0)
    depth_stride: int = param(4, "Only every n-th row and column of a depth image is used", minimum=1, maximum=32)

    def __post_init__(self) -> None:
        """Check the fields, and the obstacle heights against each other and the floor tolerance."""
        super().__post_init__()
        if not self.ground_tolerance_m <= self.obstacle_height_min_m < self.obstacle_height_max_m:
            raise ConfigError(
                f"obstacle heights {self.obstacle_height_min_m}..{self.obstacle_height_max_m} m: the lower must be at"
                f" least ground_tolerance_m = {self.ground_tolerance_m} m and below the upper"
            )
