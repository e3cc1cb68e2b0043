"""Learn a reward and a policy from recorded throws, in a process of its own. Ends when it is done."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, Shutdown
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, ThisLaunchFileDir
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = [
    DeclareLaunchArgument("demos", default_value="demos", description="folder of the recordings"),
    DeclareLaunchArgument("out", default_value="learned", description="RUN folder to write"),
    DeclareLaunchArgument("algo", default_value="airl", description="learning algorithm"),
    DeclareLaunchArgument(
        "world",
        default_value="default",
        description="world to learn in: a shipped name or the path of a YAML",
    ),
    DeclareLaunchArgument(
        "sim", default_value="batch", choices=["batch", "pybullet"], description="simulator to learn in"
    ),
    DeclareLaunchArgument("device", default_value="auto", description="auto, cpu, cuda, cuda:1, ..."),
    DeclareLaunchArgument("seed", default_value="0", description="same seed, same result"),
    DeclareLaunchArgument("config", default_value="", description="YAML of learning settings; empty: none"),
    DeclareLaunchArgument(
        "resume",
        default_value="true",
        choices=["true", "false"],
        description="go on from the checkpoint in out, where there is one",
    ),
    DeclareLaunchArgument("namespace", default_value="", description="namespace of the node and its topics"),
    DeclareLaunchArgument(
        "params",
        default_value=PathJoinSubstitution([ThisLaunchFileDir(), "..", "config", "nodes.yaml"]),
        description="YAML of node parameters; the arguments here win over it",
    ),
]


def generate_launch_description() -> LaunchDescription:
    texts = ("out", "algo", "world", "sim", "device", "config")
    learner = Node(
        package="irl_ros",
        executable="learner",
        sigterm_timeout="40",  # it finishes a round and saves it
        name="learner",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=[
            LaunchConfiguration("params"),
            {
                **{name: ParameterValue(LaunchConfiguration(name), value_type=str) for name in texts},
                "paths": [[LaunchConfiguration("demos")]],  # a list of one text
                "seed": ParameterValue(LaunchConfiguration("seed"), value_type=int),
                "resume": ParameterValue(LaunchConfiguration("resume"), value_type=bool),
                "begin": True,
                "exit_when_done": True,
            },
        ],
        on_exit=Shutdown(reason="learning has ended"),
    )
    return LaunchDescription([*ARGUMENTS, learner])
