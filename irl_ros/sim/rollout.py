"""Simulator: the interface both worlds share, and whole throws from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from irl_ros.sim.conditions import Conditions
from irl_ros.sim.state import Outcome, State, Throws
from irl_ros.sim.world import World


class Simulator(Protocol):
    """A throw world. Shapes as in BatchWorld.

    Attributes:
        conditions: what the throws since the last reset are made under; None where the world draws nothing.
    """

    world: World
    device: torch.device
    conditions: Conditions | None

    def reset(
        self,
        targets: Tensor,
        start: tuple[Tensor, Tensor] | None = None,
        conditions: Conditions | None = None,
    ) -> State: ...

    def step(self, action: Tensor) -> State: ...

    def observed(self) -> State:
        """The latest state as sensors show it: what a policy may see. `step` gives the truth."""

    def outcome(self) -> Outcome: ...


def throw(
    simulator: Simulator,
    policy: Callable[[State], Tensor],
    targets: Tensor,
    start: tuple[Tensor, Tensor] | None = None,
    conditions: Conditions | None = None,
) -> Throws:
    """Whole throws at `targets` [N, 3] by `policy`, which maps an observed State to actions [N, n + 1].

    Args:
        simulator: where.
        policy: what throws.
        targets: m, [N, 3].
        start, conditions: as in `BatchWorld.reset`.

    Returns:
        Throws with states [N, T + 1] (the true ones) and actions [N, T, n + 1] (as commanded).
    """
    states = [simulator.reset(targets, start, conditions)]
    actions = []
    with torch.no_grad():
        for _ in range(simulator.world.horizon):
            action = policy(simulator.observed())
            actions.append(action)
            states.append(simulator.step(action))
    return Throws(State.stack(states, 1), torch.stack(actions, 1), simulator.outcome(), simulator.conditions)
