"""Throw worlds: PyBullet as the reference, a batched twin in torch, one interface."""

from irl_ros import environments  # noqa: F401  for Gymnasium
from irl_ros.sim.batch_world import BatchWorld
from irl_ros.sim.bullet_world import BulletWorld
from irl_ros.sim.camera import render_throw
from irl_ros.sim.conditions import Conditions
from irl_ros.sim.pool import BulletPool
from irl_ros.sim.rollout import Simulator, throw
from irl_ros.sim.state import Outcome, State, Throws
from irl_ros.sim.world import World, load_world

__all__ = [
    "BatchWorld",
    "BulletPool",
    "BulletWorld",
    "Conditions",
    "Outcome",
    "Simulator",
    "State",
    "Throws",
    "World",
    "load_world",
    "render_throw",
    "throw",
]
