"""What a policy or a value function is shown of a State: one vector, scaled once and never again."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from irl_ros.sim.reference import Flight
from irl_ros.sim.state import State
from irl_ros.sim.state_vector import state_vector
from irl_ros.sim.world import World

HELD = -3
"""Where the held flag stands: above 0 while the ball is in hand, scaled or not."""


class Observation(nn.Module):
    """State → vector [..., size], standardised by a frozen mean and scale.

    Entries: q, q̇ (share of the velocity limit), target and ball position, ball velocity, where the ball
    would land if let go now relative to the target, held, landed, phase. Scaling is frozen from the first
    throws seen and saved with the network: running statistics would move under a trained network and tell
    expert from learner.

    Args:
        world: gives joint limits and the flight rule.
    """

    mean: Tensor
    scale: Tensor
    velocity: Tensor

    def __init__(self, world: World) -> None:
        super().__init__()
        self.flight = Flight(world)
        n = world.robot.n
        self.size = 2 * n + 3 + 3 + 3 + 2 + 3
        self.register_buffer("mean", torch.zeros(self.size))
        self.register_buffer("scale", torch.ones(self.size))
        velocity = torch.as_tensor(world.robot.velocity, dtype=torch.float32)
        self.register_buffer("velocity", velocity, persistent=False)

    def raw(self, s: State) -> Tensor:
        """The entries before scaling, float32 [..., size]."""
        return state_vector(s, self.flight, self.velocity)

    def freeze(self, states: State) -> None:
        """Set the scaling from states of any leading shape, once."""
        raw = self.raw(states).reshape(-1, self.size)
        self.mean.copy_(raw.mean(0))
        # a constant entry (a fixed target height, a joint nobody moves) must not blow up when it moves later
        self.scale.copy_(raw.std(0).clamp_min(0.1))
        self.mean[HELD:], self.scale[HELD:] = 0.5, 0.5

    def forward(self, s: State) -> Tensor:
        return ((self.raw(s) - self.mean) / self.scale).clamp(-6.0, 6.0)
