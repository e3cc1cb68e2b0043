"""Policies whose results are known beforehand, and runs as small as they get."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from irl_ros.demos.operator import demonstrate
from irl_ros.demos.throws_bag import write_throws
from irl_ros.irl.learn import learn
from irl_ros.irl.transfer import transfer
from irl_ros.rl.policy import Policy
from irl_ros.sim import World, load_world

TINY = ["bc.steps=50", "airl.iterations=2", "airl.ppo.episodes=16", "airl.sampler_episodes=16"]
TINY += ["airl.discriminator_steps=2", "polish.iterations=1", "polish.ppo.episodes=16"]


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tiny networks: a second thread only gets in the way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def drop_point() -> float:
    """Where a ball let go at home comes down, straight ahead of the robot: m from its base."""
    world = load_world()
    home = torch.as_tensor(world.home, dtype=torch.float64)
    position, _ = world.robot.kinematics(dtype=torch.float64).tool_motion(home, torch.zeros_like(home))
    assert abs(float(position[1])) < 1e-9
    return float(position[0])


@pytest.fixture(scope="session")
def ring() -> Callable[..., World]:
    """ring(first, last, azimuth=0.0, **keys) → a world with targets on a line ahead, turned by `azimuth`."""

    def make(first: float, last: float, azimuth: float = 0.0, **keys: object) -> World:
        target = {"radius": [first, last], "azimuth": [azimuth, azimuth], "height": 0.0}
        return load_world({"target": target, **keys})

    return make


@pytest.fixture
def motionless(tmp_path: Path) -> Callable[..., Path]:
    """motionless(world, lets_go=True) → a RUN whose policy never moves, and lets go at once or never."""

    def save(world: World, lets_go: bool = True, name: str = "run") -> Path:
        policy = Policy(world)
        last = policy.net[-1]
        with torch.no_grad():
            last.weight.zero_()
            last.bias.zero_()
            last.bias[-1] = 10.0 if lets_go else -10.0
        run = tmp_path / name
        run.mkdir(parents=True)
        policy.save(run)
        return run

    return save


@pytest.fixture(scope="session")
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six throws of the synthetic operator, in bags."""
    folder = tmp_path_factory.mktemp("recorded") / "demos"
    world = load_world()
    write_throws(folder, world, demonstrate(world, episodes=6, seed=5))
    return folder


@pytest.fixture(scope="session")
def learned(bags: Path) -> Path:
    return learn(bags, bags.parent / "learned", seed=1, overrides=TINY)


@pytest.fixture(scope="session")
def cloned(bags: Path) -> Path:
    return learn(bags, bags.parent / "cloned", algo="bc", overrides=TINY)


@pytest.fixture(scope="session")
def transferred(learned: Path) -> Path:
    few = ["reoptimise.iterations=2", "reoptimise.ppo.episodes=16"]
    return transfer(learned, "weak_wrist", learned.parent / "transferred", overrides=few)
