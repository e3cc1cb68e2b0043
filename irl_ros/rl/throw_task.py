"""The throw as a Task: rollouts in a simulator, release shaping, the progress line's hit rate."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from irl_ros.rewards.features import Features
from irl_ros.rewards.shaping import ReleasePotential
from irl_ros.rl.agent import Actor, Agent
from irl_ros.rl.background import background_policies
from irl_ros.rl.fly import fly
from irl_ros.rl.observation import HELD, Observation
from irl_ros.rl.policy import Policy
from irl_ros.rl.task import Rollout, Trajectories
from irl_ros.settings import at_least
from irl_ros.sim.rollout import Simulator, throw
from irl_ros.sim.state import State, Throws

Starts = tuple[Tensor, Tensor] | None
"""Joint positions and velocities that throws start from, each [M, n]; None: home, at rest."""
PRACTICE_SEED = 7919
"""Of the targets the progress line is measured on; evaluation draws others."""
PRACTICE_THROWS = 256


@dataclass(frozen=True)
class ThrowTaskSettings:
    release_shaping: bool = True
    """Pay a swing while it happens by what letting go now would bring (rewards/shaping.py)."""
    effort: float = 0.01
    """Cost of commanded velocity after the release, a step: an arm that has thrown comes to rest."""

    def __post_init__(self) -> None:
        at_least(self, 0, "effort")


class ThrowTask:
    """Throws at targets the world draws. A `Task`.

    Args:
        simulator: where.
        observation: what the policy sees; its scaling is frozen already.
        features: what a reward sees.
        starts: where throws start.
        settings: see ThrowTaskSettings.
    """

    def __init__(
        self,
        simulator: Simulator,
        observation: Observation,
        features: Features,
        starts: Starts = None,
        settings: ThrowTaskSettings | None = None,
    ) -> None:
        self.simulator, self.observation, self.features = simulator, observation, features
        self.starts, self.settings = starts, settings or ThrowTaskSettings()
        self.device, self.env_steps = simulator.device, 0

    @property
    def horizon(self) -> int:
        """Control steps of a throw."""
        return self.simulator.world.horizon

    @torch.no_grad()
    def rollout(self, policy: Actor, episodes: int) -> Rollout:
        """Throws with exploration noise; `states` of the result is a State [N, T + 1].

        Raises:
            FloatingPointError: the world or the policy gave a value that is not finite.
        """
        starts = self.starts
        if starts is not None:
            chosen = torch.randint(len(starts[0]), (episodes,))
            starts = (starts[0][chosen], starts[1][chosen])
        targets = self.simulator.world.sample_targets(episodes)
        made = self._flown(policy, targets, starts) or self._thrown(policy, targets, starts)
        if not torch.isfinite(made.trajectories.observations[:, -1]).all():
            raise FloatingPointError("a throw ended in values that are not finite: learning has diverged")
        self.env_steps += episodes * self.horizon
        hits = self.simulator.outcome().hits(0.10)
        figures = {"explore_hit_10cm": float(hits.float().mean())}
        return dataclasses.replace(made, figures=figures)

    def _thrown(self, policy: Actor, targets: Tensor, starts: Starts) -> Rollout:
        """A rollout step by step, of any policy in any simulator."""
        state = self.simulator.reset(targets, starts)
        states, observations = [state], [self.observation(self.simulator.observed())]
        actions, log_prob = [], []
        for _ in range(self.horizon):
            actions.append(policy.sample(observations[-1]))
            log_prob.append(policy.log_prob(observations[-1], actions[-1]))
            states.append(self.simulator.step(actions[-1]))
            observations.append(self.observation(self.simulator.observed()))
        whole = State.stack(states, 1)
        trajectories = Trajectories(
            torch.stack(observations, 1), self.features(whole).float(), torch.stack(actions, 1)
        )
        return Rollout(trajectories, torch.stack(log_prob, 1), whole)

    def _flown(self, policy: Actor, targets: Tensor, starts: Starts) -> Rollout | None:
        """A rollout in compiled code; None where that cannot be."""
        flown = fly(self.simulator, self.observation, policy, targets, starts)
        if flown is None:
            return None
        states, actions = flown.throws.states, flown.throws.actions
        observations = flown.observations
        held = observations[:, :-1, HELD] > 0
        log_prob = cast(Policy, policy).log_prob_of(flown.distance, flown.logit, actions[..., -1] > 0, held)
        trajectories = Trajectories(observations, self.features(states).float(), actions)
        return Rollout(trajectories, log_prob, states)

    def trajectories(self, throws: Throws) -> Trajectories:
        """Throws from elsewhere (demonstrations) as this task's algorithms see them."""
        throws = throws.to(self.device)
        states = throws.states
        return Trajectories(self.observation(states), self.features(states).float(), throws.actions.float())

    @torch.no_grad()
    def shaping(self, rollout: Rollout, reward: Callable[[State], Tensor], gamma: float) -> Tensor:
        """Release shaping by `reward`, less the cost of effort after the release, [N, T]."""
        states: State = rollout.states
        effort = rollout.trajectories.actions[..., :-1].clamp(-1, 1).square().mean(-1)
        added = -self.settings.effort * effort * (~states.held[:, :-1])
        if self.settings.release_shaping:
            added = added + ReleasePotential(self.simulator.world, reward, gamma)(states)
        return added

    def background(self, policy: Agent) -> list[Agent]:
        """The policy's swing let go at any time; never; with much noise; an arm that moves at random."""
        return list(background_policies(cast(Policy, policy)))

    def practice(self, policy: Actor) -> dict[str, float]:
        """Shares of throws of the deterministic policy within 10 and 5 cm of practice targets."""
        generator = torch.Generator().manual_seed(PRACTICE_SEED)
        starts = self.starts
        if starts is not None:
            chosen = torch.arange(PRACTICE_THROWS) % len(starts[0])
            starts = (starts[0][chosen], starts[1][chosen])
        targets = self.simulator.world.sample_targets(PRACTICE_THROWS, generator)
        conditions = self.simulator.world.sample_conditions(PRACTICE_THROWS, generator)

        def act(state: State) -> Tensor:
            return policy.mode(self.observation(state))

        flown = fly(self.simulator, self.observation, policy, targets, starts, conditions, explore=False)
        throws = flown.throws if flown else throw(self.simulator, act, targets, starts, conditions)
        outcome = throws.outcome
        return {f"hit_{cm}cm": float(outcome.hits(cm / 100).float().mean()) for cm in (10, 5)}
