"""Canonical forms on throws: the simulator is EPIC's, DARD's and STARC's world, and an episode has an end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from irl_ros.rewards.distances.dard import dard_from_samples
from irl_ros.rewards.distances.epic import epic_from_samples
from irl_ros.rewards.distances.samples import Samples, TransitionReward
from irl_ros.rewards.distances.starc import starc_from_samples
from irl_ros.sim.batch_world import BatchWorld
from irl_ros.sim.state import State, Throws
from irl_ros.sim.world import World


def side_by_side(*rewards: Callable[[State, Tensor], Tensor]) -> TransitionReward[State]:
    """R rewards of state and action as one of the transition, (s, a, s') → [K, R]."""

    def of(state: State, action: Tensor, next_state: State) -> Tensor:
        return torch.stack([reward(state, action).double() for reward in rewards], -1)

    return of


class ThrowModel:
    """One control step of many throws, each from any state of its own.

    Args:
        world: whose arm and ball. The batched world moves them.
    """

    def __init__(self, world: World) -> None:
        # without delays the next state depends on this one alone
        self.world, self._simulator, self._count = world, BatchWorld(world.fixed()), -1

    def step(self, state: State, action: Tensor) -> State:
        """The state after an action [K, n + 1] in each of K states."""
        if len(action) != self._count:
            self._simulator.reset(state.target)
            self._count = len(action)
        self._simulator.state = state
        after = self._simulator.step(action)
        return dataclasses.replace(after, phase=state.phase + 1.0 / self.world.horizon)

    def steps_left(self, state: State) -> Tensor:
        """Steps until the episode ends, [K]."""
        return (self.world.horizon * (1.0 - state.phase)).round().long()

    def random_actions(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Uniform over the actions there are, [count, n + 1]: one in two opens the gripper."""
        return 2.0 * torch.rand(count, self.world.action_dim, generator=generator) - 1.0


def value_of_letting_go(
    reward: TransitionReward[State], states: State, model: ThrowModel, gamma: float
) -> Tensor:
    """V^π of K states, π: let go now and hold the arm still; the discounted sum to the end, [K] or [K, R].

    The policy STARC's canonical form is levelled with. It is the same for every reward and every run, its
    value is exact, not estimated, and it is not far-fetched: an advantage over it says how much better it is
    to carry the ball on for a step than to let go.
    """
    left = model.steps_left(states)
    order = left.argsort(descending=True)
    s, left = states[order], left[order]
    total = torch.zeros(0)
    for k in range(int(left.max()) + 1):
        s = s[: int((left > k).sum())]  # longest first: the others have ended
        still = torch.zeros(len(s.phase), model.world.action_dim)
        still[:, -1] = 1.0
        after = model.step(s, still)
        paid = gamma**k * reward(s, still, after).double()
        if k == 0:
            total = paid.new_zeros((len(left), *paid.shape[1:]))
        total[: len(paid)] += paid
        s = after
    return total[order.argsort()]


def canonical_forms(
    reward: TransitionReward[State],
    throws: Throws,
    world: World,
    gamma: float,
    draws: int = 16,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """What "epic", "dard" and "starc" compare, in every step of N throws: each [N, T], or [N, T, R].

    EPIC's states and actions are drawn from the throws themselves. DARD's actions are uniform, its next
    states those of the simulator. STARC's canonical form is the advantage over letting go
    (`value_of_letting_go`); potentials cancel in it that are 0 at the end of the episode.

    Args:
        reward: R(s, a, s').
        throws: the coverage distribution.
        world: where they were thrown.
        gamma: discount.
        draws: for each expectation.
        generator: draws them.
    """
    n, steps = throws.actions.shape[:2]
    states = throws.states
    samples = Samples(
        states[:, :-1].map(lambda x: x.flatten(0, 1)),
        throws.actions.flatten(0, 1),
        states[:, 1:].map(lambda x: x.flatten(0, 1)),
    )
    model = ThrowModel(world)
    plain = reward(samples.state, samples.action, samples.next_state)
    value = value_of_letting_go(reward, states.map(lambda x: x.flatten(0, 1)), model, gamma)
    value = value.unflatten(0, (n, steps + 1))
    here, after = value[:, :-1].flatten(0, 1), value[:, 1:].flatten(0, 1)
    forms = {
        "epic": epic_from_samples(reward, samples, gamma, draws, generator),
        "dard": dard_from_samples(
            reward, samples, model.step, lambda k: model.random_actions(k, generator), gamma, draws
        ),
        "starc": starc_from_samples(plain, here, after, gamma),
    }
    return {name: form.unflatten(0, (n, steps)) for name, form in forms.items()}
