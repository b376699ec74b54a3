"""Parses the options of a replay: sensor poses and the goal."""

from __future__ import annotations

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.geometry import quaternion_from_yaw
from edge_worldmodel.recordings.records import Pose3D


def parse_sensor_poses(text: str) -> dict[str, Pose3D]:
    """Read 'FRAME=x,y,yaw;...' (metres, radians, in the base frame).

    Raises:
        ConfigError: quotes the part that cannot be read.
    """
    poses = {}
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        frame, _, numbers = part.partition("=")
        try:
            x_m, y_m, yaw_rad = (float(number) for number in numbers.split(","))
        except ValueError:
            raise ConfigError(f"sensor pose '{part}': expected FRAME=x,y,yaw, for example laser=0.1,0,3.14") from None
        poses[frame.strip().lstrip("/")] = Pose3D((x_m, y_m, 0.0), quaternion_from_yaw(yaw_rad))
    return poses


def parse_goal(text: str) -> tuple[float, float] | None:
    """Read 'x y' (metres, odom frame); None when empty.

    Raises:
        ConfigError: quotes the text.
    """
    if not text.strip():
        return None
    try:
        x_m, y_m = (float(number) for number in text.replace(",", " ").split())
    except ValueError:
        raise ConfigError(f"goal '{text}': expected two numbers in metres, for example '4 0.5'") from None
    return x_m, y_m
