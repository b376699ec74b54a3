"""Restricts ROS discovery to this machine for demos, replays, campaigns and tests, unless the user configured it."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path

RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""The variable of Fast DDS in Jazzy, and in later distributions."""


def keep_to_this_machine(environment: MutableMapping[str, str], config: Path) -> None:
    """Set the environment so that nodes discover each other on this machine only.

    Fast DDS gets a profile, because its LOCALHOST range uses shared memory, with which a killed node can block
    others (docs/adr/0008). Other middleware gets the range LOCALHOST.

    Args:
        environment: environment of the processes to start; unchanged if it sets a range or a profile already.
        config: folder with fastdds_localhost.xml.
    """
    if RANGE in environment or any(name in environment for name in PROFILES):
        return
    if not environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp").startswith("rmw_fastrtps"):
        environment[RANGE] = "LOCALHOST"
        return
    environment[RANGE] = "SYSTEM_DEFAULT"
    environment.update(dict.fromkeys(PROFILES, str(config / "fastdds_localhost.xml")))
