"""irl_ros, for pip and for colcon. What the messages need is in msg/build_interfaces.py."""

import os
import sys
from pathlib import Path
from xml.etree import ElementTree

from setuptools import Distribution, find_packages, setup

ROOT = Path(__file__).resolve().parent  # colcon build --symlink-install runs this file through a symlink
sys.path.insert(0, str(ROOT / "msg"))
from build_interfaces import PACKAGE, BuildInterfaces  # noqa: E402

REQUIREMENTS = [
    "numpy>=1.26",
    "torch>=2.2",
    "pybullet>=3.2.6",
    "pyyaml>=6.0",
    "rosbags>=0.11",  # writes rosbag2 without C++, and knows its messages
    "backports.zstd>=1.0; python_version < '3.14'",  # compressed bags; rosbags brings it too
    "safetensors>=0.4",  # policies and rewards without pickle
    "gymnasium>=1.0",
    "matplotlib>=3.8",
    "tensorboard>=2.15",
    "tqdm>=4.66",
]
# The Kilted wheels. A sourced distribution brings its own, which these would shadow and break.
ROS_WHEELS = [
    "ros-rclpy~=9.1",
    "ros-rmw-fastrtps-cpp~=9.3",
    "ros-std-msgs~=5.5",
    "ros-sensor-msgs~=5.5",
    "ros-geometry-msgs~=5.5",
    "ros-nav-msgs~=5.5",
    "ros-trajectory-msgs~=5.5",
    "ros-visualization-msgs~=5.5",
    "ros-diagnostic-msgs~=5.5",
    "ros-std-srvs~=5.5",
    "ros-rosgraph-msgs~=2.3",
    "ros-action-msgs~=2.3",
    "ros-lifecycle-msgs~=2.3",
]
TESTS = [
    "pytest",
    "pytest-timeout",
    "pytest-xdist",  # a process a core, for tests without nodes
    "hypothesis",
    "ruff",
    "mypy",
    "types-PyYAML",
    "ros-domain-coordinator",  # a ROS domain of its own for every test
    "colcon-common-extensions",
    "colcon-ros",
]


class RosDistribution(Distribution):
    """Tells setuptools what it cannot see: that compiled files and data come, and which nodes there are."""

    ros_nodes = ("sim_arm", "teleop", "operator", "recorder", "learner", "policy", "markers")

    def has_ext_modules(self) -> bool:
        return True

    def has_data(self) -> bool:  # without it, editable installs leave data_files out
        return True


def shared_files() -> list[tuple[str, list[str]]]:
    """data_files for share/irl_ros: launch/ and config/ as they lie in the source folder."""
    files = [
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ]
    for pattern in (
        "launch/*.launch.py",
        "launch/*.rviz",
        "launch/*.json",
        "config/*.yaml",
        "config/*/*.yaml",
    ):
        for path in sorted(ROOT.glob(pattern)):
            relative = path.relative_to(ROOT)
            files.append((f"share/{PACKAGE}/{relative.parent.as_posix()}", [relative.as_posix()]))
    return files


setup(
    name=PACKAGE,
    version=ElementTree.parse(ROOT / "package.xml").findtext("version"),
    description="Learns why from demonstrations of a throw: inverse reinforcement learning on ROS 2 topics",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(str(ROOT), include=[PACKAGE, f"{PACKAGE}.*"]),
    package_dir={"": "."},  # makes an editable install a plain path entry, see build_interfaces.py
    install_requires=REQUIREMENTS + ([] if "ROS_DISTRO" in os.environ else ROS_WHEELS),
    extras_require={"test": TESTS},
    entry_points={"console_scripts": [f"irl-ros = {PACKAGE}.cli:main"]},
    data_files=shared_files(),
    distclass=RosDistribution,
    cmdclass={"build_ext": BuildInterfaces},
    zip_safe=False,
)
