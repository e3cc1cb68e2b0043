"""Move the arm by joystick, leader arm or 6-axis device, and record. For the keyboard: irl-ros record.

The arm is simulated, or (sim:=false) yours, whose drivers run already.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, ThisLaunchFileDir
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = [
    DeclareLaunchArgument(
        "world", default_value="default", description="world: a shipped name or the path of a YAML"
    ),
    DeclareLaunchArgument(
        "input",
        default_value="joystick",
        choices=["joystick", "leader", "twist"],
        description="what moves the arm",
    ),
    DeclareLaunchArgument(
        "mapping",
        default_value="",
        description="YAML of the device, or a name in config/teleop; empty: as shipped",
    ),
    DeclareLaunchArgument("out", default_value="demos", description="folder that gets the recordings"),
    DeclareLaunchArgument(
        "operator_name", default_value="", description="who throws, noted in every episode"
    ),
    DeclareLaunchArgument(
        "sim",
        default_value="true",
        choices=["true", "false"],
        description="start sim_arm and use its time; false: the arm's own drivers run already",
    ),
    DeclareLaunchArgument(
        "params",
        default_value=PathJoinSubstitution([ThisLaunchFileDir(), "..", "config", "nodes.yaml"]),
        description="YAML of node parameters; the arguments here win over it",
    ),
    DeclareLaunchArgument("namespace", default_value="", description="namespace of all nodes and topics"),
]


def generate_launch_description() -> LaunchDescription:
    sim, namespace = LaunchConfiguration("sim"), LaunchConfiguration("namespace")
    arm = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([ThisLaunchFileDir(), "sim.launch.py"])),
        launch_arguments={
            "world": LaunchConfiguration("world"),
            "namespace": namespace,
            "params": LaunchConfiguration("params"),
        }.items(),
        condition=IfCondition(sim),
    )
    shared = {
        "world": ParameterValue(LaunchConfiguration("world"), value_type=str),
        "operator_name": ParameterValue(LaunchConfiguration("operator_name"), value_type=str),
        "use_sim_time": ParameterValue(sim, value_type=bool),
    }
    recorder = Node(
        package="irl_ros",
        executable="recorder",
        name="recorder",
        namespace=namespace,
        output="screen",
        parameters=[
            LaunchConfiguration("params"),
            shared,
            {"out": ParameterValue(LaunchConfiguration("out"), value_type=str)},
        ],
    )
    teleop = Node(
        package="irl_ros",
        executable="teleop",
        name="teleop",
        namespace=namespace,
        output="screen",
        parameters=[
            LaunchConfiguration("params"),
            shared,
            {
                "input": ParameterValue(LaunchConfiguration("input"), value_type=str),
                "mapping": ParameterValue(LaunchConfiguration("mapping"), value_type=str),
            },
        ],
    )
    return LaunchDescription([*ARGUMENTS, GroupAction([arm], scoped=True), recorder, teleop])
