"""The ball in PyBullet: a free body. It touches nothing: the arm beside it has masses but no shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

from irl_ros.sim.conditions import drag_per_squared_speed
from irl_ros.sim.engine import pybullet
from irl_ros.sim.world import World
from irl_ros.sim.world_settings import middle


class BulletBall:
    """A ball that falls unless it is placed again.

    Args:
        world: mass, radius and drag.
        client: a PyBullet client, in which gravity and time step are set already.
    """

    def __init__(self, world: World, client: int) -> None:
        ball = world.settings.ball
        self._client, self._mass, radius = client, middle(ball.mass), middle(ball.radius)
        self._drag: float = drag_per_squared_speed(middle(ball.drag), radius, self._mass)
        # one size does for all: it touches nothing
        shape = pybullet.createCollisionShape(pybullet.GEOM_SPHERE, radius=radius, physicsClientId=client)
        self.body = pybullet.createMultiBody(self._mass, shape, physicsClientId=client)
        # Bullet damps by 4 % a second unless told not to
        pybullet.changeDynamics(self.body, -1, linearDamping=0.0, angularDamping=0.0, physicsClientId=client)

    @property
    def in_air(self) -> bool:
        """Whether there is drag to push against."""
        return self._drag > 0

    def become(self, mass: float, drag: float) -> None:
        """Another ball: mass in kg, drag as `Flight.drag`, 1/m."""
        self._mass, self._drag = mass, drag
        pybullet.changeDynamics(self.body, -1, mass=mass, physicsClientId=self._client)

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
        strength = -self._mass * self._drag * math.hypot(*velocity)
        force = [strength * v for v in velocity]
        pybullet.applyExternalForce(
            self.body, -1, force, position, pybullet.WORLD_FRAME, physicsClientId=self._client
        )
