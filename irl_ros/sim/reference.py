"""The arm's ideal response to velocity commands, and the ball's flight: the rules both worlds obey.

The reference is what an arm does whose torque suffices: pure kinematics, hence cheap and exact. BatchWorld
follows it by definition; BulletWorld's computed-torque servo tracks it to rounding while torque is inside its
limits.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from irl_ros.sim.world import World

AIR_DENSITY = 1.204  # kg/m³ at 20 °C
TOLERANCE = (
    1e-3  # of limit violations: absolute in SI units, on top of the same share of velocity and acceleration
)


class Reference:
    """Joint motion over one control step under position, velocity and acceleration limits.

    Args:
        world: limits and time steps.
        device, dtype: of the tensors it will be given.
    """

    def __init__(self, world: World, device: torch.device | str, dtype: torch.dtype) -> None:
        def constant(x: np.ndarray) -> Tensor:
            return torch.as_tensor(x, device=device, dtype=dtype)

        self.velocity, self.acceleration = constant(world.velocity), constant(world.acceleration)
        self.lower, self.upper = constant(world.robot.lower), constant(world.robot.upper)
        self.dt, self.h, self.steps = world.dt, world.physics_dt, world.settings.physics_steps
        self._ramp = torch.arange(1, self.steps + 1, device=device, dtype=dtype)[:, None] * self.h

    def command(self, q: Tensor, qd: Tensor, action: Tensor) -> Tensor:
        """Velocity command, rad/s [N, n], for an action in [-1, 1]: scaled, kept within braking distance.

        After one control period towards the command and full braking from there the joint is still inside its
        limit. From any state that can be braked in time, this keeps every later state so.
        """
        wanted = action.clamp(-1.0, 1.0) * self.velocity
        up = self._fastest(self.upper - q, qd)
        down = self._fastest(q - self.lower, -qd)
        return torch.minimum(torch.maximum(wanted, -down), up)

    def _fastest(self, room: Tensor, v: Tensor) -> Tensor:
        """Largest command towards a limit `room` rad away while moving towards it at v rad/s.

        A command c above v takes at most c T of the room, then c² / 2a to brake: c T + c² / 2a ≤ room. One
        below v is reached on a ramp that takes (v² - c²) / 2a + c (T - (v - c) / a), more than c T. Where not
        even braking helps, the result asks for more deceleration than the arm has, and the ramp gives all
        there is.
        """
        a, step = self.acceleration, self.acceleration * self.dt
        faster = (step * step + 2 * a * room.clamp_min(0.0)).sqrt() - step
        slack = step - v
        slower = 0.5 * ((slack * slack + 4 * a * room - 2 * v * v).clamp_min(0.0).sqrt() - slack)
        return torch.where(v <= faster, faster, slower)

    def velocities(self, qd: Tensor, command: Tensor) -> Tensor:
        """Reference velocity after each physics step, rad/s [N, S, n]: a ramp at the acceleration limit."""
        reach = self.acceleration * self._ramp
        change = (command - qd)[..., None, :]
        return qd[..., None, :] + torch.minimum(torch.maximum(change, -reach), reach)

    def advance(self, q: Tensor, qd: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Joint positions and velocities after one control step (semi-implicit Euler at the physics step)."""
        velocities = self.velocities(qd, self.command(q, qd, action))
        moved = q + self.h * velocities.sum(-2)
        # only a start that is too fast to brake gets here beyond a limit; it meets the joint's hard stop
        inside = torch.minimum(torch.maximum(moved, self.lower), self.upper)
        return inside, torch.where(inside == moved, velocities[..., -1, :], torch.zeros_like(qd))

    def violations(self, q: Tensor, qd: Tensor, before: Tensor) -> Tensor:
        """Whether a joint is outside its position, velocity or (mean over the step) acceleration limit.

        Args:
            q, qd: joint motion at the end of a control step, [N, n].
            before: joint velocity at its beginning, rad/s, [N, n].

        Returns:
            bool [N]. Excess below TOLERANCE does not count.
        """
        outside = torch.maximum(self.lower - q, q - self.upper)
        too_fast = qd.abs() - self.velocity * (1 + TOLERANCE)
        too_hard = (qd - before).abs() / self.dt - self.acceleration * (1 + TOLERANCE)
        return (torch.maximum(torch.maximum(outside, too_fast), too_hard) > TOLERANCE).any(-1)


class Flight:
    """The ball in the air, in physics steps: x_k = x₀ + k h v₀ − g h² k (k + 1) / 2, as PyBullet has it.

    Landing is where this formula, read at real k, meets the plane z = target height. With drag there is no
    closed form: physics steps are taken one by one and the landing is interpolated linearly within a step.
    """

    def __init__(self, world: World) -> None:
        s = world.settings
        self.g, self.h, self.steps = s.gravity, world.physics_dt, s.physics_steps
        area = math.pi * s.ball.radius**2
        self.drag = 0.5 * AIR_DENSITY * s.ball.drag * area / s.ball.mass  # 1/m

    def steps_to_plane(self, position: Tensor, velocity: Tensor, height: Tensor) -> Tensor:
        """Real number of physics steps until the ball (ignoring drag) is down at z = height, [N]; 0 below."""
        a = 0.5 * self.g * self.h * self.h
        b = a - self.h * velocity[..., 2]
        fall = (position[..., 2] - height).clamp_min(0.0)
        k = (-b + (b * b + 4 * a * fall).sqrt()) / (2 * a)
        return torch.where(position[..., 2] > height, k, torch.zeros_like(k))

    def predicted_landing(self, position: Tensor, velocity: Tensor, height: Tensor) -> Tensor:
        """Where a ball let go now would land (ignoring drag), m, [N, 2]."""
        k = self.steps_to_plane(position, velocity, height)
        return position[..., :2] + self.h * k[..., None] * velocity[..., :2]

    def predicted_miss(self, position: Tensor, velocity: Tensor, target: Tensor) -> Tensor:
        """Horizontal offset from the target [N, 3] of where a ball let go now would land, m, [N, 2]."""
        return self.predicted_landing(position, velocity, target[..., 2]) - target[..., :2]

    def advance(self, position: Tensor, velocity: Tensor, height: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One control step in the air: position, velocity, landed. A landed ball rests where it landed."""
        if self.drag > 0:
            return self._advance_with_drag(position, velocity, height)
        k = self.steps_to_plane(position, velocity, height)
        landed = k <= self.steps
        count = torch.where(landed, k, torch.full_like(k, float(self.steps)))[..., None]
        drop = 0.5 * self.g * self.h * self.h * count * (count + 1)
        down = torch.tensor([0.0, 0.0, 1.0], device=position.device, dtype=position.dtype)
        moved = position + self.h * count * velocity - drop * down
        falling = velocity - self.g * self.h * count * down
        return self._at_rest(moved, falling, height, landed)

    def _advance_with_drag(
        self, position: Tensor, velocity: Tensor, height: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        landed = position[..., 2] <= height
        down = torch.tensor([0.0, 0.0, 1.0], device=position.device, dtype=position.dtype)
        for _ in range(self.steps):
            faster = velocity + self.h * (self.drag_acceleration(velocity) - self.g * down)
            moved = position + self.h * faster
            down_now = ~landed & (moved[..., 2] <= height)
            fraction = (position[..., 2] - height) / (position[..., 2] - moved[..., 2]).clamp_min(1e-12)
            moved = torch.where(
                down_now[..., None], position + fraction[..., None] * (moved - position), moved
            )
            position = torch.where(landed[..., None], position, moved)
            velocity, landed = faster, landed | down_now
        return self._at_rest(position, velocity, height, landed)

    def drag_acceleration(self, velocity: Tensor) -> Tensor:
        """Deceleration by air drag, m/s² [N, 3], at a velocity, m/s [N, 3]."""
        return -self.drag * velocity.norm(dim=-1, keepdim=True) * velocity

    @staticmethod
    def _at_rest(
        position: Tensor, velocity: Tensor, height: Tensor, landed: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        # below the plane already (let go under a bin's rim): it rests where it is
        velocity = torch.where(landed[..., None], torch.zeros_like(velocity), velocity)
        return position, velocity, landed
