"""A learned policy on an arm, simulated or (sim:=false) yours. It throws at each call of policy/throw."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, ThisLaunchFileDir
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = [
    DeclareLaunchArgument("run", default_value="learned", description="RUN folder that holds the policy"),
    DeclareLaunchArgument(
        "world",
        default_value="default",
        description="world of this arm: a shipped name or the path of a YAML",
    ),
    DeclareLaunchArgument(
        "sim",
        default_value="true",
        choices=["true", "false"],
        description="start sim_arm and use its time; false: the arm's own drivers run already",
    ),
    DeclareLaunchArgument(
        "real_time_factor",
        default_value="1.0",
        description="speed of the simulation against the wall clock; 0: as fast as the nodes answer",
    ),
    DeclareLaunchArgument(
        "enabled",
        default_value="false",
        choices=["true", "false"],
        description="let the policy command the arm at once, without policy/enable",
    ),
    DeclareLaunchArgument("max_age", default_value="0.1", description="oldest joint state to act on, s"),
    DeclareLaunchArgument("namespace", default_value="", description="namespace of all nodes and topics"),
    DeclareLaunchArgument(
        "params",
        default_value=PathJoinSubstitution([ThisLaunchFileDir(), "..", "config", "nodes.yaml"]),
        description="YAML of node parameters; the arguments here win over it",
    ),
]


def generate_launch_description() -> LaunchDescription:
    sim, namespace = LaunchConfiguration("sim"), LaunchConfiguration("namespace")
    arm = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([ThisLaunchFileDir(), "sim.launch.py"])),
        launch_arguments={
            "world": LaunchConfiguration("world"),
            "namespace": namespace,
            "real_time_factor": LaunchConfiguration("real_time_factor"),
            "params": LaunchConfiguration("params"),
        }.items(),
        condition=IfCondition(sim),
    )
    policy = Node(
        package="irl_ros",
        executable="policy",
        name="policy",
        namespace=namespace,
        output="screen",
        parameters=[
            LaunchConfiguration("params"),
            {
                "run": ParameterValue(LaunchConfiguration("run"), value_type=str),
                "world": ParameterValue(LaunchConfiguration("world"), value_type=str),
                "enabled": ParameterValue(LaunchConfiguration("enabled"), value_type=bool),
                "max_age": ParameterValue(LaunchConfiguration("max_age"), value_type=float),
                "use_sim_time": ParameterValue(sim, value_type=bool),
            },
        ],
    )
    return LaunchDescription([*ARGUMENTS, arm, policy])
