"""Simulated robots: body, limits, odometry, scanners and cameras, with some presets."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.errors import ConfigError

VEHICLE_KINDS = ("differential", "ackermann", "quadrotor")


@dataclass(frozen=True)
class ScannerSpec(Config):
    """A planar scanner and its mount in the base frame."""

    beams: int = param(360, "Number of beams of one scan", minimum=1, maximum=10000)
    fov_rad: float = param(2 * math.pi, "Field of view, centred on the mount's yaw", minimum=0.01, maximum=2 * math.pi)
    range_min_m: float = param(0.1, "Shortest measurable range", minimum=0.0, maximum=10.0)
    range_max_m: float = param(12.0, "Longest measurable range", minimum=0.1, maximum=500.0)
    noise_m: float = param(0.01, "Standard deviation of the range noise", minimum=0.0, maximum=1.0)
    dropout: float = param(0.002, "Probability that a beam brings no measurement (NaN)", minimum=0.0, maximum=1.0)
    mount_x_m: float = param(0.0, "Mount position ahead of base_link", minimum=-5.0, maximum=5.0)
    mount_y_m: float = param(0.0, "Mount position left of base_link", minimum=-5.0, maximum=5.0)
    mount_yaw_rad: float = param(0.0, "Direction of the middle beam", minimum=-math.pi, maximum=math.pi)
    mount_height_m: float = param(0.3, "Height of the scan plane above the floor", minimum=0.0, maximum=5.0)

    def __post_init__(self) -> None:
        """Check the range limits against each other."""
        super().__post_init__()
        if self.range_min_m >= self.range_max_m:
            raise ConfigError(f"range_min_m = {self.range_min_m}: must be below range_max_m = {self.range_max_m}")

    @property
    def angle_min_rad(self) -> float:
        """Angle of the first beam in the scanner's frame."""
        return -self.fov_rad / 2

    @property
    def angle_increment_rad(self) -> float:
        """Angle between beams; a full circle has its first direction only once."""
        full_circle = self.fov_rad > 2 * math.pi - 1e-6
        return self.fov_rad / (self.beams if full_circle else max(self.beams - 1, 1))


@dataclass(frozen=True)
class DepthCameraSpec(Config):
    """A depth camera and its mount in the base frame; square pixels, optical centre in the middle."""

    columns: int = param(80, "Pixels of a row", minimum=8, maximum=1280)
    rows: int = param(60, "Pixels of a column", minimum=8, maximum=1024)
    fov_rad: float = param(1.5, "Horizontal field of view", minimum=0.1, maximum=2.8)
    range_min_m: float = param(0.2, "Shortest measurable depth", minimum=0.01, maximum=5.0)
    range_max_m: float = param(6.0, "Longest measurable depth", minimum=0.1, maximum=50.0)
    noise_per_m2: float = param(0.002, "Deviation of the depth per squared depth [1/m]", minimum=0.0, maximum=0.1)
    dropout: float = param(0.01, "Probability that a pixel brings no measurement (NaN)", minimum=0.0, maximum=1.0)
    mount_x_m: float = param(0.2, "Mount position ahead of base_link", minimum=-5.0, maximum=5.0)
    mount_y_m: float = param(0.0, "Mount position left of base_link", minimum=-5.0, maximum=5.0)
    mount_height_m: float = param(0.4, "Height above the floor", minimum=0.01, maximum=5.0)
    mount_yaw_rad: float = param(0.0, "Direction of the optical axis", minimum=-math.pi, maximum=math.pi)
    mount_pitch_rad: float = param(0.1, "Angle of the optical axis below the horizontal", minimum=-1.5, maximum=1.5)

    @property
    def focal_px(self) -> float:
        """Focal length in pixels."""
        return 0.5 * self.columns / math.tan(0.5 * self.fov_rad)

    @property
    def cx_px(self) -> float:
        """Column of the optical centre."""
        return 0.5 * (self.columns - 1)

    @property
    def cy_px(self) -> float:
        """Row of the optical centre."""
        return 0.5 * (self.rows - 1)


@dataclass(frozen=True)
class OdometrySpec(Config):
    """Random errors of the odometry, relative to the motion (Thrun, Burgard and Fox, Probabilistic Robotics, 5.4)."""

    distance_noise: float = param(0.0, "Distance error per metre driven", minimum=0.0, maximum=1.0)
    yaw_per_metre_rad: float = param(0.0, "Heading error per metre driven", minimum=0.0, maximum=1.0)
    yaw_noise: float = param(0.0, "Heading error per radian turned", minimum=0.0, maximum=1.0)


@dataclass(frozen=True)
class RobotSpec(Config):
    """A robot: a round or rectangular body with limits of its motion.

    All kinds have the same command, forward speed and yaw rate. "differential" can turn on the spot, "ackermann" turns
    only while it rolls and within its steering angle, "quadrotor" flies at a fixed height.
    """

    name: str = param("generic", "Name of the preset")
    kind: str = param("differential", "How it moves", choices=VEHICLE_KINDS)
    radius_m: float = param(0.25, "Radius of the circle around the footprint", minimum=0.01, maximum=5.0)
    length_m: float = param(0.0, "Length of a rectangular footprint; 0 for a round one", minimum=0.0, maximum=10.0)
    width_m: float = param(0.0, "Width of a rectangular footprint; 0 for a round one", minimum=0.0, maximum=10.0)
    height_m: float = param(0.35, "Height of the body", minimum=0.05, maximum=3.0)
    mass_kg: float = param(20.0, "Mass of the robot", minimum=0.1, maximum=1000.0)
    max_speed_mps: float = param(1.0, "Highest forward speed", minimum=0.01, maximum=20.0)
    max_reverse_mps: float = param(0.5, "Highest backward speed", minimum=0.0, maximum=20.0)
    max_yaw_rate_radps: float = param(1.8, "Highest turning speed", minimum=0.01, maximum=20.0)
    max_acceleration_mps2: float = param(1.0, "Highest acceleration", minimum=0.01, maximum=50.0)
    max_deceleration_mps2: float = param(2.0, "Highest deceleration when braking", minimum=0.01, maximum=50.0)
    max_yaw_acceleration_radps2: float = param(4.0, "Highest angular acceleration", minimum=0.01, maximum=100.0)
    grip: float = param(
        0.7, "Friction coefficient of the wheels; beyond it the robot slides", minimum=0.05, maximum=2.0
    )
    wheelbase_m: float = param(0.32, "Distance of the axles (ackermann)", minimum=0.05, maximum=10.0)
    max_steering_rad: float = param(0.5, "Largest steering angle (ackermann)", minimum=0.05, maximum=1.3)
    max_steering_rate_radps: float = param(3.0, "Speed of steering (ackermann)", minimum=0.05, maximum=50.0)
    flight_height_m: float = param(1.0, "Height above the floor (quadrotor)", minimum=0.2, maximum=100.0)
    drag_linear: float = param(0.25, "Drag per speed through the air [N s/m] (quadrotor)", minimum=0.0, maximum=50.0)
    drag_quadratic: float = param(0.03, "Drag per squared speed [N s2/m2] (quadrotor)", minimum=0.0, maximum=50.0)
    odometry: OdometrySpec = field(default_factory=OdometrySpec)
    scanners: tuple[ScannerSpec, ...] = (ScannerSpec(),)
    cameras: tuple[DepthCameraSpec, ...] = ()

    def __post_init__(self) -> None:
        """Check that the footprint is round, or a rectangle within the radius."""
        super().__post_init__()
        half_diagonal = math.hypot(self.length_m, self.width_m) / 2
        if (self.length_m > 0) != (self.width_m > 0):
            raise ConfigError(f"length_m = {self.length_m}, width_m = {self.width_m}: set both, or none of them")
        if half_diagonal > self.radius_m + 1e-3:
            raise ConfigError(f"radius_m = {self.radius_m}: the footprint reaches {half_diagonal:.3f} m")


PRESETS: dict[str, RobotSpec] = {
    "generic": RobotSpec(),
    "turtlebot": RobotSpec(
        name="turtlebot",
        radius_m=0.18,
        height_m=0.4,
        mass_kg=6.3,
        max_speed_mps=0.65,
        max_reverse_mps=0.3,
        max_yaw_rate_radps=3.1,
        max_acceleration_mps2=0.8,
        max_deceleration_mps2=1.2,
        scanners=(ScannerSpec(range_min_m=0.15, range_max_m=8.0, mount_height_m=0.25),),
    ),
    "camera_rover": RobotSpec(name="camera_rover", cameras=(DepthCameraSpec(),)),
    "jackal": RobotSpec(
        name="jackal",
        radius_m=0.334,
        length_m=0.508,
        width_m=0.430,
        height_m=0.25,
        mass_kg=17.0,
        max_speed_mps=2.0,
        max_reverse_mps=2.0,
        max_yaw_rate_radps=4.0,
        max_acceleration_mps2=4.0,
        max_deceleration_mps2=4.0,
        max_yaw_acceleration_radps2=12.0,
        scanners=(ScannerSpec(beams=720, fov_rad=1.5 * math.pi, range_max_m=30.0, mount_x_m=0.12),),
    ),
    "car": RobotSpec(
        name="car",
        kind="ackermann",
        radius_m=0.3,
        length_m=0.5,
        width_m=0.28,
        height_m=0.2,
        mass_kg=4.0,
        max_speed_mps=3.0,
        max_reverse_mps=1.0,
        max_yaw_rate_radps=4.0,
        max_acceleration_mps2=3.0,
        max_deceleration_mps2=4.0,
        max_yaw_acceleration_radps2=20.0,
        scanners=(ScannerSpec(beams=540, fov_rad=1.5 * math.pi, mount_x_m=0.1),),
    ),
    "quadrotor": RobotSpec(
        name="quadrotor",
        kind="quadrotor",
        radius_m=0.3,
        height_m=0.15,
        mass_kg=1.5,
        max_speed_mps=3.0,
        max_reverse_mps=1.0,
        max_yaw_rate_radps=2.0,
        max_acceleration_mps2=2.5,
        max_deceleration_mps2=2.5,
        max_yaw_acceleration_radps2=6.0,
        scanners=(ScannerSpec(mount_height_m=1.0),),
    ),
}


def robot_spec(preset: str) -> RobotSpec:
    """Return a preset by name.

    Raises:
        ConfigError: no preset has this name.
    """
    if preset not in PRESETS:
        raise ConfigError(f"robot preset {preset!r}: choose one of {', '.join(sorted(PRESETS))}")
    return PRESETS[preset]


def with_overrides(spec: RobotSpec, scanner: dict[str, object], odometry: dict[str, object]) -> RobotSpec:
    """Return the robot with values of all its scanners and of its odometry replaced and checked."""
    scanners = tuple(dataclasses.replace(s, **scanner) for s in spec.scanners)  # type: ignore[arg-type]
    changed = dataclasses.replace(spec.odometry, **odometry)  # type: ignore[arg-type]
    return dataclasses.replace(spec, scanners=scanners, odometry=changed)
