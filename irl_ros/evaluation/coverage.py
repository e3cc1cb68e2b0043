"""Throws of all kinds, good and bad: where rewards are compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from irl_ros.demos.operator import demonstrate
from irl_ros.errors import InputError
from irl_ros.evaluation.evaluate import unseen
from irl_ros.rl.policy import Policy
from irl_ros.rl.throw_task import Starts
from irl_ros.sim import BatchWorld, State, Throws, World, throw

THROWERS = {
    "operator": "a person (synthetic, of a habit no demonstration has) who aims at the target",
    "elsewhere": "the same person aiming at another target of the world",
    "policy": "the RUN's policy",
    "noisy": "the RUN's policy with noise on its joint velocities",
    "any_time": "the RUN's policy, but the gripper opens at a random step or never",
    "random": "every joint at a random speed, the gripper opens at a random step or never",
}
"""Who throws, in equal shares."""
NOISE = 0.5
"""Largest standard deviation of the noise on velocities, share of the limits; every throw has its own."""
NEVER = 0.2
"""Share of throws with a random release that keep the ball."""


@dataclass(frozen=True)
class Coverage:
    """N throws that a comparison of rewards is about.

    Attributes:
        throws: N whole throws.
        thrower: index into THROWERS, [N].
    """

    throws: Throws
    thrower: Tensor

    def count(self, name: str) -> int:
        """How many throws are by one of THROWERS."""
        return int(self.by(name).sum())

    def by(self, name: str) -> Tensor:
        """Which throws are by one of THROWERS, bool [N]."""
        return self.thrower == list(THROWERS).index(name)


def cover(policy: Policy, world: World, count: int, seed: int, starts: Starts = None) -> Coverage:
    """About `count` throws, as many by each of THROWERS, in the batched world.

    Half of them know nothing of the RUN, so that runs can be compared; the others go where its policy goes.
    The person is left out where no person can throw (a world whose targets the habit search does not reach).

    Args:
        policy: the RUN's.
        world: where; of the policy's robot.
        count: how many.
        seed: of targets, starts, the person and everything random; apart from what any training draws.
        starts: joint positions and velocities that throws start from, each [M, n]; default: home, at rest.
    """
    generator = unseen(seed)
    each = -(-count // len(THROWERS))
    found = _by_a_person(world, each, generator)
    for name, act in _by_the_robot(policy, world, each, generator).items():
        simulator, targets = BatchWorld(world), world.sample_targets(each, generator)
        chosen = None
        if starts is not None:
            index = torch.randint(len(starts[0]), (each,), generator=generator)
            chosen = (starts[0][index], starts[1][index])
        found[name] = throw(simulator, act, targets, chosen)
    who = torch.cat([torch.full((len(t),), list(THROWERS).index(name)) for name, t in found.items()])
    return Coverage(Throws.cat(list(found.values())), who)


def _by_a_person(world: World, each: int, generator: torch.Generator) -> dict[str, Throws]:
    """Throws at their targets, and throws that were aimed at another throw's target."""
    seed = int(torch.randint(2**31, (), generator=generator))
    try:
        throws = demonstrate(world, episodes=2 * each, seed=seed)
    except InputError:
        return {}
    aimed, other = throws[slice(0, each)], throws[slice(each, None)]
    target = other.states.target.roll(1, 0)
    miss = (other.outcome.landing - target[:, 0])[:, :2].norm(dim=-1)
    outcome = dataclasses.replace(other.outcome, error=miss.nan_to_num(torch.inf))
    states = dataclasses.replace(other.states, target=target)
    return {"operator": aimed, "elsewhere": Throws(states, other.actions, outcome)}


def _by_the_robot(
    policy: Policy, world: World, each: int, generator: torch.Generator
) -> dict[str, Callable[[State], Tensor]]:
    """The RUN's policy and what may be made of it, as rules State → action."""
    n, horizon = world.robot.n, world.horizon
    noise = NOISE * torch.rand(each, 1, generator=generator)
    last = round(horizon / (1 - NEVER))
    opens_at = torch.randint(last, (2, each), generator=generator) / horizon
    speed = 2.0 * torch.rand(each, n, generator=generator) - 1.0

    def noisy(state: State) -> Tensor:
        action = policy.act(state)
        slips = noise * torch.randn(each, n, generator=generator)
        return torch.cat(((action[:, :-1] + slips).clamp(-1.0, 1.0), action[:, -1:]), -1)

    def any_time(state: State) -> Tensor:
        return torch.cat((policy.act(state)[:, :-1], _release(state, opens_at[0])), -1)

    def random(state: State) -> Tensor:
        return torch.cat((speed, _release(state, opens_at[1])), -1)

    return {"policy": policy.act, "noisy": noisy, "any_time": any_time, "random": random}


def _release(state: State, opens_at: Tensor) -> Tensor:
    return torch.where(state.phase >= opens_at - 1e-6, 1.0, -1.0)[:, None]
