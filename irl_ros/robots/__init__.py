"""Robots from URDF and YAML: names, limits, masses, batched kinematics."""

from irl_ros.robots.kinematics import Kinematics
from irl_ros.robots.load import load_robot
from irl_ros.robots.robot import Robot

__all__ = ["Kinematics", "Robot", "load_robot"]
