"""How N arms answer velocity commands over a control step, in torch: torque-limited or ideal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from irl_ros.robots.dynamics import Dynamics
from irl_ros.robots.robot import Robot
from irl_ros.robots.urdf import MOVING
from irl_ros.sim.arm_step import ArmStep, Load
from irl_ros.sim.conditions import Conditions
from irl_ros.sim.reference import Reference
from irl_ros.sim.world import World
from irl_ros.sim.world_settings import ends


@dataclass(frozen=True)
class ArmMotion:
    """What N arms did in a control step.

    Attributes:
        q, qd: joint motion at its end, rad and rad/s, [N, n].
        tool, tool_velocity: m and m/s, [N, 3].
        clipped: physics steps in which a torque was clipped, [N]; NaN for an ideal arm.
        violated: a joint was outside its limits at the end, 0 or 1, [N].
    """

    q: Tensor
    qd: Tensor
    tool: Tensor
    tool_velocity: Tensor
    clipped: Tensor
    violated: Tensor


class ArmResponse:
    """N arms under the servo of BulletWorld: `Reference` while torque suffices, `ArmStep` where it does not.

    Args:
        world: robot, limits, time steps.
        device, dtype: of the tensors it will be given.
        ideal: the torque is boundless: pure kinematics, no saturation counted.
    """

    def __init__(self, world: World, device: torch.device, dtype: torch.dtype, ideal: bool = False) -> None:
        self.world, self.device, self.dtype, self.ideal = world, device, dtype, ideal
        self.kinematics = world.robot.kinematics(device, dtype)
        self._step = None if ideal else ArmStep(Dynamics(world.robot))
        self.begin(None)

    def begin(self, conditions: Conditions | None) -> None:
        """Take on the limits and loads that N throws drew; None: the world's own."""
        world, drawn = self.world, conditions
        self.reference = Reference(world, self.device, self.dtype, drawn)
        arm = world.settings.arm
        locked = world.locked
        effort = world.effort if drawn is None else drawn.effort
        stops = joint_stops(world.robot)
        self._load = {
            "effort": self._joints(effort).masked_fill(self._joints(locked) > 0, torch.inf),
            "locked": self._joints(locked),
            "least": self._joints(stops[0]),
            "most": self._joints(stops[1]),
            "payload": self._joints(ends(arm.payload)[0] if drawn is None else drawn.payload[:, None]),
            "gravity": self._joints(
                ends(world.settings.gravity)[0] if drawn is None else drawn.gravity[:, None]
            ),
        }

    @property
    def constants(self) -> dict[str, Tensor]:
        """Limits and loads, [k] of all throws or [N, k] of each, as `throw_layout` names them."""
        limits, world = self.reference.limits, self.world
        names = ("full", "velocity", "acceleration", "lower", "upper")
        steps = {"h": world.physics_dt, "rate": 1.0 / world.physics_dt, "period": world.dt}
        return {
            **{name: getattr(limits, name) for name in names},
            **self._load,
            **{name: self._joints(x) for name, x in steps.items()},
        }

    def _joints(self, x: Any) -> Tensor:
        """[n] or [1], or [N, n] or [N, 1] of what throws drew."""
        return torch.atleast_1d(torch.as_tensor(x, dtype=self.dtype, device=self.device))

    def advance(self, q: Tensor, qd: Tensor, action: Tensor) -> ArmMotion:
        """Motion over one control step from q, qd [N, n] under the joint part of an action [N, n]."""
        if self.ideal:
            after, speed = self.reference.advance(q, qd, action)
            clipped = torch.full_like(q[:, 0], torch.nan)
        else:
            after, speed, clipped = self._driven(q, qd, action)
        tool, velocity = self.kinematics.tool_motion(after, speed)
        violated = self.reference.violations(after, speed, qd).to(q)
        return ArmMotion(after, speed, tool, velocity, clipped, violated)

    def _driven(self, q: Tensor, qd: Tensor, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Motion of a torque-limited arm and the number of clipped physics steps, in torch.

        The reference motion is checked in all physics steps at once; throws it does not suit go step by step.
        """
        assert self._step is not None
        reference = self.reference
        aims = reference.velocities(qd, reference.command(q, qd, action))
        before = torch.cat((qd[:, None], aims[:, :-1]), 1)
        places = q[:, None] + reference.h * (aims.cumsum(1) - aims)
        load = {name: x[..., None, :] if x.dim() == 2 else x for name, x in self._load.items()}
        q_at, qd_at, aim = _components(places), _components(before), _components(aims)
        numbers = self._as_load(load, aims[..., 0])
        weak = self._step.weak(self._step.servo(q_at, qd_at, aim, numbers), numbers)
        trouble = (weak | self._step.kept(q_at, aim, numbers)).any(1).nonzero().flatten()
        after, speed = q + reference.h * aims.sum(1), aims[:, -1]
        clipped = torch.zeros_like(q[:, 0])
        if len(trouble):
            load = {name: x[trouble] if x.dim() == 2 else x for name, x in self._load.items()}
            found = self._step_by_step(q[trouble], qd[trouble], aims[trouble], load)
            after, speed, clipped = (
                x.index_copy(0, trouble, y) for x, y in zip((after, speed, clipped), found, strict=True)
            )
        return after, speed, clipped

    def _step_by_step(
        self, q: Tensor, qd: Tensor, aims: Tensor, load: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        assert self._step is not None
        step, numbers, clipped = self._step, self._as_load(load, q[:, 0]), torch.zeros_like(q[:, 0])
        for aim in aims.unbind(1):
            places, goal = _components(q), _components(aim)
            torque = step.servo(places, _components(qd), goal, numbers)
            weak, beyond = step.weak(torque, numbers), step.kept(places, goal, numbers)
            mass, impulse, velocity, stop = step.yielding(places, goal, torque, numbers)
            if bool(stop.any()):
                held = step.stopped(places, goal, mass, impulse, velocity, numbers)
                velocity = [torch.where(stop, x, y) for x, y in zip(held, velocity, strict=True)]
            qd = torch.where((weak | beyond)[:, None], torch.stack(velocity, -1), aim)
            q = q + self.reference.h * qd
            clipped = clipped + weak
        return q, qd, clipped

    def _as_load(self, load: dict[str, Tensor], like: Tensor) -> Load:
        joint = {k: x.unbind(-1) for k, x in load.items()}
        return Load(
            joint["effort"],
            joint["locked"],
            joint["least"],
            joint["most"],
            joint["payload"][0],
            joint["gravity"][0],
            self.reference.h,
            1.0 / self.reference.h,
            torch.zeros_like(like),
        )


def joint_stops(robot: Robot) -> np.ndarray:
    """Ends of the joints' travel as the URDF has them, where the joints stop hard, rad or m, [2, n]."""
    moving = [joint for joint in robot.chain if joint.kind in MOVING]
    return np.array([[joint.lower for joint in moving], [joint.upper for joint in moving]])


def _components(x: Tensor) -> Sequence[Tensor]:
    """The last dimension's entries, each contiguous: what follows works on them one by one."""
    return x.movedim(-1, 0).contiguous().unbind(0)
