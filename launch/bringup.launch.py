"""Our nodes beside the drivers of your arm: recorder and learner and, where `run` is given, the policy.

The drivers run already, with joint_states and the controllers of the robot YAML. Nothing moves the arm before
policy/enable is called; what the order of things is, and what to check before: docs/robot.md.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription
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
        "world",
        default_value="default",
        description="world: a shipped name or the path of a YAML",
    ),
    DeclareLaunchArgument(
        "run", default_value="", description="RUN folder that holds the policy; empty: no policy node"
    ),
    DeclareLaunchArgument(
        "demos", default_value="demos", description="folder that gets the recordings, and is learned from"
    ),
    DeclareLaunchArgument("out", default_value="learned", description="RUN folder that the learner writes"),
    DeclareLaunchArgument(
        "operator_name", default_value="", description="who throws, noted in every episode"
    ),
    DeclareLaunchArgument("max_age", default_value="0.1", description="oldest joint state to act on, s"),
    DeclareLaunchArgument(
        "view", default_value="false", choices=["true", "false"], description="draw the throw, and start RViz"
    ),
    DeclareLaunchArgument(
        "params",
        default_value=PathJoinSubstitution([ThisLaunchFileDir(), "..", "config", "nodes.yaml"]),
        description="YAML of node parameters; the arguments here win over it",
    ),
    DeclareLaunchArgument("namespace", default_value="", description="namespace of all nodes and topics"),
]


def generate_launch_description() -> LaunchDescription:
    namespace, params = LaunchConfiguration("namespace"), LaunchConfiguration("params")
    world = LaunchConfiguration("world")
    recorder = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([ThisLaunchFileDir(), "record.launch.py"])),
        launch_arguments={
            "sim": "false",
            "world": world,
            "out": LaunchConfiguration("demos"),
            "operator_name": LaunchConfiguration("operator_name"),
            "params": params,
            "namespace": namespace,
        }.items(),
    )
    policy = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([ThisLaunchFileDir(), "deploy.launch.py"])),
        launch_arguments={
            "sim": "false",
            "world": world,
            "run": LaunchConfiguration("run"),
            "enabled": "false",
            "max_age": LaunchConfiguration("max_age"),
            "params": params,
            "namespace": namespace,
        }.items(),
        condition=IfCondition(PythonExpression(["'", LaunchConfiguration("run"), "' != ''"])),
    )
    learner = Node(
        package="irl_ros",
        executable="learner",
        sigterm_timeout="40",  # it finishes a round and saves it
        name="learner",
        namespace=namespace,
        output="screen",
        parameters=[
            LaunchConfiguration("params"),
            {
                "paths": [[LaunchConfiguration("demos")]],  # a list of one text
                "out": ParameterValue(LaunchConfiguration("out"), value_type=str),
                "world": ParameterValue(world, value_type=str),
                "resume": True,
            },
        ],
    )
    view = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([ThisLaunchFileDir(), "view.launch.py"])),
        launch_arguments={"world": world, "namespace": namespace, "params": params}.items(),
        condition=IfCondition(LaunchConfiguration("view")),
    )
    # what is set for an included file would else hold for all that follows
    included = [GroupAction([include], scoped=True) for include in (recorder, policy, view)]
    return LaunchDescription([*ARGUMENTS, learner, *included])
