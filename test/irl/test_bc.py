"""Cloning recovers who threw, and transitions are what happened."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from irl_ros.irl.bc import BCSettings, clone
from irl_ros.irl.transitions import Transitions
from irl_ros.rl.policy import Policy
from irl_ros.rl.throw_task import ThrowTask
from irl_ros.sim import BatchWorld, State, Throws, World, throw


def scripted(state: State) -> torch.Tensor:
    """A known thrower: turns to the target, swings, and lets go the later the farther the target lies."""
    azimuth = torch.atan2(state.target[:, 1], state.target[:, 0])
    joints = torch.zeros(len(azimuth), 7)
    joints[:, 0] = (2.0 * (azimuth - state.q[:, 0])).clamp(-1, 1)
    joints[:, 3] = 0.8 * (1 - state.phase)
    joints[:, 5] = 0.5
    radius = state.target[:, :2].norm(dim=-1)
    release = torch.where(state.phase > 0.1 + 0.3 * (radius - 0.7), 1.0, -1.0)
    return torch.cat((joints, release[:, None]), -1)


def throws_of_script(world: World, count: int, seed: int) -> Throws:
    generator = torch.Generator().manual_seed(seed)
    return throw(BatchWorld(world), scripted, world.sample_targets(count, generator))


def test_a_clone_does_what_a_scripted_thrower_does(
    world: World, task_of: Callable[[Policy], ThrowTask]
) -> None:
    torch.manual_seed(0)
    policy, demonstrations = Policy(world), throws_of_script(world, 20, seed=1)
    settings = BCSettings(steps=800, batch=256, learning_rate=3e-3, observation_noise=0.0)
    policy.observation.freeze(demonstrations.states)
    losses = clone(policy, task_of(policy).trajectories(demonstrations), settings)
    assert len(losses) == 800 and losses[-1] < losses[0] - 5
    unseen = throws_of_script(world, 32, seed=2)
    states = unseen.states[:, :-1].map(lambda x: x.flatten(0, 1))
    assert float((scripted(states) - policy.act(states))[:, :-1].abs().mean()) < 0.02
    # it lets go when the script does, to the step, and its throws come down where the script's do
    own = throw(BatchWorld(world), policy.act, unseen.states.target[:, 0])
    late = own.states.held.float().sum(1) - unseen.states.held.float().sum(1)
    assert (late.abs() <= 1).all() and late.abs().mean() < 0.3
    assert float((own.outcome.landing - unseen.outcome.landing)[:, :2].norm(dim=-1).median()) < 0.02


def test_the_loss_is_the_likelihood_of_the_demonstrations(
    world: World, task_of: Callable[[Policy], ThrowTask]
) -> None:
    torch.manual_seed(0)
    policy, throws = Policy(world), throws_of_script(world, 4, seed=1)
    policy.observation.freeze(throws.states)
    settings = BCSettings(steps=1, batch=40_000, learning_rate=0.0, observation_noise=0.0)
    (loss,) = clone(policy, task_of(policy).trajectories(throws), settings)
    # the final states have no action: they must not be in it
    seen = policy.observation(throws.states[:, :-1])
    expected = -float(policy.log_prob(seen, throws.actions).detach().mean())
    assert loss == pytest.approx(expected, rel=0.02)


def test_transitions_are_of_one_moment(world: World, task_of: Callable[[Policy], ThrowTask]) -> None:
    policy = Policy(world)
    throws = throws_of_script(world, 3, seed=1)
    policy.observation.freeze(throws.states)
    task = task_of(policy)
    made = Transitions.of(task.trajectories(throws))
    assert len(made) == 3 * 60
    for n, t in ((0, 0), (1, 17), (2, 59)):
        one = made[torch.tensor([60 * n + t])]
        torch.testing.assert_close(one.features[0], task.features(throws.states[n, t]))
        torch.testing.assert_close(one.observation[0], policy.observation(throws.states[n, t]))
        torch.testing.assert_close(one.next_observation[0], policy.observation(throws.states[n, t + 1]))
        assert torch.equal(one.action[0], throws.actions[n, t])
        assert float(one.goes_on[0]) == (t < 59)


def test_draws_come_from_everywhere_and_noise_moves_joints_only(
    world: World, task_of: Callable[[Policy], ThrowTask]
) -> None:
    torch.manual_seed(0)
    policy = Policy(world)
    made = Transitions.of(task_of(policy).trajectories(throws_of_script(world, 3, seed=1)))
    drawn = made.draw(6000)
    assert set(drawn.observation[:, -1].tolist()) == set(made.observation[:, -1].tolist())
    std = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    with torch.no_grad():
        policy.log_std.copy_(std.log())
    noisy = drawn.jittered(policy)
    assert torch.equal(noisy.action[:, -1], drawn.action[:, -1])
    torch.testing.assert_close((noisy.action - drawn.action)[:, :-1].std(0), std, rtol=0.05, atol=0)
    assert torch.equal(noisy.features, drawn.features)
    both = Transitions.cat([made, drawn])
    assert len(both) == len(made) + 6000 and torch.equal(both[torch.arange(180)].action, made.action)
