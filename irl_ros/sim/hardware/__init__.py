"""What stands between a command and a real arm's motion: controllers, gripper, a faulty link. No ROS."""

from irl_ros.sim.hardware.forward_controller import ControllerStopped, ForwardController
from irl_ros.sim.hardware.gripper import Gripper
from irl_ros.sim.hardware.link_faults import DelayLine, LinkFaults
from irl_ros.sim.hardware.setpoint import Setpoint
from irl_ros.sim.hardware.trajectory import Trajectory, TrajectoryPoint
from irl_ros.sim.hardware.trajectory_controller import TrajectoryController

__all__ = [
    "ControllerStopped",
    "DelayLine",
    "ForwardController",
    "Gripper",
    "LinkFaults",
    "Setpoint",
    "Trajectory",
    "TrajectoryController",
    "TrajectoryPoint",
]
