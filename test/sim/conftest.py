"""Open-loop throws, shared by the tests of both worlds."""

from __future__ import annotations

import pytest
import torch

from irl_ros.sim import Conditions, Throws, World, throw


class OpenLoop:
    """Actions prepared beforehand, thrown in any simulator."""

    def smooth_and_white(self, world: World, count: int, seed: int = 0) -> torch.Tensor:
        """Random actions [count, T, n + 1], float64: half waves, half white; each lets go at its own time."""
        draw = torch.Generator().manual_seed(seed)
        n, steps = world.robot.n, torch.arange(world.horizon, dtype=torch.float64)[:, None]

        def uniform(*shape: int) -> torch.Tensor:
            return torch.rand(*shape, generator=draw, dtype=torch.float64)

        waves = uniform(count, 1, n) * torch.sin(
            0.3 * uniform(count, 1, n) * steps + 6.3 * uniform(count, 1, n)
        )
        white = 2 * uniform(count, world.horizon, n) - 1
        joints = torch.where(torch.arange(count)[:, None, None] % 2 == 0, waves, white)
        release = torch.randint(3, 25, (count, 1), generator=draw)
        return torch.cat((joints, torch.where(steps[:, 0] >= release, 1.0, -1.0)[..., None]), -1)

    def throw(
        self,
        simulator,
        actions: torch.Tensor,
        targets: torch.Tensor,
        chunk: int = 1000,
        conditions: Conditions | None = None,
    ) -> Throws:
        """Throws `actions` [N, T, n + 1] at `targets` [N, 3] under `conditions` [N], `chunk` at a time."""
        parts = []
        for i in range(0, len(actions), chunk):
            upcoming = iter(actions[i : i + chunk].unbind(1))
            given = None if conditions is None else conditions[i : i + chunk]
            parts.append(
                throw(simulator, lambda state, u=upcoming: next(u), targets[i : i + chunk], None, given)
            )
        return Throws.cat(parts)


@pytest.fixture
def open_loop() -> OpenLoop:
    return OpenLoop()
