"""Every algorithm twice: as it is, and with the gradient of its reward the wrong way round.

Whatever else a game is made of, its reward must come to prefer what people do to what the aimless do, within
a few small rounds; with one sign wrong it has to prefer the aimless. The formulas are tested in each
algorithm's own file; MaxEnt, which knows throws only, in test_discrete_throw.py.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from irl_ros.irl.airl import AIRL, AIRLSettings
from irl_ros.irl.algorithms import GAMES
from irl_ros.irl.gail import GAIL, GAILSettings
from irl_ros.irl.gan_gcl import GANGCL, GANGCLSettings
from irl_ros.irl.gcl import GCL, GCLSettings
from irl_ros.irl.guided_cost import CostSettings
from irl_ros.irl.iq_learn import IQLearn, IQLearnSettings, Steps
from irl_ros.irl.ml_irl import MLIRL, MLIRLSettings
from irl_ros.irl.sac_airl import SACAIRL, SACAIRLSettings
from irl_ros.rewards.reward_net import RewardNet, RewardSettings
from irl_ros.rl.ppo import PPOSettings
from irl_ros.rl.sac import SACSettings
from irl_ros.rl.task import Trajectories

ROUNDS = 5
PPO = PPOSettings(episodes=16, epochs=1)
SAC = SACSettings(steps=20, batch=64, hidden=(16,), learning_rate=3e-3)
ADVERSARY = {"iterations": ROUNDS, "discriminator_steps": 20, "batch": 64, "learning_rate": 5e-3}
CASES: dict[str, tuple[Any, Any]] = {
    "airl": (AIRL, AIRLSettings(**ADVERSARY, ppo=PPO, rival=0, sampler_episodes=16)),
    "gail": (GAIL, GAILSettings(**ADVERSARY, ppo=PPO, inputs="features")),
    "gan_gcl": (GANGCL, GANGCLSettings(**ADVERSARY, ppo=PPO, segment=4)),
    "gcl": (
        GCL,
        GCLSettings(
            iterations=1, trajectories=16, cost=CostSettings(head_start=60, learning_rate=5e-3, batch=64)
        ),
    ),
    "sac_airl": (SACAIRL, SACAIRLSettings(**ADVERSARY, settle=0, sac=SAC)),
    "ml_irl": (
        MLIRL,
        MLIRLSettings(
            iterations=ROUNDS, reward_steps=20, learning_rate=5e-3, averaging=0.0, restart=0, ppo=PPO
        ),
    ),
    "iq_learn": (
        IQLearn,
        IQLearnSettings(iterations=ROUNDS, episodes=16, head_start=5, log_std=0.0, reward_steps=0, sac=SAC),
    ),
}
"""Name → algorithm, and settings that take seconds."""


def test_none_is_left_out() -> None:
    assert {*CASES, "maxent"} == set(GAMES)


def what_learns(game: Any, reward: RewardNet) -> nn.Module:
    """What has the reward's parameters: g; in IQ-Learn Q, in ML-IRL the newest g of a running mean."""
    if isinstance(game, IQLearn):
        return game.sac.critic
    return game.newest if isinstance(game, MLIRL) else reward


@torch.no_grad()
def earned(game: Any, reward: RewardNet, episodes: Trajectories) -> Tensor:
    """By the reward learned, in every step; in IQ-Learn by the one that Q implies, to which g is fitted."""
    if isinstance(game, IQLearn):
        return game.implied_reward(Steps.of(episodes, game.settings.sac.gamma))[0]
    return reward.of_features(episodes.features[:, :-1], episodes.actions)


@pytest.mark.parametrize("algorithm", CASES)
def test_the_reward_prefers_what_people_do_and_with_its_gradient_turned_shuns_it(
    point_task: Any, algorithm: str
) -> None:
    make, settings = CASES[algorithm]
    preference = []
    for turned in (False, True):
        torch.manual_seed(0)
        people, agent = point_task.demonstrations(), point_task.agent()
        aimless = point_task.rollout(agent.aimless(), 200).trajectories
        reward = RewardNet(1, 1, RewardSettings(hidden=(16,)))
        game = make(point_task, people, agent, reward, settings)
        if turned:
            for parameter in what_learns(game, reward).parameters():
                parameter.register_hook(torch.neg)
        while not game.finished:
            game.iterate()
        here, there = (earned(game, reward, x) for x in (people, aimless))
        # in standard deviations of a step
        preference.append(float((here.mean() - there.mean()) / torch.cat((here, there)).std()))
    right, wrong = preference
    assert right > 0.2 and wrong < -0.1, preference
