"""Quality of service of our topics (REP-2003): sensor data best effort, maps latched, the rest latest-wins."""

from __future__ import annotations

from rclpy.duration import Duration
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
)

SENSOR = qos_profile_sensor_data
LATEST = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)
"""Latents, warm starts, plans, commands: only the newest is worth anything."""
EVENTS = QoSProfile(depth=10, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)
"""The emergency stop: a press followed at once by a release must still arrive."""
LATCHED = QoSProfile(
    depth=1,
    history=HistoryPolicy.KEEP_LAST,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""Maps and goals: a late subscriber gets the last one."""


def _promising(deadline_s: float, lease_s: float) -> QoSProfile:
    return QoSProfile(
        depth=1,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.RELIABLE,
        deadline=Duration(seconds=deadline_s),
        liveliness=LivelinessPolicy.AUTOMATIC,
        liveliness_lease_duration=Duration(seconds=lease_s),
    )


PROMISED = _promising(0.1, 0.25)
"""Plans as the planner offers them: LATEST, and the middleware tells when they fail to come; anyone matches."""
WATCHED = _promising(0.1, 0.5)
"""What the supervisor's watch on them asks for; a publisher that promises nothing does not match it."""
