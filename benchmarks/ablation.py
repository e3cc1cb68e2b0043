#!/usr/bin/env python3
"""What each part of the learning is for: the same demonstrations, one part left out at a time.

    python benchmarks/ablation.py --seeds 0,1

For each variant and seed: the game alone (no polish), then a fresh policy on its frozen reward, 120 rounds.
All in BatchWorld, at 1,000 targets learning never saw. Prints a row as soon as it is known.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from irl_ros.demos.operator import demonstrate
from irl_ros.evaluation.evaluate import EVALUATION_SEED, throw_at_unseen
from irl_ros.irl.airl import AIRL, AIRLSettings
from irl_ros.irl.bc import BCSettings, clone
from irl_ros.irl.reoptimise import Reoptimisation
from irl_ros.irl.transfer import TransferSettings
from irl_ros.rewards.reward import Reward
from irl_ros.rewards.reward_net import RewardSettings
from irl_ros.rewards.true_reward import TrueReward
from irl_ros.rl.policy import Policy
from irl_ros.rl.throw_task import ThrowTask, ThrowTaskSettings
from irl_ros.settings import build
from irl_ros.sim import BatchWorld, State, World, load_world

OFFSET, JOINT, UNSHAPED = "g sees the offset", "place and phase in one", "no release shaping"
FRESH_ROUNDS = 120
"""Of a fresh policy: in the world of the demonstrations its search is then at its end."""
VARIANTS: dict[str, dict[str, object]] = {
    "as shipped": {},
    "no rival": {"rival": 0},
    JOINT: {},
    "neither": {"rival": 0},
    "no background policies": {"background": False},
    "actions not made alike": {"match_noise": False},
    "played on for 100 rounds": {"stop_at_match": False, "iterations": 100},
    OFFSET: {},
    UNSHAPED: {},
}


def hits(policy: Policy, world: World) -> str:
    """Share of throws within 10 and 5 cm."""
    outcome = throw_at_unseen(policy, BatchWorld(world), 1000, EVALUATION_SEED, None).outcome
    return f"{outcome.hits(0.10).float().mean():6.1%} ({outcome.hits(0.05).float().mean():6.1%})"


def at_target(reward: Reward, distances: tuple[float, ...]) -> str:
    """g of a ball lying at these distances from a target straight ahead, and of one held above it."""
    d = torch.tensor((*distances, 0.0))
    target = torch.tensor([0.9, 0.0, 0.0]).expand(len(d), 3)
    joints, held = torch.zeros(len(d), reward.world.robot.n), torch.zeros(len(d), dtype=torch.bool)
    held[-1] = True
    ball = target + d[:, None] * torch.tensor([1.0, 0.0, 0.0]) + 0.3 * held[:, None] * torch.tensor([0, 0, 1])
    state = State(joints, joints, ball, torch.zeros_like(ball), target, held, ~held, torch.ones_like(d))
    with torch.no_grad():
        return " ".join(f"{g:5.2f}" for g in reward(state).tolist())


def reoptimised(
    reward: Callable[[State], Tensor], learned: Reward, world: World, seed: int, how: ThrowTaskSettings
) -> str:
    """Hits of a fresh policy on a frozen reward."""
    torch.manual_seed(1000 + seed)
    settings = TransferSettings()
    policy = Policy(world, settings.policy)
    task = ThrowTask(BatchWorld(world), policy.observation, learned.features, settings=how)
    policy.observation.freeze(task.rollout(policy, 256).states)
    rounds = replace(settings.reoptimise, iterations=FRESH_ROUNDS)
    search = Reoptimisation(task, reward, policy, rounds)
    while not search.finished:
        search.iterate()
    return hits(policy, world)


def row(name: str, seed: int, world: World) -> None:
    """Learn with one part left out, re-optimise, print."""
    torch.manual_seed(seed)
    throws = demonstrate(world, episodes=20, seed=seed)
    policy = Policy(world)
    policy.observation.freeze(throws.states)
    kind = RewardSettings(
        features="offset" if name == OFFSET else "distance",
        structure="joint" if name in (JOINT, "neither") else "separate",
    )
    reward = Reward(world, kind)
    how = ThrowTaskSettings(release_shaping=name != UNSHAPED)
    task = ThrowTask(BatchWorld(world), policy.observation, reward.features, settings=how)
    demonstrations = task.trajectories(throws)
    clone(policy, demonstrations, BCSettings())
    game = AIRL(task, demonstrations, policy, reward, build(AIRLSettings, VARIANTS[name], "ablation"))
    accuracy = []
    while not game.finished:
        accuracy.append(game.iterate().get("discriminator_accuracy"))
    after = hits(policy, world)
    fresh = reoptimised(reward, reward, world, seed, how)
    late = [a for a in accuracy if a is not None][-10:]
    print(
        f"{name:<26} {seed:>4} {game.round:>6} {sum(late) / len(late):>13.0%}  {after}  {fresh}  "
        f"{at_target(reward, (0.0, 0.1, 0.5))}",
        flush=True,
    )


def main() -> None:
    """Read the options, print the table."""
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--seeds", default="0,1")
    p.add_argument("--variants", default=",".join(VARIANTS), help="names, separated by commas")
    o = p.parse_args()
    torch.set_num_threads(1)
    world = load_world()
    seeds = [int(s) for s in o.seeds.split(",")]
    print(
        f"{'variant':<26} seed rounds discriminator  10 (5) cm after the game  fresh  g at 0, 10, 50 cm, held"
    )
    for name in o.variants.split(","):
        for seed in seeds:
            row(name, seed, world)
    if UNSHAPED in o.variants:
        for seed in seeds:
            for on in (True, False):
                settings = ThrowTaskSettings(release_shaping=on)
                found = reoptimised(TrueReward(world), Reward(world), world, seed, settings)
                how = f"seed {seed}, release shaping {'on' if on else 'off'}"
                print(f"fresh policy on the true reward, {how}: {found}", flush=True)


if __name__ == "__main__":
    main()
