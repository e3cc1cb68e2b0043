"""The filter every command passes; pure, no ROS."""

from irl_ros.safety.filter import Decision, SafetyFilter
from irl_ros.safety.latch import StopReason
from irl_ros.safety.reading import JointReading
from irl_ros.safety.settings import SafetySettings

__all__ = ["Decision", "JointReading", "SafetyFilter", "SafetySettings", "StopReason"]
