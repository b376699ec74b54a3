"""The environment of the processes that our launch files start: discovery and security."""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext
from launch.actions import SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration

from edge_worldmodel.nodes.discovery import discovery_variables
from edge_worldmodel.nodes.security import security_variables

ENCLAVES = LaunchConfiguration("enclaves")
"""Beginning of the enclave names of this namespace; set by ``set_environment``."""


def set_environment(context: LaunchContext, *nodes: str) -> list[SetEnvironmentVariable]:
    """Return the actions that limit discovery and enforce security in this scope, for an OpaqueFunction.

    Args:
        context: with the launch arguments discovery, security and keystore, after PushRosNamespace.
        nodes: names of the nodes that need keys where security is enforced.

    Raises:
        ValueError: An argument is wrong, or security cannot be enforced.
    """
    discovery, security, keystore = (
        context.perform_substitution(LaunchConfiguration(name)) for name in ("discovery", "security", "keystore")
    )
    if security not in ("off", "enforce"):
        raise ValueError(f"security:={security}: give off or enforce")
    prefix = context.launch_configurations.get("ros_namespace", "").rstrip("/")
    context.launch_configurations["enclaves"] = prefix
    config = Path(get_package_share_directory("edge_worldmodel"), "config")
    variables = discovery_variables(context.environment, config, discovery)
    if security == "enforce":
        variables |= security_variables(
            {**context.environment, **variables}, keystore, [f"{prefix}/{node}" for node in nodes]
        )
    return [SetEnvironmentVariable(name, value) for name, value in variables.items()]


def enclave_arguments(name: str) -> list:
    """Return the ROS arguments that put a node into its enclave; without security it is a mere name."""
    return ["--enclave", [ENCLAVES, f"/{name}"]]
