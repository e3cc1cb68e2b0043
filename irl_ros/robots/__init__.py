"""Robots from URDF and YAML: names, limits, batched kinematics."""

from irl_ros.robots.kinematics import Kinematics
from irl_ros.robots.robot import Robot, load_robot

__all__ = ["Kinematics", "Robot", "load_robot"]
