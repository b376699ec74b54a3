"""Starts the graph of a robot on a recording, which is played on the sensor topics with /clock."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node, PushRosNamespace
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from edge_worldmodel.nodes.launch_environment import enclave_arguments, set_environment

SHARE = FindPackageShare("edge_worldmodel")
# The topics of the player, whatever those of the robot are.
PLAYED = {"use_sim_time": "true", "scan": "scan", "odom": "odom", "tf": "/tf"}


def generate_launch_description():
    """Return the launch description; all arguments of bringup.launch.py are accepted, too."""
    bringup = PythonLaunchDescriptionSource(PathJoinSubstitution([SHARE, "launch", "bringup.launch.py"]))
    return LaunchDescription(
        [
            DeclareLaunchArgument("namespace", default_value="", description="Namespace of this robot."),
            DeclareLaunchArgument("file", description="Recording: ROS 1 bag, ROS 2 bag or CARMEN log."),
            DeclareLaunchArgument("rate", default_value="1.0", description="Recorded seconds per second of real time."),
            IncludeLaunchDescription(bringup, launch_arguments=PLAYED.items()),
            GroupAction(
                [
                    PushRosNamespace(LaunchConfiguration("namespace")),
                    OpaqueFunction(function=set_environment, args=["player"]),
                    Node(
                        package="edge_worldmodel",
                        executable="player",
                        name="player",
                        arguments=["--ros-args", *enclave_arguments("player")],
                        output="screen",
                        sigterm_timeout="3",
                        parameters=[
                            LaunchConfiguration("params_file"),
                            {
                                "file": ParameterValue(LaunchConfiguration("file"), value_type=str),
                                "rate": ParameterValue(LaunchConfiguration("rate"), value_type=float),
                            },
                        ],
                    ),
                ]
            ),
        ]
    )
