"""Starts the graph of a robot in the simulator with a fault relay between its nodes.

It is used by `edge-worldmodel evaluate faults`. All arguments of demo.launch.py are accepted, too.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node, SetRemap
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from edge_worldmodel.nodes.launch_environment import set_environment

SHARE = FindPackageShare("edge_worldmodel")

# Only the publishers are remapped, so that every subscriber receives the messages from the relay.
RELAYED = (
    ("sim", "scan"),
    ("sim", "odom"),
    ("sim", "/clock"),
    ("rollout_planner", "planner/plan"),
    ("rollout_planner", "planner/solution"),
    ("rollout_planner", "planner/imagined_occupancy"),
    ("perception", "perception/latent"),
    ("latent_cache", "latent_cache/warm_start"),
)


def generate_launch_description():
    """Return the launch description."""
    demo = PythonLaunchDescriptionSource(PathJoinSubstitution([SHARE, "launch", "demo.launch.py"]))
    remaps = [SetRemap(src=f"{node}:{topic}", dst=f"raw/{topic.lstrip('/')}") for node, topic in RELAYED]
    return LaunchDescription(
        [
            DeclareLaunchArgument("control", description="Path of the Unix socket that controls the relay."),
            GroupAction([*remaps, IncludeLaunchDescription(demo)], scoped=False),
            GroupAction(
                [
                    OpaqueFunction(function=set_environment, args=["fault_relay"]),
                    Node(
                        package="edge_worldmodel",
                        executable="fault_relay",
                        name="fault_relay",
                        output="screen",
                        parameters=[{"control": ParameterValue(LaunchConfiguration("control"), value_type=str)}],
                    ),
                ]
            ),
        ]
    )
