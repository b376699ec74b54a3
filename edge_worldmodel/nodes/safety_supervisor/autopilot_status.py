"""The status of an autopilot: whether it follows the supervisor's setpoints now, or what the pilot has to do first.

An autopilot follows setpoints from the moment at which it is armed and its mode is offboard (PX4) or guided
(ArduPilot). So that this moment never meets a moving command, the supervisor commands zero until the status says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_worldmodel.core.errors import ConfigError

_MAVROS_MODES = ("OFFBOARD", "GUIDED")


@dataclass(frozen=True)
class AutopilotStatus:
    """Where the status comes from, and how it is read.

    Attributes:
        message_type: message class.
        topic: name of the topic.
        waiting_for: returns for a message what the autopilot waits for before it follows setpoints; empty if nothing.
    """

    message_type: type
    topic: str
    waiting_for: Callable[[Any], str]


def mavros_status() -> AutopilotStatus:
    """Return the status that MAVROS publishes, about once a second.

    Raises:
        ConfigError: MAVROS' message package is not installed.
    """
    try:
        from mavros_msgs.msg import State
    except ImportError as error:
        raise ConfigError(
            "output 'mavros' needs the ROS package mavros_msgs, which is not installed: install it"
            " (ros-jazzy-mavros-msgs), or build https://github.com/mavlink/mavros in your workspace and source it"
        ) from error

    def waiting_for(state: Any) -> str:
        if not state.connected:
            return "MAVROS' connection to the autopilot"
        if state.mode not in _MAVROS_MODES:
            return f"offboard or guided mode, the mode is {state.mode or 'unknown'}"
        return "" if state.armed else "the autopilot to be armed"

    return AutopilotStatus(State, "mavros/state", waiting_for)


def px4_status(messages: Any) -> AutopilotStatus:
    """Return the status that PX4 publishes on every change and a few times per second.

    Args:
        messages: module ``px4_msgs.msg``. PX4 adds the version of a message to the name of its topic.
    """
    kind = messages.VehicleStatus
    version = getattr(kind, "MESSAGE_VERSION", 0)

    def waiting_for(status: Any) -> str:
        if status.nav_state != kind.NAVIGATION_STATE_OFFBOARD:
            return f"offboard mode, nav_state is {status.nav_state}"
        return "" if status.arming_state == kind.ARMING_STATE_ARMED else "the autopilot to be armed"

    return AutopilotStatus(kind, f"fmu/out/vehicle_status{f'_v{version}' if version else ''}", waiting_for)
