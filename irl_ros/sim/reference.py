"""The arm's ideal response to velocity commands, and the ball's flight: the rules both worlds obey.

The reference is what an arm does whose torque suffices: pure kinematics, hence cheap and exact. BatchWorld
follows it by definition; BulletWorld's computed-torque servo tracks it to rounding while torque is inside its
limits.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from irl_ros.sim.conditions import Conditions, drag_per_squared_speed
from irl_ros.sim.flight_step import FlightStep, touches
from irl_ros.sim.joint_limits import TOLERANCE, JointLimits
from irl_ros.sim.world import World

ON_PLANE = 1e-3
"""How far from z = target height a ball rests that has come down there, m."""


class Reference:
    """Joint motion over one control step under position, velocity and acceleration limits.

    Args:
        world: limits and time steps.
        device, dtype: of the tensors it will be given.
        conditions: velocity and acceleration limits that N throws drew; default: the world's.

    Attributes:
        limits: of the joints, [n]; velocity and acceleration [N, n] where they are drawn.
    """

    def __init__(
        self,
        world: World,
        device: torch.device | str,
        dtype: torch.dtype,
        conditions: Conditions | None = None,
    ) -> None:
        def constant(x: np.ndarray | Tensor) -> Tensor:
            return torch.as_tensor(x, device=device, dtype=dtype)

        drawn: World | Conditions = world if conditions is None else conditions
        self.limits = JointLimits(
            full=constant(world.velocity),
            velocity=constant(drawn.velocity),
            acceleration=constant(drawn.acceleration),
            lower=constant(world.robot.lower),
            upper=constant(world.robot.upper),
            period=world.dt,
        )
        self.h, self.steps = world.physics_dt, world.settings.physics_steps
        self._ramp = torch.arange(1, self.steps + 1, device=device, dtype=dtype)[:, None] * self.h

    def command(self, q: Tensor, qd: Tensor, action: Tensor) -> Tensor:
        """Velocity command, rad/s [N, n], for an action in [-1, 1]. See `JointLimits.command`."""
        return self.limits.command(q, qd, action)

    def velocities(self, qd: Tensor, command: Tensor) -> Tensor:
        """Reference velocity after each physics step, rad/s [N, S, n]: a ramp at the acceleration limit."""
        slope = dataclasses.replace(self.limits, acceleration=self.limits.acceleration[..., None, :])
        return slope.ramp(qd[..., None, :], command[..., None, :], self._ramp)

    def advance(self, q: Tensor, qd: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Joint positions and velocities after one control step (semi-implicit Euler at the physics step)."""
        velocities = self.velocities(qd, self.command(q, qd, action))
        moved = q + self.h * velocities.sum(-2)
        # only a start that is too fast to brake gets here beyond a limit; it meets the joint's hard stop
        inside = torch.minimum(torch.maximum(moved, self.limits.lower), self.limits.upper)
        return inside, torch.where(inside == moved, velocities[..., -1, :], torch.zeros_like(qd))

    def violations(self, q: Tensor, qd: Tensor, before: Tensor) -> Tensor:
        """Whether a joint is outside its position, velocity or (mean over the step) acceleration limit.

        Args:
            q, qd: joint motion at the end of a control step, [N, n].
            before: joint velocity at its beginning, rad/s, [N, n].

        Returns:
            bool [N]. Excess below TOLERANCE does not count.
        """
        return (self.limits.excess(q, qd, before) > TOLERANCE).any(-1)


class Flight:
    """The ball in the air, in physics steps: x_k = x₀ + k h v₀ − g h² k (k + 1) / 2, as PyBullet has it.

    Landing is where this formula, read at real k, comes down through the plane z = target height. With drag
    there is no closed form: physics steps are taken one by one and the landing is interpolated linearly
    within a step. A ball below the plane that no longer rises rests where it is: it has missed.

    A bin (`target.rim`) is an upright thin wall of that radius around the target, from far below up to the
    plane. A ball that overlaps the wall at the end of a physics step has hit it and rests there: it has
    missed.

    Args:
        world: gravity, ball, bin, time steps; of a range, its middle.
        conditions: gravity and ball that N throws drew; states then have the leading shape [N].
        device, dtype: of the states, where there are conditions.

    Attributes:
        g: gravity, m/s², a number or [N].
        drag: deceleration per squared speed, 1/m, a number or [N].
        radius: of the ball, m, a number or [N].
        rim: radius of the bin's opening, m; 0: an open plane.
    """

    def __init__(
        self,
        world: World,
        conditions: Conditions | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        s = world.fixed().settings
        self.h, self.steps, self.rim = world.physics_dt, s.physics_steps, s.target.rim
        self.g: Any = s.gravity
        self.radius: Any = s.ball.radius
        self.drag: Any = drag_per_squared_speed(s.ball.drag, s.ball.radius, s.ball.mass)
        self.in_air = self.drag > 0
        if conditions is not None:
            drawn = conditions.gravity, conditions.ball_radius, conditions.drag
            self.g, self.radius, self.drag = (x.to(device, dtype) for x in drawn)
            self.in_air = bool((conditions.drag > 0).any())

    def steps_to_plane(self, position: Tensor, velocity: Tensor, height: Tensor) -> Tensor:
        """Real number of physics steps until the ball is down at z = height, [N].

        Of a ball that is below and will not come over it: until it no longer rises. With drag, see
        `predicted_landing`.
        """
        return self.foreseen(position, velocity, height)[0]

    def predicted_landing(self, position: Tensor, velocity: Tensor, height: Tensor) -> Tensor:
        """Where a ball let go now would come down on the plane, were there no bin's wall, m, [N, 2].

        Exact without drag; with it, within 0.2 mm of the stepped flight of any ball that a hand would throw.
        """
        return self.foreseen(position, velocity, height)[1][..., :2]

    def predicted_miss(self, position: Tensor, velocity: Tensor, target: Tensor) -> Tensor:
        """Horizontal offset from the target [N, 3] of where a ball let go now would land, m, [N, 2]."""
        return self.predicted_landing(position, velocity, target[..., 2]) - target[..., :2]

    def came_down(self, position: Tensor, target: Tensor) -> Tensor:
        """Whether balls at rest at `position` [N, 3] came down on the plane, or in the bin, bool [N]."""
        offset = position - target
        on_plane = offset[..., 2].abs() < ON_PLANE
        if not self.rim:
            return on_plane
        return on_plane & (offset[..., :2].norm(dim=-1) <= self.rim - self.radius)

    def advance(self, position: Tensor, velocity: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One control step in the air: position, velocity, landed. A landed ball rests where it landed."""
        fly = self._step_by_step if self.in_air else self._at_once
        moved, speed, landed = fly(position, velocity, target)
        return moved, torch.where(landed[..., None], torch.zeros_like(speed), speed), landed

    def drag_acceleration(self, velocity: Tensor) -> Tensor:
        """Deceleration by air drag, m/s² [N, 3], at a velocity, m/s [N, 3]."""
        return -_wide(self.drag) * velocity.norm(dim=-1, keepdim=True) * velocity

    def _at_once(self, position: Tensor, velocity: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        p, v, aim, step = position.unbind(-1), velocity.unbind(-1), target.unbind(-1), self._step
        k = step.fall(p, v, aim[2])
        landed, k = k <= self.steps, k.clamp_max(self.steps)
        if self.rim:
            for j in range(self.steps, 0, -1):
                at = torch.full_like(k, j)
                touched = (j <= k) & touches(step.after(p, v, at)[0], aim, self.rim, self.radius)
                landed, k = landed | touched, torch.where(touched, at, k)
        moved, speed = step.after(p, v, k)
        return torch.stack(moved, -1), torch.stack(speed, -1), landed

    def _step_by_step(
        self, position: Tensor, velocity: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        p, v, aim = list(position.unbind(-1)), list(velocity.unbind(-1)), target.unbind(-1)
        landed = (p[2] <= aim[2]) & (v[2] <= 0)
        for _ in range(self.steps):
            p, v, landed = self._step.through_air(p, v, landed, aim[2])
            if self.rim:
                landed = landed | touches(p, aim, self.rim, self.radius)
        return torch.stack(p, -1), torch.stack(v, -1), landed

    def foreseen(self, position: Tensor, velocity: Tensor, height: Tensor) -> tuple[Tensor, Tensor]:
        """Real number of physics steps until a ball let go now rests, [N], and where, m, [N, 3].

        A bin's wall is ignored; drag is as in `predicted_landing`.
        """
        k, place = self._step.foreseen(position.unbind(-1), velocity.unbind(-1), height, self.in_air)
        return k, torch.stack(place, -1)

    @property
    def _step(self) -> FlightStep:
        return FlightStep(self.g, self.drag, self.h)


def _wide(x: Any) -> Any:
    """A number, or [N] made to fit [N, 3]."""
    return x[..., None] if isinstance(x, Tensor) else x
