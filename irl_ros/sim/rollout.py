"""Simulator: the interface both worlds share, and whole throws from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from irl_ros.sim.state import Outcome, State, Throws
from irl_ros.sim.world import World


class Simulator(Protocol):
    """A throw world: BatchWorld takes any N, BulletWorld N = 1. Shapes as in BatchWorld."""

    world: World
    device: torch.device

    def reset(self, targets: Tensor, start: tuple[Tensor, Tensor] | None = None) -> State: ...

    def step(self, action: Tensor) -> State: ...

    def outcome(self) -> Outcome: ...


def throw(
    simulator: Simulator,
    policy: Callable[[State], Tensor],
    targets: Tensor,
    start: tuple[Tensor, Tensor] | None = None,
) -> Throws:
    """Whole throws at `targets` [N, 3] by `policy`, which maps a State to actions [N, n + 1].

    Returns:
        Throws with states [N, T + 1] and actions [N, T, n + 1].
    """
    states = [simulator.reset(targets, start)]
    actions = []
    with torch.no_grad():
        for _ in range(simulator.world.horizon):
            action = policy(states[-1])
            actions.append(action)
            states.append(simulator.step(action))
    return Throws(State.stack(states, 1), torch.stack(actions, 1), simulator.outcome())
