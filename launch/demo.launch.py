"""Starts the graph of a robot in the MuJoCo simulator."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node, PushRosNamespace
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from edge_worldmodel.nodes.launch_environment import enclave_arguments, set_environment

SHARE = FindPackageShare("edge_worldmodel")
# The topics and the command type of the simulator, whatever those of the robot are.
SIMULATED = {"use_sim_time": "true", "command_type": "twist", "scan": "scan", "odom": "odom", "tf": "/tf"}


def generate_launch_description():
    """Return the launch description; all arguments of bringup.launch.py are accepted, too."""
    bringup = PythonLaunchDescriptionSource(PathJoinSubstitution([SHARE, "launch", "bringup.launch.py"]))
    return LaunchDescription(
        [
            DeclareLaunchArgument("namespace", default_value="", description="Namespace of this robot."),
            DeclareLaunchArgument(
                "world", default_value="demo_room", description="World file, or the name of a world in worlds/."
            ),
            DeclareLaunchArgument("seed", default_value="0", description="Seed of people and sensor noise."),
            DeclareLaunchArgument(
                "real_time_factor", default_value="1.0", description="Simulated seconds per second of real time."
            ),
            IncludeLaunchDescription(bringup, launch_arguments=SIMULATED.items()),
            GroupAction(
                [
                    PushRosNamespace(LaunchConfiguration("namespace")),
                    OpaqueFunction(function=set_environment, args=["sim"]),
                    Node(
                        package="edge_worldmodel",
                        executable="sim",
                        name="sim",
                        arguments=["--ros-args", *enclave_arguments("sim")],
                        output="screen",
                        sigterm_timeout="3",
                        parameters=[
                            LaunchConfiguration("params_file"),
                            {
                                "world": ParameterValue(LaunchConfiguration("world"), value_type=str),
                                "seed": ParameterValue(LaunchConfiguration("seed"), value_type=int),
                                "real_time_factor": ParameterValue(
                                    LaunchConfiguration("real_time_factor"), value_type=float
                                ),
                            },
                        ],
                    ),
                ]
            ),
        ]
    )
