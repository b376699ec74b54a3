"""What the perception node listens to."""

from __future__ import annotations

from dataclasses import dataclass

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.errors import ConfigError


@dataclass(frozen=True)
class PerceptionTopics(Config):
    """What perception listens to."""

    scan_topics: tuple[str, ...] = param(("scan",), "LaserScan topics.", read_only=True)
    cloud_topics: tuple[str, ...] = param((), "PointCloud2 topics.", read_only=True)
    depth_topics: tuple[str, ...] = param(
        (), "Depth image topics; camera_info is expected beside each.", read_only=True
    )
    pose_topic: str = param("pose", "PoseStamped topic, used when ego_motion is 'pose'.", read_only=True)
    sensor_pose: tuple[float, ...] = param(
        (), "x [m], y [m], yaw [rad] of every sensor in the base frame; empty: ask tf.", read_only=True
    )

    def __post_init__(self) -> None:
        """Check the fields and that there is something to look with."""
        super().__post_init__()
        if len(self.sensor_pose) not in (0, 3):
            raise ConfigError(f"sensor_pose = {self.sensor_pose!r}: give x, y and yaw, or nothing")
        if not any((*self.scan_topics, *self.cloud_topics, *self.depth_topics)):
            raise ConfigError("perception has no sensor: name a topic in scan_topics, cloud_topics or depth_topics")

    @property
    def camera_infos(self) -> dict[str, str]:
        """The camera_info topic beside each depth image topic."""
        return {
            topic: f"{topic.rsplit('/', 1)[0]}/camera_info" if "/" in topic else "camera_info"
            for topic in self.depth_topics
            if topic
        }
