"""A Gymnasium environment as a Task: what the algorithms of throws need to learn other people's tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from irl_ros.rl.agent import Actor, Agent
from irl_ros.rl.categorical_agent import CategoricalAgent
from irl_ros.rl.gaussian_agent import GaussianAgent
from irl_ros.rl.gym_world import Act, GymStates, GymWorld
from irl_ros.rl.mlp_agent import AgentSettings, MlpAgent
from irl_ros.rl.task import Rollout, Trajectories

ABSORBING = -2
"""Entry of the observation that is 1 after an episode's end, else 0."""
FARTHEST = 10.0
"""Scaled observations are clipped to this, in standard deviations."""
PRACTICE_SEED = 7919
"""Of the episodes the progress line is measured on; evaluation draws others."""
PRACTICE_EPISODES = 32


@dataclass(frozen=True)
class Scaling:
    """How observations are scaled: mean and standard deviation, each [O]."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, episodes: Sequence[GymStates]) -> Scaling:
        """From first episodes: demonstrations, random ones. What comes after an episode's end has no part."""
        seen = torch.cat([x.observation[~x.absorbing] for x in episodes])
        spread = seen.std(0)
        return cls(seen.mean(0), torch.where(spread > 1e-6, spread, torch.ones_like(spread)))

    def __call__(self, observation: Tensor) -> Tensor:
        """Scaled and clipped, [..., O]."""
        return ((observation - self.mean) / self.std).clamp(-FARTHEST, FARTHEST)


class GymTask:
    """Episodes of fixed length in a Gymnasium environment. A `Task`.

    Observations are [scaled o, absorbing, 2 t/T − 1]: at a fixed horizon what is still to come depends on
    the time left. Features are [scaled o, absorbing]: a reward is the same at all times.

    Args:
        world: where.
        scaling: of o, frozen.
        tells_reward: rollouts show the environment's reward (to train an expert); else it is NaN in them.
    """

    def __init__(self, world: GymWorld, scaling: Scaling, tells_reward: bool = False) -> None:
        self.world, self.scaling, self.tells_reward = world, scaling, tells_reward
        self.device, self.env_steps = world.device, 0
        self.observation_size, self.feature_size = world.observation_size + 2, world.observation_size + 1
        self.action_size = world.action_size

    @property
    def horizon(self) -> int:
        """Steps of an episode."""
        return self.world.horizon

    def agent(self, settings: AgentSettings | None = None) -> MlpAgent:
        """An untrained policy for the environment's actions."""
        kind = CategoricalAgent if self.world.discrete else GaussianAgent
        return kind(self.observation_size, self.action_size, settings, ABSORBING)

    def observe(self, states: GymStates) -> Tensor:
        """What a policy sees, [..., O + 2]."""
        return torch.cat((self.features(states), 2 * states.phase[..., None] - 1), -1)

    def features(self, states: GymStates) -> Tensor:
        """What a reward sees, [..., O + 1]."""
        return torch.cat((self.scaling(states.observation), states.absorbing[..., None].float()), -1)

    def trajectories(self, states: GymStates, actions: Tensor) -> Trajectories:
        """Episodes [N, T + 1] and actions [N, T, A] as this task's algorithms see them."""
        return Trajectories(self.observe(states), self.features(states), actions)

    @torch.no_grad()
    def rollout(self, policy: Actor, episodes: int) -> Rollout:
        """Episodes with exploration noise; `states` of the result are GymStates [N, T + 1].

        Raises:
            FloatingPointError: the environment or the policy gave a value that is not finite.
        """
        # the environments' chance comes from torch's: what is seeded or restored there repeats here
        seed = int(torch.randint(2**31 - 1, ()))
        states, actions = self.world.play(self._acting(policy.sample), episodes, seed)
        trajectories = self.trajectories(states, actions)
        log_prob = policy.log_prob(trajectories.observations[:, :-1], actions)
        if not torch.isfinite(log_prob).all():  # a choice among NaN is a choice all the same
            raise FloatingPointError("the policy gave a density that is not finite: learning has diverged")
        self.env_steps += episodes * self.horizon
        figures = {"explore_return": float(states.reward.sum(1).mean())}
        if not self.tells_reward:
            states = replace(states, reward=torch.full_like(states.reward, torch.nan))
        return Rollout(trajectories, log_prob, states, figures)

    def shaping(self, rollout: Rollout, reward: Any, gamma: float) -> Tensor:
        """Nothing is added to a reward here: zeros [N, T]."""
        return torch.zeros_like(rollout.log_prob)

    def background(self, policy: Agent) -> list[Agent]:
        """The policy with more noise, with much noise, and one that acts at random."""
        own = cast(MlpAgent, policy)
        return cast(list[Agent], [own.noisier(2.0), own.noisier(6.0), own.aimless()])

    def practice(self, policy: Actor) -> dict[str, float]:
        """The mean return of the deterministic policy in the environment's own reward."""
        return {"true_return": float(self.returns(policy, PRACTICE_EPISODES, PRACTICE_SEED).mean())}

    @torch.no_grad()
    def returns(self, policy: Actor | None, episodes: int, seed: int) -> Tensor:
        """Undiscounted true returns, [N], of the deterministic policy, or of random actions (None)."""
        act = self.world.random if policy is None else self._acting(policy.mode)
        return self.world.play(act, episodes, seed)[0].reward.sum(1)

    def _acting(self, choose: Any) -> Act:
        return lambda now: choose(self.observe(now))


def true_reward(states: GymStates) -> Tensor:
    """The environment's own reward of steps that begin in `states` [..., T]: what an expert learns from."""
    return states.reward
