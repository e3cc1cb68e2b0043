"""All of it on a person's twenty throws: imitate, understand, improve. No broken learner gets this far."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from irl_ros.irl.airl import AIRL, AIRLSettings
from irl_ros.irl.bc import BCSettings, clone
from irl_ros.irl.reoptimise import Reoptimisation, ReoptimiseSettings
from irl_ros.rewards.reward import Reward
from irl_ros.rl.policy import Policy
from irl_ros.rl.ppo import PPOSettings
from irl_ros.rl.throw_task import ThrowTask
from irl_ros.sim import BatchWorld, State, Throws, World, throw


def hit_rate(policy: Policy, radius: float = 0.10) -> float:
    targets = policy.world.sample_targets(500, torch.Generator().manual_seed(99))
    error = throw(BatchWorld(policy.world), policy.act, targets).outcome.error
    return float((error <= radius).float().mean())


def lying(state: State, x: float, y: float) -> State:
    """The ball at rest beside the target, m."""
    place = state.target + torch.tensor([x, y, 0.0])
    yes = torch.ones_like(state.landed)
    return dataclasses.replace(
        state, ball_position=place, ball_velocity=torch.zeros_like(place), landed=yes, held=~yes
    )


def assert_peaks_on_the_target(reward: Reward, state: State) -> None:
    with torch.no_grad():
        value = {d: float(reward(lying(state, d, 0.0)).mean()) for d in (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)}
        place, yes = lying(state, 0.0, 0.0), torch.ones_like(state.held)
        above = place.ball_position + torch.tensor([0.0, 0.0, 0.4])
        held = dataclasses.replace(place, ball_position=above, landed=~yes, held=yes)
        holding_on = float(reward(held).mean())
    assert list(value.values()) == sorted(value.values(), reverse=True), value
    assert value[0.0] > value[0.2] + 0.1, value
    assert value[0.0] > holding_on, "holding the ball over the target pays more than letting it go"


def test_from_a_persons_throws_to_a_reward_and_a_policy_that_throws_better(
    world: World, operator_throws: Throws, task_of: Callable[[Policy], ThrowTask]
) -> None:
    torch.manual_seed(0)
    policy, reward = Policy(world), Reward(world)
    policy.observation.freeze(operator_throws.states)
    task = task_of(policy)
    demonstrations = task.trajectories(operator_throws)
    clone(policy, demonstrations, BCSettings(steps=400))
    cloned = hit_rate(policy)
    few = {"sampler_episodes": 64, "batch": 256, "rival": 25, "iterations": 75}
    settings = AIRLSettings(ppo=PPOSettings(episodes=64), **few)
    game = AIRL(task, demonstrations, policy, reward, settings)
    while not game.finished:
        game.iterate()
    assert game.over, "the policy never came to score what the demonstrations score"
    polish = Reoptimisation(
        task,
        reward,
        policy,
        ReoptimiseSettings(iterations=16, ppo=PPOSettings(episodes=128, entropy=0.001)),
    )
    while not polish.finished:
        polish.iterate()
    learned = hit_rate(policy)
    person = float((operator_throws.outcome.error <= 0.10).float().mean())
    assert_peaks_on_the_target(reward, operator_throws.states[:, -1])
    assert learned >= 0.9, f"learned {learned:.0%}, clone {cloned:.0%}, person {person:.0%}"
    assert learned > person and learned > cloned + 0.1
