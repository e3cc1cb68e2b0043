"""Throw worlds: PyBullet as the reference, a batched twin in torch, one interface.

What needs PyBullet is imported when it is first asked for: the batched world does without.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from irl_ros import environments  # noqa: F401  for Gymnasium
from irl_ros.sim.batch_world import BatchWorld
from irl_ros.sim.conditions import Conditions
from irl_ros.sim.rollout import Simulator, throw
from irl_ros.sim.state import Outcome, State, Throws
from irl_ros.sim.world import World, load_world

if TYPE_CHECKING:
    from irl_ros.sim.bullet_world import BulletWorld
    from irl_ros.sim.camera import render_throw
    from irl_ros.sim.pool import BulletPool

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

IN_PYBULLET = {"BulletPool": "pool", "BulletWorld": "bullet_world", "render_throw": "camera"}


def __getattr__(name: str) -> Any:
    if name not in IN_PYBULLET:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{IN_PYBULLET[name]}"), name)
