"""Between policy and world: commands that act late and inexactly, readings that are not the truth.

A throw's noise is a function of its seed, the step and the channel, not of a stream of random numbers: it is
the same in every world, on every device, and however throws are spread over batches and processes.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from irl_ros.sim.conditions import Conditions
from irl_ros.sim.state import State

HAND, EYE = 0, 1
"""Kinds of noise, so that a throw's commands and readings are not disturbed alike."""
MOST_CHANNELS = 64
"""Of one kind of noise in one step."""
READ = ("q", "qd", "ball_position", "ball_velocity")
"""Fields of a State that sensors read, each with a Conditions field `sensor_<name>`."""


class Actuators:
    """What acts of what is commanded.

    Args:
        conditions: latencies and noise of N throws, on the device of the actions.
    """

    def __init__(self, conditions: Conditions) -> None:
        self._conditions, self._step = conditions, 0
        self._latest = int(torch.maximum(conditions.arm_latency, conditions.gripper_latency).max())
        self._noisy = bool((conditions.arm_noise > 0).any())
        self._commands: list[Tensor] = []

    def __call__(self, action: Tensor) -> Tensor:
        """What acts in this control step, [N, n + 1], given what is commanded in it.

        Before the first command comes through, the arm stands still and the gripper is closed.
        """
        acting = self._delayed(action) if self._latest else action
        if self._noisy:
            c = self._conditions
            noise = normal(c.seed, self._step, HAND, action.shape[-1] - 1).to(action)
            joints = acting[..., :-1].clamp(-1.0, 1.0) * (1.0 + c.arm_noise.to(action)[:, None] * noise)
            acting = torch.cat((joints, acting[..., -1:]), -1)
        self._step += 1
        return acting

    def _delayed(self, action: Tensor) -> Tensor:
        size = self._latest + 1
        if not self._commands:
            nothing = torch.zeros_like(action)
            nothing[..., -1] = -1.0
            self._commands = [nothing] * size
        self._commands = [action, *self._commands[:-1]]
        history = torch.stack(self._commands)  # [size, N, n + 1], the newest first
        row = torch.arange(len(action), device=action.device)
        joints = history[self._conditions.arm_latency, row][..., :-1]
        return torch.cat((joints, history[self._conditions.gripper_latency, row][..., -1:]), -1)


class Readings:
    """What sensors show of the true state.

    Args:
        conditions: noise of N throws, on the device of the states.
    """

    def __init__(self, conditions: Conditions) -> None:
        self._seed = conditions.seed
        sizes = {name: getattr(conditions, f"sensor_{name}") for name in READ}
        self._sizes = {name: size for name, size in sizes.items() if bool((size > 0).any())}

    def __call__(self, state: State, step: int) -> State:
        """State [N] as it is read at a control step; what no sensor disturbs is the state's own."""
        read = {}
        for name, size in self._sizes.items():
            true = getattr(state, name)
            noise = normal(self._seed, step, EYE + READ.index(name), true.shape[-1]).to(true)
            read[name] = true + size.to(true)[:, None] * noise
        return dataclasses.replace(state, **read)


def normal(seed: Tensor, step: int, kind: int, count: int) -> Tensor:
    """Standard normal numbers [N, count], float64, that depend on nothing but the arguments.

    Args:
        seed: int64 [N].
        step: control step.
        kind: HAND, or EYE + number of the reading.
        count: how many each.
    """
    channel = torch.arange(2 * count, device=seed.device).reshape(2, 1, count)
    place = (step * 8 + kind) * 2 * MOST_CHANNELS + channel
    bits = _scrambled(_scrambled(seed[:, None] + 1) ^ _scrambled(place))
    uniform = ((bits >> 11) & (2**53 - 1)).double().add(0.5) * 2.0**-53
    radius = (-2.0 * uniform[0].log()).sqrt()
    return radius * (2.0 * math.pi * uniform[1]).cos()


def _scrambled(x: Tensor) -> Tensor:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014), on int64 that wraps around."""
    x = x * -7046029254386353131  # 0x9E3779B97F4A7C15
    x = (x ^ ((x >> 30) & (2**34 - 1))) * -4658895280553007687  # 0xBF58476D1CE4E5B9
    x = (x ^ ((x >> 27) & (2**37 - 1))) * -7723592293110705685  # 0x94D049BB133111EB
    return x ^ ((x >> 31) & (2**33 - 1))
