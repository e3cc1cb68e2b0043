"""See throws: the node that draws them on irl/markers, and RViz. Foxglove: rviz:=false, foxglove.json."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, ThisLaunchFileDir
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = [
    DeclareLaunchArgument("namespace", default_value="", description="namespace of all nodes and topics"),
    DeclareLaunchArgument(
        "world", default_value="default", description="world: a shipped name or the path of a YAML"
    ),
    DeclareLaunchArgument(
        "rviz", default_value="true", choices=["true", "false"], description="start RViz on what is drawn"
    ),
    DeclareLaunchArgument(
        "use_sim_time", default_value="false", choices=["true", "false"], description="take time from /clock"
    ),
    DeclareLaunchArgument(
        "params",
        default_value=PathJoinSubstitution([ThisLaunchFileDir(), "..", "config", "nodes.yaml"]),
        description="YAML of node parameters; the arguments here win over it",
    ),
]


def generate_launch_description() -> LaunchDescription:
    namespace = LaunchConfiguration("namespace")
    time = {"use_sim_time": ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)}
    markers = Node(
        package="irl_ros",
        executable="markers",
        name="markers",
        namespace=namespace,
        output="screen",
        parameters=[
            LaunchConfiguration("params"),
            time,
            {"world": ParameterValue(LaunchConfiguration("world"), value_type=str)},
        ],
    )
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        name="rviz",
        namespace=namespace,
        arguments=["-d", PathJoinSubstitution([ThisLaunchFileDir(), "throw.rviz"])],
        parameters=[time],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
    # where RViz is not installed launch gives up, and would leave behind what it has started
    return LaunchDescription([*ARGUMENTS, rviz, markers])
