"""Throws in lock-step as reinforcement learning sees them: what ThrowEnv and ThrowVectorEnv share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from irl_ros.errors import InputError, unknown_name
from irl_ros.sim.batch_world import BatchWorld
from irl_ros.sim.bullet_world import BulletWorld
from irl_ros.sim.pool import BulletPool
from irl_ros.sim.reference import Flight
from irl_ros.sim.state import Outcome, State
from irl_ros.sim.state_vector import state_bounds, state_vector
from irl_ros.sim.world import World, load_world

SIMULATORS = ("batch", "pybullet")
HIT = 0.10
"""A throw that lands within this is a success, m."""
Reward = Callable[[State, Tensor, State], Tensor]
"""State before a step [N], action [N, n + 1] and state after it → reward of the step [N]."""


class ThrowEpisodes:
    """N throws from home, each `horizon` steps long, none of which ends earlier.

    Args:
        world: name, YAML path, mapping of keys, or World.
        count: N.
        sim: "batch" or "pybullet".
        reward: "true" (the task's own, in [−1.1, 0] a step), or a RUN folder: the reward learned there.
        device: of the batched world and of all tensors.

    Attributes:
        observation_space, action_space: of one throw.

    Raises:
        InputError: an unknown world, simulator or reward.
    """

    def __init__(
        self,
        world: str | Path | dict | World,
        count: int,
        sim: str = "batch",
        reward: str | Path = "true",
        device: torch.device | str = "cpu",
    ) -> None:
        if sim not in SIMULATORS:
            raise InputError("sim", *unknown_name("simulator", sim, SIMULATORS))
        if sim == "pybullet" and torch.device(device).type != "cpu":
            raise InputError("device", "PyBullet throws on the CPU", "use cpu, or sim batch")
        self.world = world if isinstance(world, World) else load_world(world)
        self.count, self.sim, self.device = count, sim, torch.device(device)
        self._reward = _reward_of(reward, self.world, self.device)
        self._flight, self._simulator, self._step = Flight(self.world), self._start(), 0
        self._closed = False
        self._velocity = torch.as_tensor(self.world.robot.velocity, dtype=torch.float32, device=self.device)
        low, high = state_bounds(self.world)
        self._low, self._high = (torch.from_numpy(x).to(self.device) for x in (low, high))
        self.observation_space = spaces.Box(low, high, dtype=np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (self.world.action_dim,), np.float32)

    @property
    def over(self) -> bool:
        """Whether the episodes have come to their end."""
        return self._step >= self.world.horizon

    @property
    def state(self) -> State:
        """The latest state, as it is, leading shape [N]."""
        return self._state

    def reset(self, generator: torch.Generator, target: Tensor | None = None) -> Tensor:
        """Begin; observations float32 [N, 2n + 14].

        Args:
            generator: draws targets, and whatever else the world draws.
            target: m, [3], for every throw, in place of what the world draws.
        """
        count = self.count
        targets = self.world.sample_targets(count, generator) if target is None else target.expand(count, 3)
        self._step = 0
        self._state = self._simulator.reset(
            targets, conditions=self.world.sample_conditions(count, generator)
        )
        return self._seen()

    @torch.no_grad()
    def step(self, action: Tensor) -> tuple[Tensor, Tensor]:
        """Observations [N, 2n + 14] and rewards [N], float32, after actions [N, n + 1]."""
        before = self._state
        self._state = self._simulator.step(action)
        self._step += 1
        return self._seen(), self._reward(before, action, self._state).to(torch.float32)

    def outcome(self) -> Outcome:
        """What came of the throws."""
        return self._simulator.outcome()

    def close(self) -> None:
        """End what the simulator started; a second time does nothing."""
        if not isinstance(self._simulator, BatchWorld) and not self._closed:
            self._simulator.close()
        self._closed = True

    def _start(self) -> BatchWorld | BulletWorld | BulletPool:
        if self.sim == "batch":
            return BatchWorld(self.world, self.device)
        # processes only pay for many throws
        return BulletWorld(self.world) if self.count == 1 else BulletPool(self.world)

    def _seen(self) -> Tensor:
        vector = state_vector(self._simulator.observed(), self._flight, self._velocity)
        return torch.minimum(torch.maximum(vector, self._low), self._high)


def _reward_of(reward: str | Path, world: World, device: torch.device) -> Reward:
    # rewards stand further down the house; who asks for an environment has them
    from irl_ros.rewards.reward import load_reward
    from irl_ros.rewards.true_reward import TrueReward

    if reward == "true":
        true = TrueReward(world)
        return lambda before, action, after: true(after)
    learned = load_reward(reward, world, device)
    if learned.sees_action:
        return lambda before, action, after: learned(before, action)
    return lambda before, action, after: learned(after)
