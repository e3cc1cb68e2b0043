"""Demonstrations of the synthetic operator, as throws and as bags, and settings that learn in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from irl_ros.demos.operator import demonstrate
from irl_ros.demos.throws_bag import write_throws
from irl_ros.irl.learn import learn
from irl_ros.irl.run_directory import RunDirectory
from irl_ros.rewards.features import Features
from irl_ros.rl.agent import Agent
from irl_ros.rl.gaussian_agent import GaussianAgent
from irl_ros.rl.mlp_agent import AgentSettings
from irl_ros.rl.policy import Policy
from irl_ros.rl.task import Rollout, Trajectories
from irl_ros.rl.throw_task import ThrowTask
from irl_ros.sim import BatchWorld, Throws, World, load_world

QUICK = (
    "bc.steps=60",
    "bc.batch=64",
    "airl.iterations=4",
    "airl.least=99",
    "airl.head_start=1",
    "airl.keep_every=2",
    "airl.discriminator_steps=3",
    "airl.batch=64",
    "airl.sampler_episodes=8",
    "airl.ppo.episodes=16",
    "airl.ppo.epochs=1",
    "polish.iterations=2",
    "polish.ppo.episodes=16",
    "polish.ppo.epochs=1",
    "trainer.checkpoint_every=2",
)
"""Every stage runs and nothing gets good: six rounds, checkpoints after rounds 2, 4 and 6."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Results to the last bit ask for one order of summation; and two cores are shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def world() -> World:
    return load_world()


@pytest.fixture(scope="session")
def operator_throws(world: World) -> Throws:
    """Twenty throws of a fallible person; some miss."""
    torch.set_num_threads(1)  # wider fixtures are made before one_thread
    return demonstrate(world, episodes=20, seed=0)


@pytest.fixture(scope="session")
def task_of() -> Callable[[Policy], ThrowTask]:
    """The throw, in the batched world, as a policy sees it."""

    def make(policy: Policy) -> ThrowTask:
        return ThrowTask(BatchWorld(policy.world), policy.observation, Features(policy.world))

    return make


@pytest.fixture(scope="session")
def bags(operator_throws: Throws, world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four of them as rosbag2 folders. Nobody may change them."""
    folder = tmp_path_factory.mktemp("bags")
    write_throws(folder, world, operator_throws[:4])
    return folder


@pytest.fixture
def quick() -> tuple[str, ...]:
    return QUICK


@pytest.fixture(scope="session")
def uninterrupted(bags: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed. Nobody may change it."""
    torch.set_num_threads(1)
    return learn([bags], tmp_path_factory.mktemp("runs") / "uninterrupted", device="cpu", overrides=QUICK)


@pytest.fixture
def interrupt_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """interrupt_after(k): Ctrl-C arrives when the metrics of round k have been written."""

    def arm(rounds: int) -> None:
        write = RunDirectory.append_metrics

        def append_metrics(self: RunDirectory, line: dict[str, object]) -> None:
            write(self, line)
            if line["iteration"] == rounds:
                monkeypatch.setattr(RunDirectory, "append_metrics", write)
                raise KeyboardInterrupt

        monkeypatch.setattr(RunDirectory, "append_metrics", append_metrics)

    return arm


class LineTask:
    """A point on a line: from x = 0, x' = x + a for T steps. A `Task` on which answers are known.

    Observations are [x, 2 t/T − 1]; features are [x].
    """

    device = torch.device("cpu")

    def __init__(self, horizon: int) -> None:
        self.horizon = horizon

    def episodes(self, start: Tensor, act: Callable[[Tensor], Tensor]) -> Trajectories:
        """Episodes from x [N] of a rule: observations [N, 2] → actions [N, 1]."""
        x, seen, actions = start, [], []
        for t in range(self.horizon + 1):
            seen.append(torch.stack((x, torch.full_like(x, 2 * t / self.horizon - 1)), -1))
            if t < self.horizon:
                actions.append(act(seen[-1]))
                x = x + actions[-1][:, 0]
        observations = torch.stack(seen, 1)
        return Trajectories(observations, observations[..., :1], torch.stack(actions, 1))

    @torch.no_grad()
    def rollout(self, policy: Agent, episodes: int) -> Rollout:
        made = self.episodes(torch.zeros(episodes), policy.sample)
        return Rollout(made, policy.log_prob(made.observations[:, :-1], made.actions))

    def shaping(self, rollout: Rollout, reward: object, gamma: float) -> Tensor:
        return torch.zeros_like(rollout.log_prob)

    def background(self, policy: GaussianAgent) -> list[GaussianAgent]:
        return [policy.noisier(3.0), policy.aimless()]

    def practice(self, policy: Agent) -> dict[str, float]:
        """Where the deterministic policy ends."""
        with torch.no_grad():
            return {"end": float(self.episodes(torch.zeros(1), policy.mode).features[0, -1, 0])}


@pytest.fixture
def line_task() -> Callable[[int], LineTask]:
    """line_task(T): a point on a line, for T steps."""
    return LineTask


class PointTask:
    """x' = x + 0.3 a, |a| ≤ 1, from x in [−1, 1], and a person who goes to 0.6 and stays there. A `Task`.

    Observations are [x, 2 t/T − 1]; features are [x].
    """

    horizon, device, goal = 12, torch.device("cpu"), 0.6

    def agent(self) -> GaussianAgent:
        return GaussianAgent(2, 1, AgentSettings(hidden=(32,), log_std=-1.0))

    def episodes(self, x: Tensor, act: Callable[[Tensor], Tensor]) -> Trajectories:
        """Episodes from x [N] of a rule: observations [N, 2] → actions [N, 1]."""
        seen, actions = [self.see(x, 0)], []
        for t in range(self.horizon):
            actions.append(act(seen[-1]))
            x = x + 0.3 * actions[-1][:, 0].clamp(-1, 1)
            seen.append(self.see(x, t + 1))
        observations = torch.stack(seen, 1)
        return Trajectories(observations, observations[..., :1], torch.stack(actions, 1))

    @torch.no_grad()
    def rollout(self, policy: Agent, episodes: int) -> Rollout:
        made = self.episodes(2 * torch.rand(episodes) - 1, policy.sample)
        return Rollout(made, policy.log_prob(made.observations[:, :-1], made.actions))

    def demonstrations(self, episodes: int = 20) -> Trajectories:
        """With a little noise."""

        def act(seen: Tensor) -> Tensor:
            return ((self.goal - seen[:, :1]) / 0.3).clamp(-1, 1) + 0.1 * torch.randn(len(seen), 1)

        return self.episodes(2 * torch.rand(episodes) - 1, act)

    def see(self, x: Tensor, t: int) -> Tensor:
        return torch.stack((x, torch.full_like(x, 2 * t / self.horizon - 1)), -1)

    def shaping(self, rollout: Rollout, reward: object, gamma: float) -> Tensor:
        return torch.zeros_like(rollout.log_prob)

    def background(self, policy: GaussianAgent) -> list[GaussianAgent]:
        return [policy.noisier(3.0), policy.aimless()]

    def practice(self, policy: Agent) -> dict[str, float]:
        return {"miss": self.miss(policy)}

    @torch.no_grad()
    def miss(self, policy: Agent) -> float:
        """How far from the goal the deterministic policy is in the second half of an episode, on average."""
        made = self.episodes(torch.linspace(-1, 1, 21), policy.mode)
        return float((made.features[:, self.horizon // 2 :, 0] - self.goal).abs().mean())


@pytest.fixture
def point_task() -> PointTask:
    return PointTask()
