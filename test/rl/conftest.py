"""A world, whole throws of an untrained policy in it, and one thread."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from irl_ros.rewards.features import Features
from irl_ros.rl.policy import Policy
from irl_ros.rl.throw_task import ThrowTask
from irl_ros.sim import BatchWorld, State, Throws, World, load_world, throw


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
    """Sixteen throws of random swings, all let go at some time."""
    generator = torch.Generator().manual_seed(3)
    speed = 2 * torch.rand(16, world.robot.n, generator=generator) - 1

    def swing(state: State) -> torch.Tensor:
        opens = torch.where(state.phase > 0.2, 1.0, -1.0)
        return torch.cat((speed, opens[:, None]), -1)

    return throw(BatchWorld(world), swing, world.sample_targets(16, generator))


@pytest.fixture
def policy(world: World, thrown: Throws) -> Policy:
    """A policy with weights that make its actions depend on what it sees."""
    made = Policy(world)
    made.observation.freeze(thrown.states)
    with torch.no_grad():
        made.net[-1].weight.normal_(0.0, 0.3)
        made.log_std.uniform_(-2.0, -0.5)
    return made


@pytest.fixture
def task(world: World, policy: Policy) -> ThrowTask:
    return ThrowTask(BatchWorld(world), policy.observation, Features(world))
