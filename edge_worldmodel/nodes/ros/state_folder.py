"""The folder for data that a node keeps between runs, by the XDG base directory specification."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def state_folder(node: str, namespace: str, last: str, environment: Mapping[str, str]) -> Path:
    """Return the folder of one node of one robot.

    Args:
        node: name of the kind of node.
        namespace: namespace of the node, so that every robot has its own folder.
        last: name of the folder itself. It must be no valid name in ROS, so that no robot's folder lies in another's.
        environment: environment variables.
    """
    state = environment.get("XDG_STATE_HOME") or str(Path(environment.get("HOME", "/"), ".local", "state"))
    return Path(state, "edge_worldmodel", node, *namespace.strip("/").split("/"), last)
