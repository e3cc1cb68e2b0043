"""Conditions: what a world's ranges came to in each throw (domain randomisation)."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from irl_ros.sim.state import TensorBatch
from irl_ros.sim.world_settings import RANGES, SCALES, STEPS, Scales, ends, joint_ends, shared, value_of

if TYPE_CHECKING:
    from irl_ros.sim.world import World

PER_JOINT = ("velocity", "acceleration", "effort")
WHOLE = ("arm_latency", "gripper_latency", "seed")
FIELD = {
    "arm.payload": "payload",
    "arm.velocity_scale": "velocity",
    "arm.acceleration_scale": "acceleration",
    "arm.effort_scale": "effort",
    "sensors.q": "sensor_q",
    "sensors.qd": "sensor_qd",
    "sensors.ball_position": "sensor_ball_position",
    "sensors.ball_velocity": "sensor_ball_velocity",
}
"""World key → field of `Conditions`, where it is not the key with an underscore."""
AIR_DENSITY = 1.204  # kg/m³ at 20 °C


def drag_per_squared_speed(coefficient: Any, radius: Any, mass: Any) -> Any:
    """½ ρ c A / m: deceleration of a sphere in air per squared speed, 1/m; numbers or tensors."""
    return 0.5 * AIR_DENSITY * coefficient * math.pi * radius**2 / mass


@dataclass(frozen=True)
class Conditions(TensorBatch):
    """What N throws are made under, one row a throw. float64 and int64 as drawn.

    Attributes:
        gravity: m/s², [N].
        ball_mass: kg, [N].
        ball_radius: m, [N].
        ball_drag: drag coefficient, [N].
        payload: kg at the tool point besides the ball, [N].
        velocity, acceleration, effort: joint limits, rad/s, rad/s², N m, [N, n]; 0 for locked joints'
            velocity.
        arm_latency, gripper_latency: control steps until a command acts, int64 [N].
        arm_noise: standard deviation of velocity commands, as a share of them, [N].
        sensor_q, sensor_qd, sensor_ball_position, sensor_ball_velocity: standard deviations of readings, rad,
            rad/s, m, m/s, [N].
        seed: of the throw's noise, int64 [N], below 2⁵³ (a double holds it).
    """

    gravity: Tensor
    ball_mass: Tensor
    ball_radius: Tensor
    ball_drag: Tensor
    payload: Tensor
    velocity: Tensor
    acceleration: Tensor
    effort: Tensor
    arm_latency: Tensor
    gripper_latency: Tensor
    arm_noise: Tensor
    sensor_q: Tensor
    sensor_qd: Tensor
    sensor_ball_position: Tensor
    sensor_ball_velocity: Tensor
    seed: Tensor

    def __len__(self) -> int:
        return self.seed.shape[0]

    @property
    def drag(self) -> Tensor:
        """Deceleration of the ball per squared speed, 1/m, [N]."""
        drag: Tensor = drag_per_squared_speed(self.ball_drag, self.ball_radius, self.ball_mass)
        return drag

    def of(self, key: str, world: World) -> Tensor:
        """What was drawn for a World key, [N]; of shares of the joints' limits, [N, n]."""
        name = FIELD.get(key, key.replace(".", "_"))
        values: Tensor = getattr(self, name)
        if key in SCALES:
            limits = {"velocity": world.robot.velocity, "acceleration": world.robot.acceleration}
            values = values / torch.as_tensor(limits.get(name, world.robot.effort)).to(values)
            return values[:, torch.from_numpy(~world.locked)]
        return values

    def packed(self) -> Tensor:
        """All fields side by side, float64 [N, F], for a pipe or shared memory; `unpack` undoes it."""
        columns = [getattr(self, f.name).double() for f in fields(self)]
        return torch.cat([c if c.dim() == 2 else c[:, None] for c in columns], -1)

    @classmethod
    def unpack(cls, packed: Tensor, n: int) -> Conditions:
        """Conditions of an arm of n joints from what `packed` gave."""
        names = [f.name for f in fields(cls)]
        parts = packed.split([n if name in PER_JOINT else 1 for name in names], -1)
        values = {k: p if k in PER_JOINT else p[:, 0] for k, p in zip(names, parts, strict=True)}
        return cls(**{k: v.long() if k in WHOLE else v for k, v in values.items()})


def draw_conditions(world: World, count: int, generator: torch.Generator | None = None) -> Conditions:
    """Conditions of `count` throws, drawn as the world's ranges say, on the CPU.

    Each key has draws of its own in a fixed order, so a range added to one key changes no other key's draws.
    """
    settings, robot = world.settings, world.robot
    n = robot.n

    def unit(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator, dtype=torch.float64)

    def uniform(key: str) -> Tensor:
        low, high = ends(value_of(settings, key))
        return low + (high - low) * unit()

    def whole(key: str) -> Tensor:
        low, high = ends(value_of(settings, key))
        return low + (unit() * (high - low + 1)).long().clamp_max(int(high - low))

    def scale(key: str) -> Tensor:
        scales: Scales = value_of(settings, key)
        low, high = torch.from_numpy(joint_ends(scales, n))
        draws = unit(n)
        return low + (high - low) * (draws[:, :1] if shared(scales, n) else draws)

    ranges = {key: uniform(key) for key in RANGES}
    steps = {key: whole(key) for key in STEPS}
    velocity, acceleration, effort = (scale(key) for key in SCALES)
    moving = torch.from_numpy(~world.locked)
    return Conditions(
        gravity=ranges["gravity"],
        ball_mass=ranges["ball.mass"],
        ball_radius=ranges["ball.radius"],
        ball_drag=ranges["ball.drag"],
        payload=ranges["arm.payload"],
        velocity=velocity * torch.from_numpy(robot.velocity) * moving,
        acceleration=acceleration * torch.from_numpy(robot.acceleration),
        effort=effort * torch.from_numpy(robot.effort),
        arm_latency=steps["arm.latency"],
        gripper_latency=steps["gripper.latency"],
        arm_noise=ranges["arm.noise"],
        sensor_q=ranges["sensors.q"],
        sensor_qd=ranges["sensors.qd"],
        sensor_ball_position=ranges["sensors.ball_position"],
        sensor_ball_velocity=ranges["sensors.ball_velocity"],
        seed=torch.randint(2**53, (count,), generator=generator),
    )
