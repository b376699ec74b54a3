"""Parses the options of a replay: sensor poses, the goal and topics."""

from __future__ import annotations

from edge_worldmodel.core.errors import ConfigError
from edge_worldmodel.core.geometry import pose_matrix
from edge_worldmodel.recordings.records import Pose3D


def parse_sensor_poses(text: str) -> dict[str, Pose3D]:
    """Read 'FRAME=x,y,yaw;...' or 'FRAME=x,y,z,roll,pitch,yaw;...' (metres, radians, in the base frame).

    Raises:
        ConfigError: quotes the part that cannot be read.
    """
    poses = {}
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        frame, _, numbers = part.partition("=")
        try:
            values = [float(number) for number in numbers.split(",")]
        except ValueError:
            values = []
        if len(values) not in (3, 6):
            raise ConfigError(
                f"sensor pose '{part}': expected FRAME=x,y,yaw or FRAME=x,y,z,roll,pitch,yaw,"
                " for example laser=0.1,0,3.14"
            )
        poses[frame.strip().lstrip("/")] = Pose3D.from_matrix(pose_matrix(values))
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


def parse_topics(text: str) -> tuple[str, ...]:
    """Read names or patterns of topics, separated by commas or spaces."""
    return tuple(text.replace(",", " ").split())
