"""Everything a person may set on the supervisor. No value switches a check off, except ``unsafe_`` ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core.config import Config, param, param_infos
from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.types import Floats


@dataclass(frozen=True)
class SupervisorConfig(Config):
    """Parameters of the safety supervisor; all are fixed at start-up."""

    vehicle: str = param("ground", "What a stop means: brake, or hold and then land.", choices=("ground", "drone"))
    base_frame: str = param("base_link", "Robot base frame (REP-105).")
    odom_frame: str = param("odom", "Fixed frame that plans and odometry must be in (REP-105).")
    rate_hz: float = param(50.0, "Ticks per second.", minimum=50.0, maximum=200.0)

    plan_timeout_s: float = param(0.1, "Longest silence of the planner.", minimum=0.02, maximum=0.5)
    plan_max_age_s: float = param(1.0, "Oldest stamp of a plan that is followed.", minimum=0.1, maximum=3.0)
    future_tolerance_s: float = param(0.1, "How far a stamp may lie in the future.", minimum=0.0, maximum=0.5)
    clock_timeout_s: float = param(0.2, "Longest standstill of the ROS clock.", minimum=0.05, maximum=1.0)
    scan_topics: tuple[str, ...] = param(("scan",), "LaserScan topics, each one required.")
    cloud_topics: tuple[str, ...] = param((), "PointCloud2 topics, each one required.")
    cloud_low_m: float = param(0.08, "Lowest point of a cloud that counts.", minimum=-5.0, maximum=1.0)
    cloud_high_m: float = param(2.0, "Highest point of a cloud that counts.", minimum=0.1, maximum=10.0)
    sensor_timeouts_s: tuple[float, ...] = param(
        (0.2,),
        "Longest silence, and oldest stamp, of each sensor: one value for all, or one per topic, scans first.",
        minimum=0.02,
        maximum=2.0,
    )
    min_usable_fraction: float = param(0.2, "A scan with fewer usable rays is blind.", minimum=0.01, maximum=1.0)
    odometry_timeout_s: float = param(0.2, "Longest silence, and oldest stamp, of odometry.", minimum=0.02, maximum=2.0)
    unsafe_without_odometry: bool = param(False, "UNSAFE: go on without odometry (fixed base, replay).")
    unsafe_without_sensors: bool = param(False, "UNSAFE: go on without any scan or cloud topic.")
    resume_after_s: float = param(0.2, "How long everything must hold before going on.", minimum=0.1, maximum=5.0)
    hold_before_land_s: float = param(3.0, "Drone: how long to hold before landing.", minimum=0.5, maximum=60.0)

    landing_speed_mps: float = param(0.5, "Drone: speed of descent.", minimum=0.1, maximum=3.0)

    deadman: bool = param(False, "Go on only while supervisor/deadman says true.")
    deadman_timeout_s: float = param(0.3, "Longest silence of the deadman switch.", minimum=0.05, maximum=2.0)
    operator_link: bool = param(False, "Go on only while operator_heartbeat arrives.")
    operator_link_timeout_s: float = param(1.0, "Longest silence of the operator.", minimum=0.1, maximum=10.0)
    battery_min: float = param(0.0, "Lowest charge, as a share; 0: battery not watched.", minimum=0.0, maximum=0.9)
    battery_timeout_s: float = param(5.0, "Longest silence of battery_state.", minimum=0.5, maximum=60.0)
    height_band_m: tuple[float, ...] = param((), "Drone: lowest and highest odometry height; empty: not watched.")

    risk_limit: float = param(0.5, "Highest risk of a plan that is followed.", minimum=0.0, maximum=0.95)
    max_tracking_error_m: float = param(1.0, "Largest distance between robot and plan.", minimum=0.05, maximum=5.0)
    actuation_delay_s: float = param(0.1, "How far ahead the plan's twist is read.", minimum=0.0, maximum=0.5)
    max_correction_mps: float = param(0.2, "Bound of the speed added to catch up.", minimum=0.0, maximum=1.0)
    max_correction_radps: float = param(0.6, "Bound of the yaw rate added for it.", minimum=0.0, maximum=2.0)

    max_forward_mps: float = param(1.5, "Highest forward speed.", minimum=0.05, maximum=20.0)
    max_reverse_mps: float = param(0.5, "Highest reverse speed.", minimum=0.0, maximum=20.0)
    max_lateral_mps: float = param(0.0, "Highest sideways speed; 0 for wheels that cannot.", minimum=0.0, maximum=20.0)
    max_yaw_rate_radps: float = param(2.0, "Highest yaw rate.", minimum=0.05, maximum=10.0)
    max_acceleration_mps2: float = param(2.0, "Largest change of speed passed on.", minimum=0.1, maximum=20.0)
    max_jerk_mps3: float = param(20.0, "Largest change of acceleration passed on.", minimum=1.0, maximum=500.0)
    max_yaw_acceleration_radps2: float = param(4.0, "Largest change of yaw rate.", minimum=0.1, maximum=50.0)
    max_yaw_jerk_radps3: float = param(40.0, "Largest change of yaw acceleration.", minimum=1.0, maximum=1000.0)

    footprint_radius_m: float = param(0.25, "Radius of the robot, without a polygon.", minimum=0.02, maximum=5.0)
    footprint_m: tuple[float, ...] = param((), "Outline as x1, y1, x2, y2, ... in the base frame; empty: a circle.")
    safety_margin_m: float = param(0.05, "Distance kept from anything seen.", minimum=0.01, maximum=2.0)
    sensor_noise_m: float = param(0.03, "Ranging error added to that distance.", minimum=0.0, maximum=0.5)
    reaction_time_s: float = param(0.2, "From a command to the wheels or rotors.", minimum=0.02, maximum=2.0)
    braking_deceleration_mps2: float = param(1.0, "What the base brakes with on zero.", minimum=0.05, maximum=20.0)
    braking_yaw_deceleration_radps2: float = param(3.0, "The same for turning.", minimum=0.1, maximum=50.0)
    slip: float = param(0.1, "Share of the braking that may be lost.", minimum=0.0, maximum=0.9)
    slowing_lead_s: float = param(0.3, "How much earlier than it must it slows down.", minimum=0.05, maximum=3.0)
    min_hits: int = param(1, "Points in the braking path that count as an obstacle.", minimum=1, maximum=5)
    unseen_speed_mps: float = param(0.15, "Highest speed where no sensor looks.", minimum=0.0, maximum=0.5)
    imagined_min: float = param(
        0.7, "Imagined occupancy, 0.4 s ahead, that the robot slows down for; 1: none.", minimum=0.3, maximum=1.0
    )
    geofence_m: tuple[float, ...] = param((), "Area to stay in: x1, y1, x2, y2, ... in the odom frame; empty: none.")

    def __post_init__(self) -> None:
        """Check each value, then those that depend on each other."""
        super().__post_init__()
        for name in ("footprint_m", "geofence_m"):
            numbers = getattr(self, name)
            if numbers and (len(numbers) < 6 or len(numbers) % 2):
                raise ConfigError(f"SupervisorConfig.{name} = {numbers!r}: give at least three x, y pairs")
        if self.geofence_m and self.unsafe_without_odometry:
            raise ConfigError("SupervisorConfig: geofence_m cannot be kept with unsafe_without_odometry")
        self._check_height_band()
        if self.cloud_high_m <= self.cloud_low_m:
            raise ConfigError(f"SupervisorConfig.cloud_high_m = {self.cloud_high_m}: must be above cloud_low_m")
        if not self.sources and not self.unsafe_without_sensors:
            raise ConfigError("SupervisorConfig: neither scan_topics nor cloud_topics names a sensor to brake with")
        if len(set(self.sources)) != len(self.sources):
            raise ConfigError(f"SupervisorConfig: a topic is named twice in {self.sources!r}")
        if len(self.sensor_timeouts_s) not in (1, len(self.sources)):
            raise ConfigError(
                f"SupervisorConfig.sensor_timeouts_s = {self.sensor_timeouts_s!r}: give one value for all,"
                f" or one for each of the {len(self.sources)} topics"
            )

    def _check_height_band(self) -> None:
        band_m = self.height_band_m
        if band_m and (len(band_m) != 2 or band_m[0] >= band_m[1]):
            raise ConfigError(f"SupervisorConfig.height_band_m = {band_m!r}: give the lowest, then the highest height")
        if band_m and (self.vehicle != "drone" or self.unsafe_without_odometry):
            raise ConfigError("SupervisorConfig.height_band_m: only a drone with odometry can keep it")

    @property
    def sources(self) -> tuple[str, ...]:
        """Topics of all sensors, scans first."""
        return tuple(topic for topic in (*self.scan_topics, *self.cloud_topics) if topic)

    @property
    def timeouts_s(self) -> dict[str, float]:
        """Timeout of each sensor by topic."""
        values = self.sensor_timeouts_s
        return dict(zip(self.sources, values if len(values) > 1 else values * len(self.sources), strict=True))

    @property
    def footprint(self) -> Floats:
        """Outline (n, 2) in the base frame, empty for a circle."""
        return np.array(self.footprint_m, dtype=np.float64).reshape(-1, 2)

    @property
    def geofence(self) -> Floats:
        """Corners (n, 2) in the odom frame, empty for no fence."""
        return np.array(self.geofence_m, dtype=np.float64).reshape(-1, 2)

    @property
    def unwatched(self) -> tuple[str, ...]:
        """Optional checks that nobody has configured, to be shown in /diagnostics."""
        watched = {
            "deadman": self.deadman,
            "operator_link": self.operator_link,
            "battery": self.battery_min > 0.0,
            "geofence": bool(self.geofence_m),
            "height": bool(self.height_band_m) or self.vehicle != "drone",
        }
        return tuple(name for name, on in watched.items() if not on)

    @property
    def unsafe(self) -> tuple[str, ...]:
        """Names of the checks that were switched off, to be shown in /diagnostics."""
        return tuple(name for name in param_infos(type(self)) if name.startswith("unsafe_") and getattr(self, name))
