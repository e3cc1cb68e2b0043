"""Gymnasium environments as tasks: what learners see of them, what they must not see, and that they learn."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from irl_ros.irl.airl import AIRL, AIRLSettings
from irl_ros.irl.bc import BCSettings, clone
from irl_ros.irl.reoptimise import Reoptimisation, ReoptimiseSettings
from irl_ros.rewards.reward_net import RewardNet, RewardSettings
from irl_ros.rl.gym_task import ABSORBING, FARTHEST, GymTask, Scaling, true_reward
from irl_ros.rl.gym_world import GymStates, GymWorld
from irl_ros.rl.ppo import PPO, PPOSettings


class Aim(gymnasium.Env):
    """Pays −(a − 2)² for an action in [−1, 5]; the observation is noise. `sign` turns the reward around."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Box(-1.0, 5.0, (1,), np.float32)

    def __init__(self, sign: float = 1.0) -> None:
        self.sign = sign

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        return self.np_random.normal(size=2), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        assert self.action_space.contains(action)
        return self.np_random.normal(size=2), -self.sign * float(action[0] - 2.0) ** 2, False, False, {}


gymnasium.register("irl_ros_task/Aim-v0", Aim, max_episode_steps=8)
gymnasium.register("irl_ros_task/Missed-v0", Aim, max_episode_steps=8, kwargs={"sign": -1.0})


def task_of(env: str, horizon: int | None = None, tells_reward: bool = False) -> GymTask:
    """Scaled on random episodes."""
    world = GymWorld(env, horizon)
    return GymTask(world, Scaling.of([world.play(world.random, 16, seed=1)[0]]), tells_reward)


def test_observations_are_scaled_and_tell_the_end_and_the_time():
    states = GymStates(
        observation=torch.tensor([[[0.0, 5.0], [2.0, 5.0], [9.0, 5.0]]]),
        absorbing=torch.tensor([[False, False, True]]),
        phase=torch.tensor([[0.0, 0.5, 1.0]]),
        reward=torch.zeros(1, 3),
    )
    scaling = Scaling.of([states])
    assert torch.equal(scaling.mean, torch.tensor([1.0, 5.0])), "what follows an end has no part in the scale"
    assert torch.allclose(scaling.std, torch.tensor([2.0**0.5, 1.0])), "what never changes is not blown up"
    task = GymTask(GymWorld("CartPole-v1"), scaling)
    expected = torch.tensor([[-(0.5**0.5), 0, 0, -1], [0.5**0.5, 0, 0, 0], [8 / 2**0.5, 0, 1, 1]])
    assert torch.allclose(task.observe(states)[0], expected)
    assert torch.allclose(task.features(states)[0], expected[:, :-1]), "a reward does not see the time"
    far = replace(states, observation=states.observation + 1e6)
    assert float(task.observe(far).max()) == FARTHEST


def test_rollouts_are_of_one_length_whenever_they_end():
    task = task_of("CartPole-v1", horizon=60)
    policy = task.agent()
    rollout = task.rollout(policy, 16)
    seen = rollout.trajectories
    assert seen.observations.shape == (16, 61, 6) and seen.features.shape == (16, 61, 5)
    assert seen.actions.shape == (16, 60, 2) and rollout.log_prob.shape == (16, 60)
    ended = seen.observations[:, :-1, ABSORBING] > 0
    assert ended.any() and not ended[:, 0].any()
    assert torch.equal(rollout.log_prob == 0, ended), "an action after the end has no likelihood"
    lasting = (~rollout.states.absorbing[:, :-1]).sum(1).float()
    assert rollout.figures["explore_return"] == pytest.approx(float(lasting.mean()))
    assert torch.equal(task.shaping(rollout, None, 0.99), torch.zeros(16, 60))


def test_rollouts_repeat_from_a_seed_whatever_was_played_before():
    task = task_of("Pendulum-v1", horizon=10)
    policy = task.agent()
    torch.manual_seed(5)
    first = task.rollout(policy, 4)
    task.practice(policy)
    task.rollout(policy, 3)
    torch.manual_seed(5)
    again = task.rollout(policy, 4)
    assert torch.equal(first.trajectories.observations, again.trajectories.observations)
    assert torch.equal(first.trajectories.actions, again.trajectories.actions)
    assert task.practice(policy) == task.practice(policy)


def test_only_an_experts_rollouts_tell_the_reward():
    blind, told = task_of("Pendulum-v1", 10), task_of("Pendulum-v1", 10, tells_reward=True)
    assert blind.rollout(blind.agent(), 2).states.reward.isnan().all()
    rollout = told.rollout(told.agent(), 2)
    assert true_reward(rollout.states).sum(1).mean() == pytest.approx(rollout.figures["explore_return"])


def test_an_imitator_learns_the_same_whatever_the_environment_pays():
    settings = AIRLSettings(
        iterations=4,
        head_start=1,
        discriminator_steps=3,
        batch=32,
        sampler_episodes=4,
        ppo=PPOSettings(episodes=8, minibatches=2),
    )

    def learned(env: str) -> torch.Tensor:
        torch.manual_seed(0)
        task = task_of(env)
        demonstrations = task.rollout(task.agent(), 5).trajectories
        reward = RewardNet(task.feature_size, task.action_size, RewardSettings(inputs="state-action"))
        game = AIRL(task, demonstrations, task.agent(), reward, settings)
        for _ in range(4):
            game.iterate()
            task.practice(game.policy)
        return torch.cat([p.flatten() for p in [*game.policy.parameters(), *reward.parameters()]])

    assert torch.equal(learned("irl_ros_task/Aim-v0"), learned("irl_ros_task/Missed-v0"))


def test_reinforcement_learning_on_the_true_reward_finds_the_aim():
    task = task_of("irl_ros_task/Aim-v0", tells_reward=True)
    policy = task.agent()
    settings = ReoptimiseSettings(iterations=25, ppo=PPOSettings(episodes=64, minibatches=4, entropy=0.0))
    training = Reoptimisation(task, true_reward, policy, settings)
    with torch.no_grad():
        policy.net[-1].bias.fill_(-1.0)  # begins at −1, where a step costs 9
    assert task.practice(policy)["true_return"] < -60
    while not training.finished:
        training.iterate()
    assert task.practice(policy)["true_return"] > -0.5, "an action of 0 is 2 in the environment's bounds"


def test_reinforcement_learning_on_the_true_reward_keeps_a_pole_up():
    task = task_of("CartPole-v1", horizon=100, tells_reward=True)
    settings = ReoptimiseSettings(iterations=12, ppo=PPOSettings(episodes=32, minibatches=8))
    training = Reoptimisation(task, true_reward, task.agent(), settings)
    assert task.practice(training.policy)["true_return"] < 75
    while not training.finished:
        training.iterate()
    assert task.practice(training.policy)["true_return"] > 90


def test_what_follows_an_end_teaches_a_policy_nothing():
    task = task_of("CartPole-v1", horizon=60)
    ppo = PPO(task.agent(), PPOSettings(episodes=8, epochs=1, minibatches=1))
    rollout = task.rollout(ppo.policy, 8)
    ended = rollout.states.absorbing[:, :-1]
    assert ended.any()
    seen = rollout.trajectories.observations[:, :-1][ended]
    log_prob = ppo.policy.log_prob(seen, rollout.trajectories.actions[ended])
    assert not log_prob.requires_grad or all(
        torch.equal(g, torch.zeros_like(g))
        for g in torch.autograd.grad(log_prob.sum(), list(ppo.policy.parameters()), allow_unused=True)
        if g is not None
    )


def test_cloning_counts_every_step_before_an_end():
    """Its noise on the observation falls on the flag of the end, too."""
    task = task_of("CartPole-v1", horizon=60)
    made = task.rollout(task.agent(), 16)
    live = ~made.states.absorbing[:, :-1]
    policy = task.agent()  # nothing learned: every choice is as likely
    losses = clone(policy, made.trajectories, BCSettings(steps=40, learning_rate=0.0, weight_decay=0.0))
    expected = float(live.float().mean()) * math.log(2)
    assert sum(losses) / len(losses) == pytest.approx(expected, rel=0.05)


def test_a_policy_that_has_diverged_is_told():
    """The largest of several NaN is a choice like any other; what it was worth is not."""
    task = task_of("CartPole-v1", horizon=20)
    policy = task.agent()
    for parameter in policy.parameters():
        parameter.data.fill_(math.nan)
    with pytest.raises(FloatingPointError, match="diverged"):
        task.rollout(policy, 4)


def test_steps_of_every_rollout_are_counted():
    task = task_of("CartPole-v1", horizon=20)
    task.rollout(task.agent(), 4)
    task.rollout(task.agent().aimless(), 3)
    task.practice(task.agent())
    assert task.env_steps == 7 * 20


def test_background_policies_act_worse_in_every_way():
    task = task_of("Pendulum-v1", horizon=10)
    noisy, noisier, aimless = task.background(task.agent())
    assert (noisy.log_std < noisier.log_std).all()
    assert torch.equal(aimless.mode(torch.randn(3, 5)), torch.zeros(3, 1))
    choosing = task_of("CartPole-v1", horizon=10)
    *_, even = choosing.background(choosing.agent())
    assert torch.allclose(even.log_prob(torch.zeros(1, 6), torch.eye(2)[:1]).exp(), torch.tensor([0.5]))
