#!/usr/bin/env python3
"""Another library's learner on our environment: Stable-Baselines3's PPO on irl_ros/Throw-v0.

    pip install stable-baselines3
    python benchmarks/sb3_throw.py --steps 600000

It is paid the task's own reward, or with --reward RUN the one that was learned there, and ends with how often
the deterministic policy hits. For one environment at a time no adapter is needed:
`PPO("MlpPolicy", gymnasium.make("irl_ros/Throw-v0"))`.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import gymnasium
import numpy as np
import torch

import irl_ros  # noqa: F401  makes irl_ros/Throw-v0 known

try:
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import VecEnv, VecNormalize
except ImportError as missing:
    if missing.name is None or not missing.name.startswith("stable_baselines3"):
        raise
    sys.exit("sb3_throw: stable-baselines3 is not installed; pip install stable-baselines3")

THROW = "irl_ros/Throw-v0"
HELD_BACK = -0.7
"""Initial mean of the release: a chance of 3 % a step, as the policies of irl_ros have. At 0 half of all
balls are dropped in the first step."""


class ManyThrows(VecEnv):
    """A ThrowVectorEnv as Stable-Baselines3 wants it: begun again in the step that ends an episode."""

    def __init__(self, count: int, **kwargs: Any) -> None:
        self._envs = gymnasium.make_vec(THROW, num_envs=count, **kwargs)
        super().__init__(count, self._envs.single_observation_space, self._envs.single_action_space)

    def reset(self) -> np.ndarray:
        seed, self._seeds = self._seeds[0], [None] * self.num_envs
        return self._envs.reset(seed=seed)[0]

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        observation, reward, _, truncated, info = self._envs.step(self._actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if truncated.all():
            for i, told in enumerate(infos):
                told |= {"terminal_observation": observation[i], "TimeLimit.truncated": True}
                told |= {"is_success": bool(info["is_success"][i]), "error": float(info["error"][i])}
            observation, _ = self._envs.reset()
        return observation, reward, truncated, infos

    def close(self) -> None:
        self._envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self._envs, attr_name)] * len(self._get_indices(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self._envs, attr_name, value)

    def env_method(self, method_name: str, *arguments: Any, indices: Any = None, **named: Any) -> list[Any]:
        return [getattr(self._envs, method_name)(*arguments, **named)]

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        return [False] * len(self._get_indices(indices))


class Progress(BaseCallback):
    """A line every ten rollouts: steps, rate, and how exploring throws went."""

    def _on_training_start(self) -> None:
        self._begun, self._rollouts = time.monotonic(), 0

    def _on_step(self) -> bool:
        self._errors = np.array([told["error"] for told in self.locals["infos"] if told])
        return True

    def _on_rollout_end(self) -> None:
        self._rollouts += 1
        if self._rollouts % 10 == 0:
            rate = self.num_timesteps / (time.monotonic() - self._begun)
            went = f"exploring hits {(self._errors <= 0.10).mean():6.1%}"
            median = f"median {100 * np.median(self._errors):.0f} cm"
            print(f"{self.num_timesteps:>9} steps  {rate:7.0f} steps/s  {went}, {median}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--world", default="default")
    parser.add_argument("--reward", default="true", help="true, or the folder of a RUN")
    parser.add_argument("--steps", type=int, default=600_000)
    parser.add_argument("--envs", type=int, default=256)
    parser.add_argument("--throws", type=int, default=1000, help="of the evaluation")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)

    throws = ManyThrows(options.envs, world=options.world, reward=options.reward)
    env = VecNormalize(throws, gamma=0.99)
    horizon = throws.get_attr("world")[0].horizon
    model = PPO(
        "MlpPolicy",
        env,
        n_steps=horizon,
        batch_size=options.envs * horizon // 8,
        n_epochs=10,
        learning_rate=5e-4,
        gae_lambda=0.95,
        gamma=0.99,
        policy_kwargs={"log_std_init": -1.0},
        stats_window_size=options.envs,
        seed=options.seed,
        device="cpu",
    )
    with torch.no_grad():
        model.policy.action_net.bias[-1] = HELD_BACK
    started = time.monotonic()
    model.learn(options.steps, callback=Progress())
    wall = time.monotonic() - started

    env.training = False
    error = evaluate(model, env, options.throws, horizon)
    near, nearer = (f"{(error <= limit).mean():.1%}" for limit in (0.10, 0.05))
    print(
        f"\nPPO of Stable-Baselines3 in world {options.world}, paid {options.reward}:"
        f" {model.num_timesteps} steps in {wall:.0f} s\n{near} of {len(error)} throws within 10 cm,"
        f" {nearer} within 5 cm, median {100 * np.median(error):.1f} cm"
    )


def evaluate(model: PPO, env: VecNormalize, count: int, horizon: int) -> np.ndarray:
    """Landing errors of the deterministic policy, m, [at least count]; inf where a ball is not down."""
    errors: list[float] = []
    observation = env.reset()
    while len(errors) < count:
        for _ in range(horizon):
            observation, _, _, infos = env.step(model.predict(observation, deterministic=True)[0])
        errors += [told["error"] for told in infos]
    return np.array(errors)


if __name__ == "__main__":
    main()
