"""What a linear-Gaussian controller works on, and how actions are spread when nobody wants anything."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import singledispatch

import torch
from torch import Tensor

from irl_ros.rl.linear_gaussian import LinearGaussian
from irl_ros.rl.observation import HELD
from irl_ros.rl.task import Trajectories
from irl_ros.rl.throw_task import ThrowTask

LEAST_STD = 0.02
"""Of the passive controller, shares of a joint's velocity limit: a joint no one moved may still be moved."""


@dataclass(frozen=True)
class ControlView:
    """Observation [..., D] and action [..., A] → state x, motion u, release and step t, float64.

    Attributes:
        entries: of the observation that make x.
        cost: entries of x (not of the observation) that a cost may depend on beside time.
        passive: p₀(u | x) before any sample is seen, without a time dimension.
        horizon: T.
        release: the action's last entry opens a hand, once; otherwise all entries are motion.
    """

    entries: tuple[int, ...]
    cost: tuple[int, ...]
    passive: LinearGaussian
    horizon: int
    release: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Entries of x and of u."""
        return self.passive.gain.shape[-1], self.passive.gain.shape[-2]

    def x(self, observation: Tensor) -> Tensor:
        """x, [..., n]."""
        return observation[..., self.entries].double()

    def u(self, action: Tensor) -> Tensor:
        """The motion in an action, [..., m]."""
        return (action[..., :-1] if self.release else action).double()

    def released(self, action: Tensor) -> Tensor:
        """The action opens the hand, bool [...]."""
        return action[..., -1] > 0

    def held(self, observation: Tensor) -> Tensor:
        """The controller is at work: there is no ball, or it is still in hand; bool [...]."""
        if not self.release:
            return torch.ones_like(observation[..., 0], dtype=torch.bool)
        return observation[..., HELD] > 0

    def step(self, observation: Tensor) -> Tensor:
        """t, from the phase 2 t/T − 1 that an observation ends with, [...]."""
        phase = 0.5 * observation[..., -1] + 0.5
        return (phase * self.horizon).round().long().clamp(0, self.horizon - 1)


@dataclass(frozen=True)
class ThrowView(ControlView):
    """Joints, target and the miss of letting go now, the last two in polar coordinates about the base.

    In these a turn of the arm and a stronger throw are each the same for every target, so that one linear
    controller can serve them all.

    Attributes:
        mean, scale: of target and miss in the observation, [5].
        polar_mean, polar_scale: of radius, azimuth and their misses, [4].
    """

    mean: Tensor = field(default_factory=lambda: torch.zeros(5))
    scale: Tensor = field(default_factory=lambda: torch.ones(5))
    polar_mean: Tensor = field(default_factory=lambda: torch.zeros(4))
    polar_scale: Tensor = field(default_factory=lambda: torch.ones(4))

    def x(self, observation: Tensor) -> Tensor:
        """q, q̇, radius and azimuth of the target, radial and angular miss, all scaled, [..., 2n + 4]."""
        joints = observation[..., : self.entries[0]].double()
        return torch.cat((joints, (self.polar(observation) - self.polar_mean) / self.polar_scale), -1)

    def polar(self, observation: Tensor) -> Tensor:
        """Radius (m) and azimuth (rad) of the target, and how far off letting go now would be, [..., 4]."""
        seen = observation[..., self.entries].double() * self.scale + self.mean
        target, landing = seen[..., :2], seen[..., :2] + seen[..., 3:]
        radius, azimuth = target.norm(dim=-1), torch.atan2(target[..., 1], target[..., 0])
        angle = torch.atan2(landing[..., 1], landing[..., 0]) - azimuth
        angle = torch.atan2(angle.sin(), angle.cos())
        return torch.stack((radius, azimuth, landing.norm(dim=-1) - radius, angle), -1)


@singledispatch
def control_view(task: object, demonstrations: Trajectories) -> ControlView:
    """The view of a task. One that has none of its own is seen whole, its motion spread around 0.

    Args:
        task: what is controlled.
        demonstrations: tell how much is moved, and scale what is seen.
    """
    size = demonstrations.observations.shape[-1] - 1  # without the phase
    motion = demonstrations.actions.double()
    passive = LinearGaussian(motion.new_zeros(motion.shape[-1], size), *_spread(motion))
    every = tuple(range(size))
    return ControlView(every, every, passive, motion.shape[1])


@control_view.register
def _(task: ThrowTask, demonstrations: Trajectories) -> ControlView:
    """Joints left alone keep their velocity, jittering: changing a velocity is what costs effort.

    This takes the place of the paper's torque penalty ½ w ‖u‖², on an arm that is given velocities.
    """
    n = task.simulator.world.robot.n
    target, miss = 2 * n, 2 * n + 9
    entries = (target, target + 1, target + 2, miss, miss + 1)
    scaling = task.observation
    gain = torch.zeros(n, 2 * n + 4, dtype=torch.float64, device=task.device)
    joints = torch.arange(n)
    gain[joints, n + joints] = scaling.scale[n : 2 * n].double()
    bias = scaling.mean[n : 2 * n].double()
    seen = demonstrations.observations[:, :-1]
    moving = seen[..., n : 2 * n].double() * scaling.scale[n : 2 * n] + bias
    passive = LinearGaussian(gain, bias, _spread(demonstrations.actions[..., :-1].double() - moving)[1])
    chosen = list(entries)
    view = ThrowView(
        entries,
        cost=(2 * n + 2, 2 * n + 3),
        passive=passive,
        horizon=task.horizon,
        release=True,
        mean=scaling.mean[chosen].double(),
        scale=scaling.scale[chosen].double(),
    )
    polar = view.polar(seen).flatten(0, 1)
    return replace(view, polar_mean=polar.mean(0), polar_scale=polar.std(0).clamp_min(0.05))


def _spread(motion: Tensor) -> tuple[Tensor, Tensor]:
    """Mean 0 and the most likely diagonal covariance of motions [N, T, m]."""
    variance = motion.square().mean((0, 1)).clamp_min(LEAST_STD**2)
    return torch.zeros_like(variance), torch.diag(variance)
