"""Keeps the ROS graphs of demos, replays, campaigns and tests to this machine, without touching a user's own choice."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path

RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""Fast DDS's variable in Jazzy, then in later distributions."""


def keep_to_this_machine(environment: MutableMapping[str, str], config: Path) -> None:
    """Let nodes find each other on this machine only.

    With Fast DDS by a profile: its LOCALHOST range brings shared memory, and with that a node that is killed can
    silence others (docs/adr/0008). Other middleware gets LOCALHOST.

    Args:
        environment: of the processes to start; a discovery range or profile that is set there stays.
        config: folder with fastdds_localhost.xml.
    """
    if RANGE in environment or any(name in environment for name in PROFILES):
        return
    if not environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp").startswith("rmw_fastrtps"):
        environment[RANGE] = "LOCALHOST"
        return
    environment[RANGE] = "SYSTEM_DEFAULT"
    environment.update(dict.fromkeys(PROFILES, str(config / "fastdds_localhost.xml")))
