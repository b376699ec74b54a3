"""Starts the graph of a robot: perception, cache, planner, supervisor and watchdog, one process each."""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, OpaqueFunction
from launch.conditions import IfCondition, UnlessCondition
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution, PythonExpression
from launch_ros.actions import Node, PushRosNamespace
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from edge_worldmodel.nodes.launch_environment import enclave_arguments, set_environment
from edge_worldmodel.nodes.parameter_files import node_parameters, preset_file
from edge_worldmodel.nodes.safety_supervisor.command_output import DRIVE_BASES
from edge_worldmodel.nodes.safety_supervisor.watchdog_arguments import watchdog_arguments

SHARE = FindPackageShare("edge_worldmodel")
ARGUMENTS = (
    ("namespace", "", "Namespace of this robot's nodes and topics."),
    ("use_sim_time", "false", "Use the time of /clock instead of the system clock."),
    ("params_file", PathJoinSubstitution([SHARE, "config", "params.yaml"]), "Parameter file of all nodes."),
    ("autostart", "true", "Lifecycle nodes configure and activate themselves."),
    ("use_respawn", "true", "Restart a node one second after it has ended unexpectedly."),
    ("log_level", "info", "Log level of all nodes."),
    ("robot", "generic", "Robot preset: name of a file in config/robots without .yaml, or the path of another one."),
    ("backend", "onnxruntime", "Network runtime: onnxruntime, openvino, tensorrt or deterministic."),
    ("watchdog", "true", "Run the watchdog; without it nothing commands the drive base."),
    ("cmd_vel", "cmd_vel", "Topic of the drive base, in the namespace or absolute."),
    ("command_type", "", "Message of the drive base: twist or twist_stamped; empty: as the robot preset says."),
    ("scan", "", "Topic of the scanner; empty: as the robot preset says, else scan."),
    ("odom", "", "Topic of odometry; empty: as the robot preset says, else odom."),
    ("tf", "", "Topic of transforms, with _static of static ones; empty: as the robot preset says, else /tf."),
    ("rviz", "false", "Open rviz with the view of this package."),
    ("without", "", "Name of a node that is not started, to run it elsewhere or in a debugger; empty: none."),
    ("discovery", "localhost", "Reach of discovery: localhost (a range in the environment stays), or subnet."),
    ("security", "off", "off, or enforce: only nodes with keys of the keystore take part (docs/security.md)."),
    ("keystore", EnvironmentVariable("ROS_SECURITY_KEYSTORE", default_value=""), "Folder made by scripts/make-keys."),
    ("record", "", "Folder for run.mcap and statistics.json of this run; empty: nothing is recorded."),
)
PARAMETER_FILES = (LaunchConfiguration("params_file"), LaunchConfiguration("preset_file"))
# The supervisor counts who publishes to the drive base.
TOPICS = (
    ("cmd_vel", LaunchConfiguration("cmd_vel")),
    ("scan", LaunchConfiguration("scan")),
    ("odom", LaunchConfiguration("odom")),
    ("/tf", LaunchConfiguration("tf")),
    ("/tf_static", [LaunchConfiguration("tf"), "_static"]),
)
LIFECYCLE_NODES = ("perception", "latent_cache", "rollout_planner")


def generate_launch_description():
    """Return the launch description."""
    declared = [DeclareLaunchArgument(name, default_value=value, description=text) for name, value, text in ARGUMENTS]
    environment = OpaqueFunction(function=set_environment, args=[*LIFECYCLE_NODES, "safety_supervisor", "watchdog"])
    return LaunchDescription(
        [
            *declared,
            GroupAction(
                [
                    PushRosNamespace(LaunchConfiguration("namespace")),
                    environment,
                    OpaqueFunction(function=_use_preset),
                    *nodes(),
                ]
            ),
        ]
    )


def nodes():
    """Return the node actions of the robot graph."""
    return [
        *(_node(name, {"autostart": _flag("autostart")}) for name in LIFECYCLE_NODES),
        _node("safety_supervisor", {"output": ParameterValue(LaunchConfiguration("command_type"), value_type=str)}),
        OpaqueFunction(function=_watchdog),
        _node(
            "recorder",
            {"output_dir": ParameterValue(LaunchConfiguration("record"), value_type=str)},
            condition=IfCondition(PythonExpression(["'", LaunchConfiguration("record"), "' != ''"])),
        ),
        _node("verdict_view", {}, condition=IfCondition(LaunchConfiguration("rviz"))),
        Node(
            package="rviz2",
            executable="rviz2",
            arguments=[
                *("-d", PathJoinSubstitution([SHARE, "config", "edge_worldmodel.rviz"])),
                *("--ros-args", *enclave_arguments("operator")),
            ],
            parameters=[{"use_sim_time": _flag("use_sim_time")}],
            remappings=TOPICS,
            condition=IfCondition(LaunchConfiguration("rviz")),
        ),
    ]


def _use_preset(context):
    """Find the robot's preset, and take from it the arguments that are left empty."""
    values = context.launch_configurations
    values["preset_file"] = str(preset_file(Path(SHARE.perform(context), "config", "robots"), values["robot"]))
    if values["command_type"] not in ("", *DRIVE_BASES):
        raise ValueError(f"command_type:={values['command_type']}: give {' or '.join(DRIVE_BASES)}")
    output = _parameters(context, "safety_supervisor").get("output", DRIVE_BASES[0])
    usual = {"command_type": output, "scan": "scan", "odom": "odom", "tf": "/tf"}
    named = _parameters(context, "bringup")
    values |= {name: str(named.get(name, default)) for name, default in usual.items() if not values[name]}


def _parameters(context, node):
    files = [file.perform(context) for file in PARAMETER_FILES]
    return node_parameters(node, files, context.launch_configurations.get("ros_namespace", ""))


def _watchdog(context):
    """Return the watchdog with the limits and names of its supervisor; nothing where an autopilot is commanded."""
    wanted = LaunchConfiguration("watchdog").perform(context).lower() in ("true", "1")
    if not wanted or LaunchConfiguration("without").perform(context) == "watchdog":
        return []
    namespace = context.launch_configurations.get("ros_namespace", "")
    parameters = _parameters(context, "safety_supervisor")
    parameters["output"] = LaunchConfiguration("command_type").perform(context)
    arguments = watchdog_arguments(parameters, namespace, LaunchConfiguration("cmd_vel").perform(context))
    if arguments is None:
        return []
    node = Node(
        package="edge_worldmodel",
        executable="watchdog",
        name="watchdog",
        output="screen",
        respawn=LaunchConfiguration("use_respawn"),
        respawn_delay=1.0,
        sigterm_timeout="3",
        arguments=[*arguments, *enclave_arguments("watchdog")],
    )
    return [node]


def _flag(name):
    return ParameterValue(LaunchConfiguration(name), value_type=bool)


def _node(name, parameters, condition=None):
    """Return a node of this package with the parameter files and the common arguments."""
    uses_network = name in ("perception", "rollout_planner")
    backend = {"backend": ParameterValue(LaunchConfiguration("backend"), value_type=str)} if uses_network else {}
    return Node(
        package="edge_worldmodel",
        executable=name,
        name=name,
        output="screen",
        respawn=LaunchConfiguration("use_respawn"),
        respawn_delay=1.0,
        sigterm_timeout="3",
        arguments=[
            *("--ros-args", "--log-level", [name, ":=", LaunchConfiguration("log_level")]),
            *enclave_arguments(name),
        ],
        parameters=[
            *PARAMETER_FILES,
            {"use_sim_time": _flag("use_sim_time"), **backend, **parameters},
        ],
        remappings=TOPICS,
        condition=condition
        or UnlessCondition(PythonExpression(["'", LaunchConfiguration("without"), f"' == '{name}'"])),
    )
