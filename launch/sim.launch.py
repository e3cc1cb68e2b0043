"""A simulated arm on the topics of a ros2_control arm."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, ThisLaunchFileDir
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = [
    DeclareLaunchArgument("namespace", default_value="", description="namespace of all nodes and topics"),
    DeclareLaunchArgument(
        "world", default_value="default", description="world: a shipped name or the path of a YAML"
    ),
    DeclareLaunchArgument(
        "simulator",
        default_value="pybullet",
        choices=["pybullet", "batch"],
        description="pybullet: motors and torque; batch: the ideal arm",
    ),
    DeclareLaunchArgument(
        "real_time_factor",
        default_value="1.0",
        description="speed against the wall clock; 0: one step for each command, as fast as they come",
    ),
    DeclareLaunchArgument(
        "publish_clock",
        default_value="true",
        choices=["true", "false"],
        description="publish /clock, for nodes with use_sim_time; always done unless real_time_factor is 1",
    ),
    DeclareLaunchArgument(
        "params",
        default_value=PathJoinSubstitution([ThisLaunchFileDir(), "..", "config", "nodes.yaml"]),
        description="YAML of node parameters; the arguments here win over it",
    ),
]


def generate_launch_description() -> LaunchDescription:
    arm = Node(
        package="irl_ros",
        executable="sim_arm",
        name="sim_arm",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=[
            LaunchConfiguration("params"),
            {
                "world": ParameterValue(LaunchConfiguration("world"), value_type=str),
                "simulator": ParameterValue(LaunchConfiguration("simulator"), value_type=str),
                "real_time_factor": ParameterValue(LaunchConfiguration("real_time_factor"), value_type=float),
                "publish_clock": ParameterValue(LaunchConfiguration("publish_clock"), value_type=bool),
            },
        ],
    )
    return LaunchDescription([*ARGUMENTS, arm])
