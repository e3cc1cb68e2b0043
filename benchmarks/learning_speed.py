#!/usr/bin/env python3
"""Where the time of learning goes: throws a second, and the share of each part of a round.

    python benchmarks/learning_speed.py

Runs some rounds of the game and of the polish phase, after a warm-up, on demonstrations made without ROS.
Compare shares and ratios, which hold within one run, rather than seconds, which do not.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch

from irl_ros.demos.operator import demonstrate
from irl_ros.irl.airl import AIRL, AIRLSettings
from irl_ros.irl.bc import BCSettings, clone
from irl_ros.irl.reoptimise import Reoptimisation, ReoptimiseSettings
from irl_ros.irl.run_directory import choose_device
from irl_ros.rewards.reward import Reward
from irl_ros.rewards.shaping import ReleasePotential
from irl_ros.rl.policy import Policy
from irl_ros.rl.ppo import PPO
from irl_ros.rl.throw_task import ThrowTask
from irl_ros.sim import BatchWorld, load_world

Seconds = dict[str, float]


def timed(
    seconds: Seconds, name: str, function: Callable[..., Any], device: torch.device
) -> Callable[..., Any]:
    """`function`, adding what it takes to `seconds[name]`."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        result = function(*args, **kwargs)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds[name] += time.perf_counter() - started
        return result

    return wrapper


@contextmanager
def watched(seconds: Seconds, device: torch.device) -> Iterator[None]:
    """Measure the parts of a round while inside."""
    parts = (
        (ThrowTask, "rollout", "throw: policy and world, 60 steps"),
        (AIRL, "train_discriminator", "discriminator"),
        (PPO, "update", "policy step (PPO)"),
        (ReleasePotential, "__call__", "release shaping"),
    )
    patches = [mock.patch.object(o, n, timed(seconds, label, getattr(o, n), device)) for o, n, label in parts]
    for patch in patches:
        patch.start()
    yield
    for patch in patches:
        patch.stop()


def measure(
    name: str, algorithm: AIRL | Reoptimisation, throws: int, rounds: int, device: torch.device
) -> None:
    """Print a table for `rounds` rounds."""
    for _ in range(5):
        algorithm.iterate()
    seconds: Seconds = defaultdict(float)
    with watched(seconds, device):
        started = time.perf_counter()
        for _ in range(rounds):
            algorithm.iterate()
        total = time.perf_counter() - started
    print(f"\n{name}: {throws * rounds / total:,.0f} throws/s, {total / rounds:.3f} s for {throws} throws")
    for part, spent in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"  {part:<36}{spent / total:6.1%}")
    print(f"  {'the rest':<36}{1 - sum(seconds.values()) / total:6.1%}")


def main() -> None:
    """Read the options and measure."""
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--rounds", type=int, default=20)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--device", default="auto")
    o = p.parse_args()
    torch.set_num_threads(o.threads)
    torch.manual_seed(0)
    device, world = choose_device(o.device), load_world()
    throws = demonstrate(world, episodes=20, seed=0).to(device)
    policy, reward = Policy(world).to(device), Reward(world).to(device)
    policy.observation.freeze(throws.states)
    task = ThrowTask(BatchWorld(world, device), policy.observation, reward.features)
    demonstrations = task.trajectories(throws)
    clone(policy, demonstrations, BCSettings())
    game_settings, polish_settings = AIRLSettings(stop_at_match=False), ReoptimiseSettings()
    print(f"{device}, {o.threads} thread(s), torch {torch.__version__}")
    game = AIRL(task, demonstrations, policy, reward, game_settings)
    measure("game", game, game_settings.ppo.episodes, o.rounds, device)
    polish = Reoptimisation(task, reward, policy, polish_settings)
    measure("polish", polish, polish_settings.ppo.episodes, o.rounds, device)


if __name__ == "__main__":
    main()
