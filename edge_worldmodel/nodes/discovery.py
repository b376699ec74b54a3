"""How far nodes look for each other: on this machine, or in the whole subnet. For launch files and tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""The variable of Fast DDS in Jazzy, and in later distributions."""
_LOCAL, _WIDE = "fastdds_localhost.xml", "fastdds.xml"


def discovery_variables(environment: Mapping[str, str], config: Path, reach: str = "localhost") -> dict[str, str]:
    """Return the environment variables to set.

    Fast DDS gets a profile, because its LOCALHOST range uses shared memory, with which a killed node can silence
    others (docs/adr/0008). Other middleware gets the range.

    Args:
        environment: of the processes to start. A range or profile that the user has set there stays; ``subnet``
            replaces a range and our own profile of ``localhost``.
        config: folder with the profiles.
        reach: ``localhost`` or ``subnet``.

    Raises:
        ValueError: The reach is another one.
    """
    if reach not in ("localhost", "subnet"):
        raise ValueError(f"discovery:={reach}: give localhost or subnet")
    local, wide = (dict.fromkeys(PROFILES, str(config / name)) for name in (_LOCAL, _WIDE))
    if reach == "subnet":
        own = [name for name in PROFILES if Path(environment.get(name, _LOCAL)).name != _LOCAL]
        return {RANGE: "SUBNET", **({} if own else wide)}
    if RANGE in environment or any(name in environment for name in PROFILES):
        return {name: profile for name, profile in wide.items() if name not in environment}
    if not environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp").startswith("rmw_fastrtps"):
        return {RANGE: "LOCALHOST"}
    return {RANGE: "SYSTEM_DEFAULT", **local}
