"""Potential-based shaping: what may be added to a reward and not change what is optimal (Ng et al. 1999)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from irl_ros.sim.reference import Flight
from irl_ros.sim.state import State
from irl_ros.sim.world import World


class ReleasePotential:
    """Φ(s): what the ball, let go now, would earn by lying where it lands to the end, discounted.

    A throw pays only after it has landed, twenty steps after the motion that decided it, and a policy that
    has never hit finds dropping the ball (or keeping it) better than a bad throw. Since the flight rule is
    known, what letting go now is worth is known in every state; γΦ(s') − Φ(s) pays a swing while it happens.
    Φ is 0 at the end, so over an episode it adds up to −Φ(s_0), whatever was done: the optimal policies are
    those of the reward alone. The flight itself is left out of Φ and landing counts in fractions of a step,
    which keeps Φ smooth. Nor does Φ know a bin's wall, nor what a throw drew of the world's ranges.

    Args:
        world: gives flight rule and horizon.
        reward: State → [...]; evaluated on the landed ball.
        gamma: the RL's discount.
    """

    def __init__(self, world: World, reward: Callable[[State], Tensor], gamma: float) -> None:
        self.world, self.reward, self.gamma = world, reward, gamma
        self.flight = Flight(world)

    def potential(self, s: State) -> Tensor:
        """Φ, [...]; 0 at the end of the episode."""
        steps, place = self.flight.foreseen(s.ball_position, s.ball_velocity, s.target[..., 2])
        wait = torch.where(s.landed, torch.zeros_like(steps), steps / self.flight.steps)
        at_rest = dataclasses.replace(
            s,
            ball_position=torch.where(s.landed[..., None], s.ball_position, place),
            ball_velocity=torch.zeros_like(s.ball_velocity),
            held=torch.zeros_like(s.held),
            landed=torch.ones_like(s.landed),
        )
        left = (self.world.horizon * (1 - s.phase) - wait).clamp_min(0.0)
        if self.gamma < 1:
            left = self.gamma**wait * (1 - self.gamma**left) / (1 - self.gamma)
        return left * self.reward(at_rest)

    @torch.no_grad()
    def __call__(self, states: State) -> Tensor:
        """γΦ(s_{t+1}) − Φ(s_t), [N, T], for states [N, T + 1]."""
        potential = self.potential(states)
        return self.gamma * potential[:, 1:] - potential[:, :-1]
