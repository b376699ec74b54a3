"""Imagined occupancy on its way to the supervisor: a reason for care, and when it is damaged no reason to stop."""

from __future__ import annotations

from nav_msgs.msg import OccupancyGrid

from edge_worldmodel.core.safety.imagined import Imagined
from edge_worldmodel.nodes.ros.convert_sensors import occupancy_from_msg
from edge_worldmodel.nodes.ros.health import Health
from edge_worldmodel.nodes.ros.polling import Polled
from edge_worldmodel.nodes.ros.qos import LATCHED


def take_imagined(inputs: Polled, imagined: Imagined, health: Health) -> None:
    """Subscribe to what the planner imagines and hand it over; rubbish is counted."""

    def receive(message: OccupancyGrid) -> None:
        try:
            probability, pose, stamp_ns = occupancy_from_msg(message)
            imagined.receive(stamp_ns, pose, probability)
        except Exception as error:  # a message must never be able to end the supervisor
            health.reject(error)

    inputs.subscribe(OccupancyGrid, "planner/imagined_occupancy", receive, LATCHED)
