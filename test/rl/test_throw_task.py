"""The throw as a task: what is rolled out happened, what is added to a reward is what it says."""

from __future__ import annotations

import pytest
import torch

from irl_ros.rewards.features import Features
from irl_ros.rewards.shaping import ReleasePotential
from irl_ros.rewards.true_reward import TrueReward
from irl_ros.rl.policy import Policy
from irl_ros.rl.throw_task import PRACTICE_SEED, ThrowTask, ThrowTaskSettings
from irl_ros.sim import BatchWorld, Throws, World, throw


def test_a_rollout_keeps_what_the_policy_saw_and_did(task: ThrowTask, policy: Policy, world: World) -> None:
    rollout = task.rollout(policy, 16)
    states, t = rollout.states, rollout.trajectories
    assert t.actions.shape == (16, world.horizon, world.action_dim)
    torch.testing.assert_close(t.observations, policy.observation(states))
    torch.testing.assert_close(t.features, Features(world)(states).float())
    log_prob = policy.log_prob(t.observations[:, :-1], t.actions)
    torch.testing.assert_close(rollout.log_prob, log_prob, rtol=0, atol=1e-4)
    # played again, the same actions lead to the same states
    simulator = BatchWorld(world)
    simulator.reset(states.target[:, 0])
    for step in range(world.horizon):
        simulator.step(t.actions[:, step])
    assert torch.equal(simulator.state.ball_position, states.ball_position[:, -1])
    radius = states.target[:, 0, :2].norm(dim=-1)
    assert (radius >= 0.7).all() and (radius <= 1.1).all()
    hits = (simulator.outcome().error <= 0.1).float().mean()
    assert rollout.figures["explore_hit_10cm"] == pytest.approx(float(hits))


def test_throws_start_where_they_are_told(policy: Policy, world: World) -> None:
    q = torch.tensor(world.home).float() + torch.tensor([[0.1], [-0.1]])
    starts = (q, torch.zeros_like(q))
    task = ThrowTask(BatchWorld(world), policy.observation, Features(world), starts)
    assert set(task.rollout(policy, 32).states.q[:, 0, 0].tolist()) == set(q[:, 0].tolist())


def test_a_policy_that_has_diverged_is_noticed(task: ThrowTask, policy: Policy) -> None:
    with torch.no_grad():
        policy.net[0].weight[0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="diverged"):
        task.rollout(policy, 2)


def test_demonstrations_are_seen_as_rollouts_are(task: ThrowTask, policy: Policy, thrown: Throws) -> None:
    seen = task.trajectories(thrown)
    torch.testing.assert_close(seen.observations, policy.observation(thrown.states))
    assert torch.equal(seen.actions, thrown.actions.float())
    assert len(seen) == len(thrown) and seen.features.shape[:2] == (16, 61)


def test_release_shaping_less_effort_is_added(task: ThrowTask, policy: Policy, world: World) -> None:
    with torch.no_grad():
        policy.net[-1].bias[-1] = -0.5
    rollout, reward = task.rollout(policy, 8), TrueReward(world)
    shaping = ReleasePotential(world, reward, 0.98)(rollout.states)
    task.settings = ThrowTaskSettings(effort=0.5)
    added = task.shaping(rollout, reward, 0.98)
    for n in range(8):
        for t in range(world.horizon):
            cost = 0.0
            if not rollout.states.held[n, t]:
                cost = sum(
                    min(max(float(a), -1.0), 1.0) ** 2 for a in rollout.trajectories.actions[n, t, :-1]
                )
            assert float(added[n, t]) == pytest.approx(float(shaping[n, t]) - 0.5 * cost / 7, abs=1e-4)
    assert (~rollout.states.held).any()
    task.settings = ThrowTaskSettings(release_shaping=False, effort=0.0)
    assert not task.shaping(rollout, reward, 0.98).any()


def test_practice_is_the_policys_mode_at_targets_of_its_own(
    task: ThrowTask, policy: Policy, world: World
) -> None:
    targets = world.sample_targets(256, torch.Generator().manual_seed(PRACTICE_SEED))
    error = throw(BatchWorld(world), policy.act, targets).outcome.error
    figures = task.practice(policy)
    assert figures["hit_10cm"] == pytest.approx(float((error <= 0.1).float().mean()))
    assert figures["hit_5cm"] == pytest.approx(float((error <= 0.05).float().mean()))
