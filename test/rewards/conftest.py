"""A world and states of whole throws in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from irl_ros.sim import BatchWorld, Throws, World, load_world, throw
from irl_ros.sim.state import State


@pytest.fixture(autouse=True)
def one_thread_and_seed() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def world() -> World:
    return load_world()


@pytest.fixture(scope="session")
def thrown(world: World) -> Throws:
    """32 throws of random swings; they let go at different times, two never."""
    generator = torch.Generator().manual_seed(3)
    speed = 2 * torch.rand(32, world.robot.n, generator=generator) - 1
    when = 0.05 + 0.4 * torch.rand(32, generator=generator)
    when[:2] = 2.0

    def swing(state: State) -> torch.Tensor:
        opens = torch.where(state.phase > when, 1.0, -1.0)
        return torch.cat((speed, opens[:, None]), -1)

    return throw(BatchWorld(world), swing, world.sample_targets(32, generator))
