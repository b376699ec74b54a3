"""Parameters of the safety supervisor. Only those named ``unsafe_...`` switch a check off."""

from __future__ import annotations

from dataclasses import dataclass

from edge_worldmodel.core.config import Config, param, param_infos
from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.polygon import (
    corners_of,
    footprint_problem,
    polygon_problem,
    read_polygon,
    self_filters,
    self_filters_problem,
)
from edge_worldmodel.core.types import Points

_SHORTEST_HEARTBEAT_S = 0.05
_TOLERANCE_MPS, _TOLERANCE_RADPS = 0.1, 0.3
"""Three to five times the noise of odometry from wheels or scans."""
_DRONE_TOLERANCE_MPS = 1.0
"""Gusts move a drone until its controller has answered."""


@dataclass(frozen=True)
class SupervisorConfig(Config):
    """Parameters of the safety supervisor, fixed at start-up.

    Raises:
        ConfigError: a value is out of range, or contradicts another one.
    """

    vehicle: str = param(
        "ground",
        "What the robot does instead of following: ground brakes, drone holds and then lands.",
        choices=("ground", "drone"),
    )
    base_frame: str = param("base_link", "Base frame of the robot (REP-105).")
    odom_frame: str = param("odom", "Fixed frame of plans and odometry (REP-105).")
    rate_hz: float = param(50.0, "Ticks per second.", minimum=50.0, maximum=200.0)

    plan_timeout_s: float = param(0.1, "Longest time without a Plan message.", minimum=0.02, maximum=0.5)
    plan_max_age_s: float = param(1.0, "Greatest age of a plan by its stamp.", minimum=0.1, maximum=3.0)
    future_tolerance_s: float = param(0.1, "How far a stamp may lie in the future.", minimum=0.0, maximum=0.5)
    clock_timeout_s: float = param(0.2, "Longest time for which the ROS clock may stop.", minimum=0.05, maximum=1.0)
    scan_topics: tuple[str, ...] = param(("scan",), "LaserScan topics; all of them are required.")
    cloud_topics: tuple[str, ...] = param((), "PointCloud2 topics; all of them are required.")
    cloud_low_m: float = param(
        0.08,
        "Height above the base frame from which a point of a cloud or scan is an obstacle.",
        minimum=-5.0,
        maximum=1.0,
    )
    cloud_high_m: float = param(
        2.0, "Height up to which a point of a cloud or scan is an obstacle.", minimum=0.1, maximum=10.0
    )
    sensor_timeouts_s: tuple[float, ...] = param(
        (0.2,),
        "Longest silence and greatest age of a stamp of each sensor: one value for all, or one per topic, scans first.",
        minimum=0.02,
        maximum=2.0,
    )
    min_usable_fraction: float = param(
        0.2, "Share of usable rays below which a sensor counts as blind.", minimum=0.01, maximum=1.0
    )
    odometry_timeout_s: float = param(
        0.2, "Longest silence and greatest age of a stamp of odometry.", minimum=0.02, maximum=2.0
    )
    unsafe_without_odometry: bool = param(False, "UNSAFE: run without odometry (fixed base, replay).")
    unsafe_without_sensors: bool = param(False, "UNSAFE: run without any scan or cloud topic.")
    resume_after_s: float = param(
        0.2, "How long all checks must pass before the robot moves again.", minimum=0.1, maximum=5.0
    )
    hold_before_land_s: float = param(3.0, "Drone: how long to hold before landing.", minimum=0.5, maximum=60.0)

    airborne_height_m: float = param(
        0.5,
        "Drone: height by odometry above which it is flying when the supervisor starts.",
        minimum=0.05,
        maximum=100.0,
    )
    landing_speed_mps: float = param(0.5, "Drone: speed of descent when landing.", minimum=0.1, maximum=3.0)

    estop_topics: tuple[str, ...] = param(
        ("estop",), "Topics of the emergency stop. Give each panel a topic of its own, which only it can release."
    )
    estop_heartbeat_s: float = param(
        0.0,
        "Longest silence of a topic of estop_topics, then it counts as pressed; 0: not watched.",
        minimum=0.0,
        maximum=5.0,
    )
    command_publishers: int = param(
        1, "Number of publishers that the topic of the drive base has; more are a fault.", minimum=1, maximum=8
    )
    deadman: bool = param(False, "Move only while supervisor/deadman is true.")
    deadman_timeout_s: float = param(0.3, "Longest silence of supervisor/deadman.", minimum=0.05, maximum=2.0)
    operator_link: bool = param(False, "Move only while operator_heartbeat arrives.")
    operator_link_timeout_s: float = param(1.0, "Longest silence of operator_heartbeat.", minimum=0.1, maximum=10.0)
    autopilot_timeout_s: float = param(
        2.5, "Outputs mavros and px4: longest silence of the autopilot's status.", minimum=0.2, maximum=10.0
    )
    battery_min: float = param(
        0.0,
        "Charge (0..1) below which the robot stops or lands; 0: not watched.",
        minimum=0.0,
        maximum=0.9,
    )
    battery_timeout_s: float = param(5.0, "Longest silence of battery_state.", minimum=0.5, maximum=60.0)
    height_band_m: tuple[float, ...] = param(
        (), "Drone: lowest and highest height by odometry; empty: the height is not watched."
    )

    risk_limit: float = param(0.5, "Highest risk of a plan that is followed.", minimum=0.0, maximum=0.95)
    max_tracking_error_m: float = param(
        1.0, "Greatest distance between the robot and its plan.", minimum=0.05, maximum=5.0
    )
    actuation_delay_s: float = param(
        0.1, "Delay from a command to the motion; the plan's twist is read so much ahead.", minimum=0.0, maximum=0.5
    )
    max_correction_mps: float = param(0.2, "Greatest speed added to get back onto the plan.", minimum=0.0, maximum=1.0)
    max_correction_radps: float = param(
        0.6, "Greatest yaw rate added to get back onto the plan.", minimum=0.0, maximum=2.0
    )

    max_forward_mps: float = param(1.5, "Highest forward speed.", minimum=0.05, maximum=20.0)
    max_reverse_mps: float = param(0.5, "Highest reverse speed.", minimum=0.0, maximum=20.0)
    max_lateral_mps: float = param(
        0.0, "Highest sideways speed; 0 for robots that cannot move sideways.", minimum=0.0, maximum=20.0
    )
    max_yaw_rate_radps: float = param(2.0, "Highest yaw rate.", minimum=0.05, maximum=10.0)
    max_curvature_radpm: float = param(
        0.0,
        "Highest curvature, 1 / turning radius, of a robot that steers like a car; 0: it can turn on the spot.",
        minimum=0.0,
        maximum=100.0,
    )
    max_acceleration_mps2: float = param(2.0, "Greatest acceleration of a command.", minimum=0.1, maximum=20.0)
    max_jerk_mps3: float = param(20.0, "Greatest jerk of a command.", minimum=1.0, maximum=500.0)
    max_yaw_acceleration_radps2: float = param(
        4.0, "Greatest yaw acceleration of a command.", minimum=0.1, maximum=50.0
    )
    max_yaw_jerk_radps3: float = param(40.0, "Greatest yaw jerk of a command.", minimum=1.0, maximum=1000.0)

    footprint_radius_m: float = param(
        0.25, "Radius of the robot; used if footprint_m is empty.", minimum=0.02, maximum=5.0
    )
    footprint_m: tuple[float, ...] = param(
        (),
        "Footprint as x1, y1, x2, y2, ... in the base frame, or Nav2's text '[[x1, y1], ...]'; empty: a circle.",
    )
    safety_margin_m: float = param(0.05, "Distance to keep from obstacles.", minimum=0.01, maximum=2.0)
    sensor_noise_m: float = param(0.03, "Ranging error, added to safety_margin_m.", minimum=0.0, maximum=0.5)
    reaction_time_s: float = param(
        0.2, "Time from a command until the wheels or rotors follow.", minimum=0.02, maximum=2.0
    )
    braking_deceleration_mps2: float = param(
        1.0, "Deceleration of the drive base on a zero command.", minimum=0.05, maximum=20.0
    )
    braking_yaw_deceleration_radps2: float = param(
        3.0, "Yaw deceleration of the drive base on a zero command.", minimum=0.1, maximum=50.0
    )
    slip: float = param(0.1, "Share of the deceleration that slip may take away.", minimum=0.0, maximum=0.9)
    motion_tolerance_mps: float = param(
        0.0,
        "Difference of measured and commanded speed, beyond slip, that is no fault; 0: 0.1, for drones 1.",
        minimum=0.0,
        maximum=5.0,
    )
    motion_tolerance_radps: float = param(
        0.0,
        "Difference of measured and commanded yaw rate, beyond slip, that is no fault; 0: 0.3 rad/s.",
        minimum=0.0,
        maximum=5.0,
    )
    slowing_lead_s: float = param(
        0.3, "Extra reaction time when slowing down, so that it happens early and gently.", minimum=0.05, maximum=3.0
    )
    min_hits: int = param(1, "Number of points in the braking path that count as an obstacle.", minimum=1, maximum=5)
    unseen_speed_mps: float = param(
        0.15,
        "Highest speed of any point of the footprint into places that no sensor has looked at.",
        minimum=0.0,
        maximum=0.5,
    )
    approach_speed_mps: float = param(
        1.6,
        "Standard deviation of the velocity of what has come to a place seen free before, until it is measured.",
        minimum=0.5,
        maximum=5.0,
    )
    open_country: bool = param(
        False, "Believe scans without a single reading within range, as in fields; else they do not prove free space."
    )
    below_range_min: str = param(
        "hit",
        "Scan readings of -inf or between 0 and range_min: hit, too close to measure (REP-117); or ignore, if the"
        " driver marks missing readings so.",
        choices=("hit", "ignore"),
    )
    self_filters_m: tuple[str, ...] = param(
        (),
        "Outline, as Nav2's text, in which points are the robot itself: one per topic, scans first; '' for none.",
    )
    imagined_min: float = param(
        0.7, "Imagined occupancy for which the robot slows down; 1: never.", minimum=0.3, maximum=1.0
    )
    geofence_m: tuple[float, ...] = param(
        (),
        "Area in which the whole footprint stays, as x1, y1, x2, y2, ... in the odom frame or as Nav2's text;"
        " empty: no geofence.",
    )

    def __post_init__(self) -> None:
        """Check each value, then values that depend on each other."""
        self._read_polygons()
        super().__post_init__()
        for name, problem_of in (("footprint_m", footprint_problem), ("geofence_m", polygon_problem)):
            numbers = getattr(self, name)
            if problem := problem_of(numbers) if numbers else "":
                raise ConfigError(f"SupervisorConfig.{name} = {numbers!r}: {problem}")
        if self.geofence_m and self.unsafe_without_odometry:
            raise ConfigError("SupervisorConfig.geofence_m: needs odometry; remove unsafe_without_odometry")
        self._check_height_band()
        if self.cloud_high_m <= self.cloud_low_m:
            raise ConfigError(
                f"SupervisorConfig.cloud_high_m = {self.cloud_high_m}: must be above cloud_low_m ({self.cloud_low_m})"
            )
        if not self.sources and not self.unsafe_without_sensors:
            raise ConfigError("SupervisorConfig: no sensor; name one in scan_topics or cloud_topics")
        if len(set(self.sources)) != len(self.sources):
            raise ConfigError(f"SupervisorConfig: scan_topics and cloud_topics name a topic twice: {self.sources!r}")
        if 0.0 < self.estop_heartbeat_s < _SHORTEST_HEARTBEAT_S:
            raise ConfigError(
                f"SupervisorConfig.estop_heartbeat_s = {self.estop_heartbeat_s:g}:"
                f" give 0 or at least {_SHORTEST_HEARTBEAT_S:g} s"
            )
        if not all(self.estop_topics):
            raise ConfigError(f"SupervisorConfig.estop_topics = {self.estop_topics!r}: a name is empty")
        self._check_self_filters()
        if len(self.sensor_timeouts_s) not in (1, len(self.sources)):
            raise ConfigError(
                f"SupervisorConfig.sensor_timeouts_s = {self.sensor_timeouts_s!r}: give one value for all,"
                f" or one for each of the {len(self.sources)} topics"
            )

    def _read_polygons(self) -> None:
        """Replace polygons in Nav2's text form by their numbers."""
        for name in ("footprint_m", "geofence_m"):
            object.__setattr__(self, name, read_polygon(getattr(self, name)))

    def _check_self_filters(self) -> None:
        if problem := self_filters_problem(self.self_filters_m, len(self.sources)):
            raise ConfigError(f"SupervisorConfig.self_filters_m = {self.self_filters_m!r}: {problem}")

    def _check_height_band(self) -> None:
        band_m = self.height_band_m
        if band_m and (len(band_m) != 2 or band_m[0] >= band_m[1]):
            raise ConfigError(f"SupervisorConfig.height_band_m = {band_m!r}: give the lowest, then the highest height")
        if band_m and (self.vehicle != "drone" or self.unsafe_without_odometry):
            raise ConfigError("SupervisorConfig.height_band_m: needs vehicle 'drone' and odometry")

    @property
    def sources(self) -> tuple[str, ...]:
        """Topics of all sensors, scans first."""
        return tuple(topic for topic in (*self.scan_topics, *self.cloud_topics) if topic)

    @property
    def timeouts_s(self) -> dict[str, float]:
        """Timeout of each sensor, by topic."""
        values = self.sensor_timeouts_s
        return dict(zip(self.sources, values if len(values) > 1 else values * len(self.sources), strict=True))

    @property
    def motion_tolerances(self) -> tuple[float, float]:
        """Tolerated difference of speed in m/s and of yaw rate in rad/s between measured and commanded motion."""
        usual_mps = _DRONE_TOLERANCE_MPS if self.vehicle == "drone" else _TOLERANCE_MPS
        return self.motion_tolerance_mps or usual_mps, self.motion_tolerance_radps or _TOLERANCE_RADPS

    @property
    def self_filters(self) -> dict[str, Points]:
        """Outline (n, 2) of the robot as each sensor sees it, by topic; empty for none."""
        return self_filters(self.self_filters_m, self.sources)

    @property
    def footprint(self) -> Points:
        """Corners (n, 2) of the footprint in the base frame; empty for a circle."""
        return corners_of(self.footprint_m)

    @property
    def geofence(self) -> Points:
        """Corners (n, 2) of the geofence in the odom frame; empty for none."""
        return corners_of(self.geofence_m)

    @property
    def unwatched(self) -> tuple[str, ...]:
        """Names of the optional checks that are not configured, for /diagnostics."""
        watched = {
            "estop_heartbeat": self.estop_heartbeat_s > 0.0,
            "deadman": self.deadman,
            "operator_link": self.operator_link,
            "battery": self.battery_min > 0.0,
            "geofence": bool(self.geofence_m),
            "height": bool(self.height_band_m) or self.vehicle != "drone",
        }
        return tuple(name for name, on in watched.items() if not on)

    @property
    def unsafe(self) -> tuple[str, ...]:
        """Names of the parameters that switch a check off, for /diagnostics."""
        return tuple(name for name in param_infos(type(self)) if name.startswith("unsafe_") and getattr(self, name))
