"""Any Gymnasium environment as a world of equally long episodes, many at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor
from torch.nn import functional

from irl_ros.errors import InputError
from irl_ros.sim.state import TensorBatch


@dataclass(frozen=True)
class GymStates(TensorBatch):
    """States of N episodes at T + 1 times (any leading shape).

    Attributes:
        observation: as the environment gives it, flattened, [N, T + 1, O]; after an end, that of the end.
        absorbing: the episode has ended, bool [N, T + 1]. Nothing changes any more and nothing is paid.
        phase: t / T, [N, T + 1].
        reward: the environment's own, for the step that begins here, [N, T + 1]; 0 at time T.
    """

    observation: Tensor
    absorbing: Tensor
    phase: Tensor
    reward: Tensor


Act = Callable[[GymStates], Tensor]
"""States [N] of one moment → actions [N, A]."""


class GymWorld:
    """Episodes of exactly T steps of a Gymnasium environment with vectors as observations.

    An episode that ends earlier goes on in an absorbing state (Kostrikov et al. 2019, §4.2): were it cut, its
    length alone would tell an expert from a learner, and any positive reward would pay for staying alive.

    Actions are [N, A] in ±1 for continuous ones, scaled to the bounds of the environment and clipped (as they
    are where it has no bounds, though critics and rewards of actions see them clipped there too), and one-hot
    for discrete ones.

    Args:
        env: id of a registered environment, "module:Name-v0" to import its module first.
        horizon: T; default: the time limit the environment is registered with.

    Raises:
        InputError: no such environment, a package it needs is missing, spaces of other kinds, or no horizon.
    """

    def __init__(self, env: str, horizon: int | None = None) -> None:
        self.name, self.device = env, torch.device("cpu")
        self._vectors: dict[int, VectorEnv] = {}
        try:
            single = gymnasium.make(env)
        except (gymnasium.error.Error, ImportError) as error:
            cure = "for example Pendulum-v1 or CartPole-v1" if "exist" in str(error) else ""
            raise InputError(f"--env {env}", " ".join(str(error).split()).rstrip("."), cure) from None
        self._observation, self._action, self.spec = (
            single.observation_space,
            single.action_space,
            single.spec,
        )
        single.close()
        self._check_spaces()
        self.horizon = self._checked(horizon)
        self.observation_size = int(np.prod(self._observation.shape or (1,)))
        self.discrete = isinstance(self._action, spaces.Discrete)
        if isinstance(self._action, spaces.Discrete):
            self.action_size = int(self._action.n)
        else:
            self.action_size = int(np.prod(self._action.shape or (1,)))

    def _check_spaces(self) -> None:
        if not isinstance(self._observation, spaces.Box):
            problem = f"observations are {self._observation}, not a Box of numbers"
            raise InputError(f"--env {self.name}", problem, "choose another, or wrap it")
        if not isinstance(self._action, (spaces.Box, spaces.Discrete)):
            problem = f"actions are {self._action}, neither a Box nor Discrete"
            raise InputError(f"--env {self.name}", problem, "choose another, or wrap it")

    def _checked(self, horizon: int | None) -> int:
        limit = self.spec.max_episode_steps if self.spec else None
        if horizon is None and limit is None:
            raise InputError(f"--env {self.name}", "has no time limit of its own", "give --horizon")
        if horizon is not None and limit is not None and horizon > limit:
            raise InputError(f"--horizon {horizon}", f"{self.name} ends after {limit} steps", "give no more")
        return int(horizon or limit)  # type: ignore[arg-type]

    def play(self, act: Act, episodes: int, seed: int) -> tuple[GymStates, Tensor]:
        """Whole episodes; the same seed gives the same ones as long as `act` does the same.

        Args:
            act: what acts.
            episodes: N.
            seed: of the environments' own chance.

        Returns:
            States [N, T + 1] and actions [N, T, A] as `act` gave them.

        Raises:
            FloatingPointError: an observation or an action is not finite.
            InputError: the environment ends its episodes by time before the horizon.
        """
        envs = self._vector(episodes)
        none = torch.zeros(episodes)
        now = GymStates(self._seen(envs.reset(seed=seed)[0]), none > 0, none, none)
        states, actions = [], []
        for t in range(self.horizon):
            actions.append(act(now))
            if not torch.isfinite(actions[-1]).all():
                raise FloatingPointError("an action is not finite: learning has diverged")
            now, paid = self._step(envs, now, actions[-1])
            states.append(paid)
            now = replace(now, phase=torch.full((episodes,), (t + 1) / self.horizon))
        whole = GymStates.stack([*states, now], 1)
        if not torch.isfinite(whole.observation).all():
            raise FloatingPointError(f"{self.name} gave an observation that is not finite")
        return whole, torch.stack(actions, 1)

    def _step(self, envs: VectorEnv, now: GymStates, action: Tensor) -> tuple[GymStates, GymStates]:
        """The next states, and the present ones with what was paid for the step."""
        ended = now.absorbing
        if ended.all():
            return now, now
        seen, reward, terminated, truncated, _ = envs.step(self._for_env(action))
        stops, late = torch.from_numpy(terminated.copy()), torch.from_numpy(truncated.copy())
        last = bool((now.phase * self.horizon).max() > self.horizon - 1.5)
        if not last and (late & ~stops & ~ended).any():
            problem = f"ends its episodes by time before the horizon of {self.horizon} steps"
            raise InputError(f"--env {self.name}", problem, "give a shorter --horizon")
        # an environment that has ended is reset by its vector and plays on: none of that is looked at
        observation = torch.where(ended[:, None], now.observation, self._seen(seen))
        reward = torch.as_tensor(np.asarray(reward), dtype=torch.float32)
        paid = replace(now, reward=torch.where(ended, torch.zeros_like(reward), reward))
        return replace(now, observation=observation, absorbing=ended | stops), paid

    def random(self, now: GymStates) -> Tensor:
        """Actions that anyone could take: an `Act`, uniform in the bounds or over the choices."""
        count = len(now.phase)
        if self.discrete:
            return functional.one_hot(torch.randint(self.action_size, (count,)), self.action_size).float()
        return 2 * torch.rand(count, self.action_size) - 1

    def _for_env(self, action: Tensor) -> Any:
        """Actions [N, A] as the environment takes them."""
        space = self._action
        if isinstance(space, spaces.Discrete):
            return action.argmax(-1).numpy() + space.start
        assert isinstance(space, spaces.Box)
        given = action.detach().numpy().reshape(-1, *space.shape)
        bounded = np.isfinite(space.low) & np.isfinite(space.high)
        low, high = np.where(bounded, space.low, -1.0), np.where(bounded, space.high, 1.0)
        inside = low + (np.clip(given, -1.0, 1.0) + 1.0) / 2.0 * (high - low)
        return np.where(bounded, inside, given).astype(space.dtype)

    @staticmethod
    def _seen(observation: Any) -> Tensor:
        """Observations [N, …] as numbers [N, O]; a copy, since vectors use their memory again."""
        return torch.tensor(np.asarray(observation), dtype=torch.float32).flatten(1)

    def _vector(self, count: int) -> VectorEnv:
        """`count` of them in one: the environment's own vector form where it has one."""
        if count not in self._vectors:
            made = gymnasium.make_vec(self.name, num_envs=count) if self._has_own_vector() else None
            if made is None or made.metadata.get("autoreset_mode") != AutoresetMode.NEXT_STEP:
                # the checker looks at every step anew, at a third of the speed
                made = gymnasium.make_vec(
                    self.name, num_envs=count, vectorization_mode="sync", disable_env_checker=True
                )
            self._vectors[count] = made
        return self._vectors[count]

    def _has_own_vector(self) -> bool:
        return self.spec is not None and self.spec.vector_entry_point is not None
