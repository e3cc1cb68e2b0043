#!/usr/bin/env python3
"""How long learning takes, and where the time goes.

    python benchmarks/learning_speed.py rounds            # throws a second, the share of each part of a round
    python benchmarks/learning_speed.py until --seeds 0,1 # from 20 demonstrations to 99 % of practice throws

`rounds` runs some rounds of the game and of the polish phase, after a warm-up, on demonstrations made
without ROS. Compare shares and ratios, which hold within one run, rather than seconds, which do not.
`until` learns to the end, with throws in compiled code and, on a CPU, without, each in a process of its
own; PyBullet judges.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from irl_ros.demos.operator import demonstrate
from irl_ros.demos.throws_bag import write_throws
from irl_ros.evaluation.evaluate import evaluate
from irl_ros.irl.airl import AIRL, AIRLSettings
from irl_ros.irl.bc import BCSettings, clone
from irl_ros.irl.reoptimise import Reoptimisation, ReoptimiseSettings
from irl_ros.irl.run_directory import choose_device, read_metrics
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


def measure_rounds(device: torch.device, rounds: int) -> None:
    """Both phases of learning."""
    torch.manual_seed(0)
    world = load_world()
    throws = demonstrate(world, episodes=20, seed=0).to(device)
    policy, reward = Policy(world).to(device), Reward(world).to(device)
    policy.observation.freeze(throws.states)
    task = ThrowTask(BatchWorld(world, device), policy.observation, reward.features)
    demonstrations = task.trajectories(throws)
    clone(policy, demonstrations, BCSettings())
    game_settings, polish_settings = AIRLSettings(stop_at_match=False), ReoptimiseSettings()
    game = AIRL(task, demonstrations, policy, reward, game_settings)
    measure("game", game, game_settings.ppo.episodes, rounds, device)
    polish = Reoptimisation(task, reward, policy, polish_settings)
    measure("polish", polish, polish_settings.ppo.episodes, rounds, device)


def measure_until(device: torch.device, seeds: list[int], ways: list[str], episodes: int) -> None:
    """A table: each seed is a person and a learner."""
    print(
        "| seed | throws | 99 % @10 cm after, s | throws made | whole run, s | in PyBullet @10 cm | @5 cm |"
    )
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            bags, world = Path(folder) / "demos", load_world()
            write_throws(bags, world, demonstrate(world, episodes=episodes, seed=seed))
            for way in ways:
                run = Path(folder) / way
                learn_beside(bags, run, seed, device, compiled=way == "compiled")
                rounds, f = read_metrics(run), evaluate(run)
                there = next((r for r in rounds if r["hit_10cm"] >= 0.99), None)
                after = (
                    f"{there['wall_s']:.0f} | {there['env_steps'] // world.horizon:,}" if there else "- | -"
                )
                figures = f"{rounds[-1]['wall_s']:.0f} | {f['hit_10cm']:.1%} | {f['hit_5cm']:.1%}"
                print(f"| {seed} | {way} | {after} | {figures} |", flush=True)


def learn_beside(bags: Path, run: Path, seed: int, device: torch.device, compiled: bool) -> None:
    """`irl-ros learn`, a process of its own; not compiled: as on a machine without a compiler."""
    lacking = {} if compiled else {"CXX": "false", "XDG_CACHE_HOME": str(run.parent)}
    command = [sys.executable, "-m", "irl_ros", "learn", str(bags), "--out", str(run)]
    options = ["--seed", str(seed), "--device", str(device)]
    subprocess.run([*command, *options], check=True, stdout=sys.stderr, env={**os.environ, **lacking})


def main() -> None:
    """Read the options and measure."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=("rounds", "until"))
    p.add_argument("--rounds", type=int, default=20, help="of `rounds` (%(default)s)")
    p.add_argument("--threads", type=int, default=1, help="of `rounds` (%(default)s)")
    p.add_argument("--seeds", default="0,1", help="of `until` (%(default)s)")
    p.add_argument("--ways", default="compiled,torch", help="of `until`; a GPU has the first (%(default)s)")
    p.add_argument("--demos", type=int, default=20, help="throws demonstrated, of `until` (%(default)s)")
    p.add_argument("--device", default="auto")
    o = p.parse_args()
    device = choose_device(o.device)
    if o.what == "rounds":
        torch.set_num_threads(o.threads)
    load = os.getloadavg()[0]
    print(f"{device}, {torch.get_num_threads()} thread(s), load {load:.1f}, torch {torch.__version__}")
    if o.what == "rounds":
        measure_rounds(device, o.rounds)
    else:
        measure_until(device, [int(s) for s in o.seeds.split(",")], o.ways.split(","), o.demos)


if __name__ == "__main__":
    main()
