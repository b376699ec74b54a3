"""Quality of service of our topics (REP-2003): sensor data best effort, maps latched, else the newest message only."""

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
"""Latents, warm starts, plans, commands: only the newest is used."""
EVENTS = QoSProfile(depth=10, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)
"""The emergency stop: a press followed at once by a release must still arrive."""
EVENTS_BEST_EFFORT = QoSProfile(depth=10, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)
"""For best-effort publishers of the same topics, whose messages a reliable subscription does not receive."""
LATCHED = QoSProfile(
    depth=1,
    history=HistoryPolicy.KEEP_LAST,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""Maps and goals: a subscriber that comes later gets the last one."""


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
"""Offered by the planner for its plans: LATEST with a deadline and a liveliness lease, which any subscriber matches."""
WATCHED = _promising(0.1, 0.5)
"""Requested by the supervisor to be notified of missed deadlines; matches only publishers that offer both."""
