"""The ball in PyBullet: a free body, alone in its client. It touches nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

from irl_ros.sim.conditions import drag_per_squared_speed
from irl_ros.sim.engine import connect, pybullet, undamp
from irl_ros.sim.world import World
from irl_ros.sim.world_settings import middle

Vector = Sequence[float]


class BulletBall:
    """A ball that flies, a control step at a time, from wherever it is put: one serves any number of throws.

    Args:
        world: time step, and (of ranges, the middle) gravity and the ball's mass, radius and drag.
    """

    def __init__(self, world: World) -> None:
        ball = world.settings.ball
        self._mass, radius = middle(ball.mass), middle(ball.radius)
        self._drag: float = drag_per_squared_speed(middle(ball.drag), radius, self._mass)
        self._steps = world.settings.physics_steps
        self._client = connect(middle(world.settings.gravity), world.physics_dt)
        # one size does for all: it touches nothing
        shape = pybullet.createCollisionShape(
            pybullet.GEOM_SPHERE, radius=radius, physicsClientId=self._client
        )
        self._body = pybullet.createMultiBody(self._mass, shape, physicsClientId=self._client)
        undamp(self._body, -1, self._client)

    def become(self, gravity: float, mass: float, drag: float) -> None:
        """Another ball elsewhere: gravity in m/s², mass in kg, drag as `Flight.drag`, 1/m."""
        pybullet.setGravity(0.0, 0.0, -gravity, self._client)
        if mass != self._mass:
            pybullet.changeDynamics(self._body, -1, mass=mass, physicsClientId=self._client)
        self._mass, self._drag = mass, drag

    def fly(self, position: Vector, velocity: Vector) -> tuple[Vector, Vector]:
        """Position (m) and velocity (m/s) a control step after these."""
        body, client = self._body, self._client
        pybullet.resetBasePositionAndOrientation(body, position, (0.0, 0.0, 0.0, 1.0), client)
        pybullet.resetBaseVelocity(body, velocity, (0.0, 0.0, 0.0), client)
        for _ in range(self._steps):
            if self._drag > 0:
                self._push()
            pybullet.stepSimulation(client)
        return self._motion()

    def close(self) -> None:
        """Give the client back."""
        pybullet.disconnect(self._client)

    def _motion(self) -> tuple[Vector, Vector]:
        position, _ = pybullet.getBasePositionAndOrientation(self._body, self._client)
        velocity, _ = pybullet.getBaseVelocity(self._body, self._client)
        return position, velocity

    def _push(self) -> None:
        """Air drag over the coming physics step, by the formula of `Flight`."""
        position, (x, y, z) = self._motion()
        scale = -self._mass * self._drag * math.sqrt(x * x + y * y + z * z)
        force = (scale * x, scale * y, scale * z)
        pybullet.applyExternalForce(self._body, -1, force, position, pybullet.WORLD_FRAME, self._client)
