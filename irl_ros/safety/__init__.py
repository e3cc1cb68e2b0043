"""The filter every command passes; pure, no ROS."""

from irl_ros.safety.filter import Decision, HoldReason, JointReading, SafetyFilter

__all__ = ["Decision", "HoldReason", "JointReading", "SafetyFilter"]
