"""The whole loop, as `irl-ros demo` does it, visible to the ROS tools of this domain."""

import sys

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, Shutdown
from launch.substitutions import EnvironmentVariable, LaunchConfiguration

ARGUMENTS = [
    DeclareLaunchArgument("out", default_value="runs/demo", description="folder for the results"),
    DeclareLaunchArgument("seed", default_value="0", description="same seed, same person and same targets"),
    DeclareLaunchArgument("episodes", default_value="24", description="throws the operator records"),
    DeclareLaunchArgument("throws", default_value="30", description="throws of the deployed policy"),
    DeclareLaunchArgument(
        "world", default_value="default", description="world: a shipped name or the path of a YAML"
    ),
    DeclareLaunchArgument("algo", default_value="airl", description="learning algorithm"),
]


def generate_launch_description() -> LaunchDescription:
    options = [x for a in ARGUMENTS for x in (f"--{a.name}", LaunchConfiguration(a.name))]
    demo = ExecuteProcess(
        cmd=[sys.executable, "-m", "irl_ros", "demo", *options],
        name="demo",
        output="screen",
        # without a domain in the environment the demo would hide in one of its own
        additional_env={"ROS_DOMAIN_ID": EnvironmentVariable("ROS_DOMAIN_ID", default_value="0")},
        sigterm_timeout="20",
        on_exit=Shutdown(reason="the demo has ended"),
    )
    return LaunchDescription([*ARGUMENTS, demo])
