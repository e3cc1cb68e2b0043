"""A policy flown in compiled code does what it does step by step."""

from __future__ import annotations

import pytest
import torch

from irl_ros.rewards.features import Features
from irl_ros.rl.fly import fly
from irl_ros.rl.policy import Policy, PolicySettings
from irl_ros.rl.throw_task import ThrowTask
from irl_ros.sim import BatchWorld, State, World, load_world, throw


def eager(world: World, policy: Policy, actions: torch.Tensor, targets: torch.Tensor) -> State:
    return BatchWorld(world, compiled=False).play(actions, targets).states


def scaled(world: World, hidden: tuple[int, ...]) -> Policy:
    """A policy that swings, lets go some time, and has frozen its observations."""
    torch.manual_seed(3)
    policy = Policy(world, PolicySettings(hidden=hidden))
    with torch.no_grad():
        policy.net[-1].weight.mul_(60.0)
        simulator = BatchWorld(world)
        policy.observation.freeze(throw(simulator, policy.act, world.sample_targets(64)).states)
    return policy


@pytest.mark.parametrize("keys", [{}, {"robot": "xarm6", "ball": {"drag": 0.47}}])
@pytest.mark.parametrize("hidden", [(64, 64), (20,)])
def test_it_sees_decides_and_counts_as_the_policy_does(keys: dict, hidden: tuple[int, ...]) -> None:
    world = load_world(keys)
    policy, targets = scaled(world, hidden), world.sample_targets(37)
    torch.manual_seed(1)
    flown = fly(BatchWorld(world), policy.observation, policy, targets)
    assert flown is not None
    states, actions, seen = flown.throws.states, flown.throws.actions, flown.observations
    torch.testing.assert_close(seen, policy.observation(states), rtol=0, atol=1e-4)
    with torch.no_grad():
        mean, log_std, logit = policy.distribution(seen[:, :-1])
    torch.testing.assert_close(flown.logit, logit, rtol=0, atol=1e-4)
    # the noise again, which is drawn by torch's generator
    torch.manual_seed(1)
    noise = torch.randn(3, world.horizon, world.action_dim, 16).permute(0, 3, 1, 2)
    noise = noise.reshape(48, world.horizon, world.action_dim)[:37, :, :-1]
    odds = torch.logit(torch.rand(3, world.horizon, 16)).transpose(1, 2).reshape(48, world.horizon)[:37]
    torch.testing.assert_close(actions[..., :-1], mean + log_std.exp() * noise, rtol=0, atol=1e-4)
    clear = (odds - logit).abs() > 1e-3
    assert torch.equal((actions[..., -1] > 0)[clear], (odds < logit)[clear])
    torch.testing.assert_close(flown.distance, noise.square().sum(-1))
    log_prob = policy.log_prob_of(flown.distance, flown.logit, actions[..., -1] > 0, states.held[:, :-1])
    torch.testing.assert_close(log_prob, policy.log_prob(seen[:, :-1], actions), rtol=0, atol=2e-3)
    played = eager(world, policy, actions, targets)
    torch.testing.assert_close(states.q, played.q, rtol=0, atol=1e-4)
    torch.testing.assert_close(states.ball_position, played.ball_position, rtol=0, atol=1e-4)


def test_without_exploring_it_is_the_mode() -> None:
    world = load_world()
    policy, targets = scaled(world, (64, 64)), world.sample_targets(32)
    flown = fly(BatchWorld(world), policy.observation, policy, targets, explore=False)
    assert flown is not None
    stepped = throw(BatchWorld(world), policy.act, targets)
    # rounding grows along a throw that this policy, which swings hard, steers itself
    torch.testing.assert_close(flown.throws.states.q, stepped.states.q, rtol=0, atol=1e-2)
    assert torch.equal(flown.throws.states.held, stepped.states.held)


def test_what_cannot_be_flown_goes_step_by_step() -> None:
    class Stubborn(Policy):
        """Another kind of policy."""

    late = load_world({"arm": {"latency": 2}})
    for world, policy, simulator in (
        (w := load_world(), Policy(w), BatchWorld(w, compiled=False)),
        (w, Stubborn(w), BatchWorld(w)),
        (w, Policy(w, PolicySettings(hidden=(400,))), BatchWorld(w)),
        (late, Policy(late), BatchWorld(late)),
    ):
        assert fly(simulator, policy.observation, policy, world.sample_targets(2)) is None
        rollout = ThrowTask(simulator, policy.observation, Features(world)).rollout(policy, 2)
        assert rollout.states.q.shape == (2, world.horizon + 1, world.robot.n)


def test_a_rollout_repeats_bit_for_bit() -> None:
    world = load_world()
    policy = scaled(world, (64, 64))
    task = ThrowTask(BatchWorld(world), policy.observation, Features(world))
    rollouts = []
    for _ in range(2):
        torch.manual_seed(5)
        rollouts.append(task.rollout(policy, 50))
    one, other = rollouts
    assert torch.equal(one.trajectories.observations, other.trajectories.observations)
    assert torch.equal(one.trajectories.actions, other.trajectories.actions)
    assert torch.equal(one.log_prob, other.log_prob)
