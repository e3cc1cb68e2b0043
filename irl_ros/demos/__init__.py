"""Demonstrations: rosbag2 recordings on the control grid, and the operator who makes them."""
