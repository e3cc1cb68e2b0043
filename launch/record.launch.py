"""Record throws: of a synthetic operator on a simulated arm, or (sim:=false) of a person on yours.

With sim:=false only the recorder starts: call recorder/start_episode and stop_episode around each throw.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, Shutdown
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import (
    LaunchConfiguration,
    PathJoinSubstitution,
    PythonExpression,
    ThisLaunchFileDir,
)
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = [
    DeclareLaunchArgument(
        "out", default_value="demos", description="folder that gets one bag for each episode"
    ),
    DeclareLaunchArgument("episodes", default_value="20", description="how many throws"),
    DeclareLaunchArgument("seed", default_value="0", description="same seed, same person and same targets"),
    DeclareLaunchArgument(
        "operator", default_value="default", description="who throws: a preset of config/operators.yaml"
    ),
    DeclareLaunchArgument(
        "operator_name",
        default_value="",
        description="who throws, noted in every episode; empty with sim:=true: synthetic",
    ),
    DeclareLaunchArgument(
        "world", default_value="default", description="world: a shipped name or the path of a YAML"
    ),
    DeclareLaunchArgument(
        "sim",
        default_value="true",
        choices=["true", "false"],
        description="start sim_arm and the synthetic operator; false: record what happens on your arm",
    ),
    DeclareLaunchArgument(
        "real_time_factor",
        default_value="1.0",
        description="speed of the simulation against the wall clock; 0: as fast as the nodes answer",
    ),
    DeclareLaunchArgument("namespace", default_value="", description="namespace of all nodes and topics"),
    DeclareLaunchArgument(
        "params",
        default_value=PathJoinSubstitution([ThisLaunchFileDir(), "..", "config", "nodes.yaml"]),
        description="YAML of node parameters; the arguments here win over it",
    ),
]


def generate_launch_description() -> LaunchDescription:
    sim, namespace = LaunchConfiguration("sim"), LaunchConfiguration("namespace")
    who = LaunchConfiguration("operator_name")
    shared = {
        "world": ParameterValue(LaunchConfiguration("world"), value_type=str),
        "use_sim_time": ParameterValue(sim, value_type=bool),
    }
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
    recorder = Node(
        package="irl_ros",
        executable="recorder",
        name="recorder",
        namespace=namespace,
        output="screen",
        parameters=[
            LaunchConfiguration("params"),
            shared,
            {
                "out": ParameterValue(LaunchConfiguration("out"), value_type=str),
                "operator_name": ParameterValue(
                    PythonExpression(["'", who, "' or ('synthetic' if '", sim, "' == 'true' else '')"]),
                    value_type=str,
                ),
            },
        ],
    )
    operator = Node(
        package="irl_ros",
        executable="operator",
        name="operator",
        namespace=namespace,
        output="screen",
        parameters=[
            LaunchConfiguration("params"),
            shared,
            {
                "preset": ParameterValue(LaunchConfiguration("operator"), value_type=str),
                "episodes": ParameterValue(LaunchConfiguration("episodes"), value_type=int),
                "seed": ParameterValue(LaunchConfiguration("seed"), value_type=int),
                "max_age": 5.0,  # in lock-step a world stands still while it waits, and machines are busy
            },
        ],
        condition=IfCondition(sim),
        on_exit=Shutdown(reason="the operator has thrown"),
    )
    return LaunchDescription([*ARGUMENTS, arm, recorder, operator])
