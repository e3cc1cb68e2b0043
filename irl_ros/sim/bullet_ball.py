"""The ball in PyBullet: a free body. It touches nothing: the arm beside it has masses but no shape."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from irl_ros.sim.engine import pybullet
from irl_ros.sim.reference import Flight
from irl_ros.sim.world import World


class BulletBall:
    """A ball that falls unless it is placed again.

    Args:
        world: mass, radius and drag.
        client: a PyBullet client, in which gravity and time step are set already.
    """

    def __init__(self, world: World, client: int) -> None:
        self._client, self._mass, self._flight = client, world.settings.ball.mass, Flight(world)
        shape = pybullet.createCollisionShape(
            pybullet.GEOM_SPHERE, radius=world.settings.ball.radius, physicsClientId=client
        )
        self.body = pybullet.createMultiBody(self._mass, shape, physicsClientId=client)
        # Bullet damps by 4 % a second unless told not to
        pybullet.changeDynamics(self.body, -1, linearDamping=0.0, angularDamping=0.0, physicsClientId=client)

    @property
    def in_air(self) -> bool:
        """Whether there is drag to push against."""
        return self._flight.drag > 0

    def place(self, position: Sequence[float], velocity: Sequence[float]) -> None:
        """Put it at a position (m) with a velocity (m/s), not turning."""
        pybullet.resetBasePositionAndOrientation(
            self.body, position, (0.0, 0.0, 0.0, 1.0), physicsClientId=self._client
        )
        pybullet.resetBaseVelocity(self.body, velocity, (0.0, 0.0, 0.0), physicsClientId=self._client)

    def motion(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Position (m) and velocity (m/s)."""
        position, _ = pybullet.getBasePositionAndOrientation(self.body, physicsClientId=self._client)
        velocity, _ = pybullet.getBaseVelocity(self.body, physicsClientId=self._client)
        return position, velocity

    def push(self) -> None:
        """Air drag over the coming physics step, by the formula of `Flight`."""
        position, velocity = self.motion()
        drag = self._flight.drag_acceleration(torch.tensor(velocity, dtype=torch.float64))
        force = (drag * self._mass).tolist()
        pybullet.applyExternalForce(
            self.body, -1, force, position, pybullet.WORLD_FRAME, physicsClientId=self._client
        )
