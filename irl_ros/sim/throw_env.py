"""ThrowEnv: a throw as a Gymnasium environment, `irl_ros/Throw-v0`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from irl_ros.errors import InputError
from irl_ros.sim.camera import LiveCamera
from irl_ros.sim.throw_episodes import HIT, ThrowEpisodes
from irl_ros.sim.world import World


class ThrowEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """One throw at a time at a target that is drawn anew in every episode.

    An action is n joint velocities as shares of their limits, and the release (> 0 lets the ball go; it stays
    gone). An observation is `state_vector`. An episode is truncated after the world's horizon and never
    terminates: a length that depended on the throw would tell a learner more than the reward does. The info
    of its last step has `error` (m from the target; inf: not down) and `is_success` (within 10 cm).

    Args:
        world: name, YAML path, or mapping of keys. Throws start at its home.
        sim: "batch" (the ideal arm, quick) or "pybullet" (torque limits too).
        reward: "true", the task's own, or the folder of a RUN: the reward that was learned there, frozen.
        render_mode: None or "rgb_array".
        size: width and height of a picture, pixels.

    Raises:
        InputError: an unknown world, simulator, reward or render mode.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012  Gymnasium reads the class

    def __init__(
        self,
        world: str | Path | dict | World = "default",
        sim: str = "batch",
        reward: str | Path = "true",
        render_mode: str | None = None,
        size: tuple[int, int] = (480, 360),
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise InputError("render_mode", f"unknown mode '{render_mode}'", "use rgb_array or None")
        self.render_mode = render_mode
        self._episodes = ThrowEpisodes(world, 1, sim, reward)
        self.world = self._episodes.world
        self.metadata = {**self.metadata, "render_fps": round(1 / self.world.dt)}
        self.observation_space = self._episodes.observation_space
        self.action_space = self._episodes.action_space
        self._camera = LiveCamera(self.world, size)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin a throw.

        Args:
            seed: of everything drawn from here on.
            options: `target`: [x, y, z] in m, in place of one drawn.

        Raises:
            InputError: an unknown option, or a target that is not three numbers.
        """
        super().reset(seed=seed)
        observation = self._episodes.reset(generator(self.np_random), target_of(options))
        self._camera.begin(self._episodes.state[0])
        return observation[0].numpy(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One control step; the reward is that of the state it leads to."""
        commanded = torch.as_tensor(np.asarray(action), dtype=torch.float32)[None]
        observation, reward = self._episodes.step(commanded)
        if self.render_mode is not None:
            self._camera.watch(self._episodes.state[0])
        info: dict[str, Any] = {}
        if self._episodes.over:
            outcome = self._episodes.outcome()
            info = {"error": float(outcome.error[0]), "is_success": bool(outcome.hits(HIT)[0])}
        return observation[0].numpy(), float(reward[0]), False, self._episodes.over, info

    def render(self) -> np.ndarray | None:
        """The scene now, uint8 [height, width, 3]; None without a render mode."""
        return None if self.render_mode is None else self._camera.picture()

    def close(self) -> None:
        """Give the simulator and the camera back."""
        self._camera.close()
        self._episodes.close()


def generator(random: np.random.Generator) -> torch.Generator:
    """torch's generator for one episode, from Gymnasium's for all of them."""
    return torch.Generator().manual_seed(int(random.integers(2**63 - 1)))


def target_of(options: dict[str, Any] | None) -> torch.Tensor | None:
    """The target that `reset` was asked for, m, [3]."""
    if unknown := [key for key in options or {} if key != "target"]:
        raise InputError("options", f"unknown option '{unknown[0]}'", "known: target")
    if not options or options.get("target") is None:
        return None
    target = torch.as_tensor(options["target"], dtype=torch.float32)
    if target.shape != (3,) or not torch.isfinite(target).all():
        raise InputError("options", f"target: expected x, y, z in m, found {options['target']}")
    return target
