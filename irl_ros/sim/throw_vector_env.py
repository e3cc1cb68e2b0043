"""ThrowVectorEnv: N throws at once as a Gymnasium vector environment, on the CPU or a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from irl_ros.sim.throw_env import generator, target_of
from irl_ros.sim.throw_episodes import HIT, ThrowEpisodes
from irl_ros.sim.world import World


class ThrowVectorEnv(VectorEnv):
    """N throws in lock-step; what `gymnasium.make_vec("irl_ros/Throw-v0", num_envs=N)` makes.

    Observations, actions and rewards are as in ThrowEnv, with N in front. All episodes end together, so all
    begin again together: in the step after the last one, whose action is not used (NEXT_STEP).

    With `tensors` everything that `step` takes and gives (observations, rewards, both flags, what info holds)
    is a torch tensor on `device`, and nothing leaves it; else it is a NumPy array, as Gymnasium's wrappers
    expect.

    Args:
        num_envs: N.
        world, sim, reward: as in ThrowEnv.
        device: of the batched world.
        tensors: see above.

    Raises:
        InputError: an unknown world, simulator or reward.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012  Gymnasium reads the class

    def __init__(
        self,
        num_envs: int = 1,
        world: str | Path | dict | World = "default",
        sim: str = "batch",
        reward: str | Path = "true",
        device: torch.device | str = "cpu",
        tensors: bool = False,
    ) -> None:
        self.num_envs, self.tensors = num_envs, tensors
        self._episodes = ThrowEpisodes(world, num_envs, sim, reward, device)
        self.world, self.device = self._episodes.world, self._episodes.device
        self.single_observation_space = self._episodes.observation_space
        self.single_action_space = self._episodes.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin N throws.

        Args:
            seed: of everything drawn from here on.
            options: `target`: [x, y, z] in m, for all throws, in place of what is drawn.
        """
        super().reset(seed=seed)
        self._target = target_of(options)
        return self._given(self._begin()), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One control step of all throws; the one after their last begins new ones instead."""
        none = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        if self._episodes.over:
            observation, reward = self._begin(), torch.zeros(self.num_envs, device=self.device)
        else:
            commanded = torch.as_tensor(actions, dtype=torch.float32, device=self.device)
            observation, reward = self._episodes.step(commanded)
        over, info = none | self._episodes.over, {}
        if self._episodes.over:
            outcome = self._episodes.outcome()
            told = {"error": outcome.error.float(), "is_success": outcome.hits(HIT)}
            info = {key: self._given(value) for key, value in told.items()}
            info |= {f"_{key}": self._given(over) for key in told}
        return self._given(observation), self._given(reward), self._given(none), self._given(over), info

    def close_extras(self, **kwargs: Any) -> None:
        """Give the simulator back."""
        self._episodes.close()

    def _begin(self) -> Tensor:
        return self._episodes.reset(generator(self.np_random), self._target)

    def _given(self, value: Tensor) -> Tensor | np.ndarray:
        return value if self.tensors else value.cpu().numpy()
