"""Parameters of the player node."""

from __future__ import annotations

from dataclasses import dataclass

from edge_worldmodel.core.config import Config, param


@dataclass(frozen=True)
class PlayerConfig(Config):
    """What to play and how."""

    file: str = param("", "Recording: ROS 1 bag, ROS 2 bag or CARMEN log.", read_only=True)
    rate: float = param(1.0, "Recorded seconds per second.", minimum=0.01, maximum=100.0, read_only=True)
    start_s: float = param(0.0, "Recorded seconds to leave out at the beginning.", minimum=0.0, read_only=True)
    duration_s: float = param(0.0, "Recorded seconds to play; 0: to the end.", minimum=0.0, read_only=True)
    ego: str = param("auto", "Ego motion: auto, fixed, odometry:TOPIC, tf:CHILD_FRAME or pose:TOPIC.", read_only=True)
    sensor_poses: str = param("", "Sensor poses in the base frame: 'FRAME=x,y,yaw;...'.", read_only=True)
    goal: str = param("", "Goal 'x y' in the odom frame; empty: ahead of the robot.", read_only=True)
    goal_ahead_m: float = param(5.0, "Distance of the goal ahead.", minimum=1.0, maximum=50.0, read_only=True)
    wait_for_subscribers: int = param(
        2, "Subscribers of the sensor topic to wait for before playing.", minimum=0, maximum=100, read_only=True
    )
    wait_s: float = param(30.0, "Longest time to wait for them.", minimum=0.0, maximum=600.0, read_only=True)
    base_frame: str = param("base_link", "Robot base frame (REP-105).", read_only=True)
    odom_frame: str = param("odom", "Fixed frame of ego motion (REP-105).", read_only=True)
