"""ML-IRL: its gradient against finite differences of the likelihood, its candidates."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from irl_ros.errors import InputError
from irl_ros.irl.checkpoint import load_checkpoint, save_checkpoint
from irl_ros.irl.ml_irl import MLIRL, Candidate, MLIRLSettings
from irl_ros.irl.regularisation import gradient_penalty
from irl_ros.irl.transitions import Transitions
from irl_ros.networks import weights_sha256
from irl_ros.rewards.reward_net import RewardNet, RewardSettings
from irl_ros.rl.ppo import PPOSettings
from irl_ros.rl.task import Rollout, Trajectories
from irl_ros.settings import build

SMALL = MLIRLSettings(
    reward_steps=2, restart=3, keep_every=2, sampler_episodes=4, ppo=PPOSettings(episodes=8, minibatches=2)
)


@pytest.fixture
def game_of(point_task: Any) -> Callable[..., MLIRL]:
    def make(**changes: object) -> MLIRL:
        torch.manual_seed(0)
        reward = RewardNet(1, 1, RewardSettings(hidden=(8,)))
        settings = dataclasses.replace(SMALL, **changes)  # type: ignore[arg-type]
        return MLIRL(point_task, point_task.demonstrations(), point_task.agent(), reward, settings)

    return make


def slopes(x: Tensor, network: nn.Module) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(x, list(network.parameters()))])


# --- the gradient of the likelihood, where everything can be counted ---

T, GAMMA, ALPHA = 3, 0.9, 0.5
NEXT = torch.tensor([[0, 1, 2], [2, 1, 0], [1, 1, 0]])  # s'(s, a) of three states and three actions


def soft_log_policy(reward: Tensor) -> Tensor:
    """log π(a | t, s) of the maximum-entropy policy for r(s) at temperature α, [T, 3, 3], by soft DP."""
    v, log_policy = torch.zeros(3, dtype=reward.dtype), []
    for _ in range(T):
        q = reward[:, None] + GAMMA * v[NEXT]
        v = ALPHA * torch.logsumexp(q / ALPHA, -1)
        log_policy.append((q - v[:, None]) / ALPHA)
    return torch.stack(log_policy[::-1])


def paths() -> tuple[Tensor, Tensor]:
    """Every path: states [81, T + 1] and actions [81, T]."""
    states, actions = [], list(itertools.product(range(3), repeat=T))
    for start, chosen in itertools.product(range(3), actions):
        visited = [start]
        for a in chosen:
            visited.append(int(NEXT[visited[-1], a]))
        states.append(visited)
    return torch.tensor(states), torch.tensor(actions).repeat(3, 1)


def log_chances(log_policy: Tensor) -> Tensor:
    """Σ_t log π of every path, [81]."""
    states, actions = paths()
    return log_policy[torch.arange(T), states[:, :-1], actions].sum(-1)


def as_trajectories(which: Tensor) -> Trajectories:
    states, actions = (x[which] for x in paths())
    seen = torch.eye(3, dtype=torch.float64)[states]
    return Trajectories(seen, seen, torch.eye(3, dtype=torch.float64)[actions])


def test_the_gradient_is_that_of_the_likelihood(game_of: Callable[..., MLIRL]) -> None:
    """Σ_t γ^t · ∇ advantage = α ∇L, by finite differences of L(ψ) = E_demo Σ γ^t log π_ψ(a_t | s_t)."""
    game = game_of(known=False, restart=0, ppo=PPOSettings(gamma=GAMMA))
    torch.manual_seed(2)
    game.newest = net = RewardNet(3, 3, RewardSettings(hidden=(4,))).double()
    with torch.no_grad():
        net.net[-1].weight.normal_()
    demonstrated = torch.multinomial(torch.rand(81), 500, replacement=True)
    game.demonstrations = as_trajectories(demonstrated)

    def rewards() -> Tensor:
        with torch.no_grad():
            return net.of_features(torch.eye(3, dtype=torch.float64))

    def likelihood() -> float:
        states, actions = (x[demonstrated] for x in paths())
        steps = soft_log_policy(rewards())[torch.arange(T), states[:, :-1], actions]
        return float((steps * GAMMA ** torch.arange(T)).sum(-1).mean())

    expected = []
    for p in net.parameters():
        for i in range(p.numel()):
            flat, sides = p.data.view(-1), []
            for step in (1e-5, -1e-5):
                flat[i] += step
                sides.append(likelihood())
                flat[i] -= step
            expected.append((sides[0] - sides[1]) / 2e-5)
    # as many samples of π_ψ from each start as demonstrations have
    chance = log_chances(soft_log_policy(rewards())).exp()
    starts = paths()[0][:, 0]
    share = torch.bincount(starts[demonstrated], minlength=3) / 500
    sampled = torch.multinomial(chance * share[starts], 100_000, replacement=True)
    advantage = game.advantage([Candidate(as_trajectories(sampled), 1.7)])
    total = sum(GAMMA**t for t in range(T))
    found = total * slopes(advantage, net) / ALPHA
    scale = float(torch.tensor(expected).abs().max())
    torch.testing.assert_close(found, torch.tensor(expected).double(), atol=0.02 * scale, rtol=0)


def test_candidates_count_by_their_soft_value(game_of: Callable[..., MLIRL]) -> None:
    """Of several policies each counts by exp β(R + α H): the gradient of their soft maximum."""
    game = game_of(sharpness=5.0, temperature=0.1)
    with torch.no_grad():
        game.newest.net[-1].weight.normal_()
    made = [game.task.rollout(p, 16).trajectories for p in game.task.background(game.policy)]
    candidates = [Candidate(made[0], 0.3), Candidate(made[1], 0.1)]
    earned = [game.mean_reward(x) for x in made]
    weight = torch.softmax(5.0 * (torch.stack(earned) + 0.1 * torch.tensor([0.3, 0.1])), 0).detach()
    demonstrated = game.mean_reward(game.demonstrations)
    expected = slopes(demonstrated - (weight * torch.stack(earned)).sum(), game.newest)
    torch.testing.assert_close(slopes(game.advantage(candidates), game.newest), expected)
    assert 0.05 < float(weight[0]) < 0.95


def test_returns_are_discounted_and_of_the_states_acted_in(game_of: Callable[..., MLIRL]) -> None:
    game = game_of()
    made = game.demonstrations
    with torch.no_grad():
        g = game.newest.of_features(made.features)
        by_hand = sum(0.99**t * g[:, t].mean() for t in range(12)) / sum(0.99**t for t in range(12))
        torch.testing.assert_close(game.mean_reward(made), by_hand)


def test_slope_costs_only_beyond_what_is_allowed(game_of: Callable[..., MLIRL]) -> None:
    game = game_of()
    net = game.newest
    expert = Transitions.of(game.demonstrations).draw(50)
    same = dataclasses.replace(expert, features=torch.zeros_like(expert.features))
    point = same.features[:1].clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(net.of_features(point).sum(), point)
    steep = float(slope.abs())
    assert steep > 0
    for allowed in (0.0, 0.4 * steep, 2.0 * steep):
        found = float(gradient_penalty(net, same, same, allowed).detach())
        assert found == pytest.approx(max(0.0, steep - allowed) ** 2, rel=1e-3, abs=1e-9)


# --- the players ---


def test_the_rival_begins_again_and_again(game_of: Callable[..., MLIRL]) -> None:
    game = game_of()
    rivals = []
    for _ in range(6):
        game.iterate()
        rivals.append(game.rival)
    assert [r is rivals[0] for r in rivals] == [True, True, False, False, False, False]
    assert rivals[2] is rivals[4] is not rivals[5]
    begun, used = rivals[5].policy, rivals[4].policy
    assert torch.equal(begun.log_std, torch.full((1,), -1.0)) and not torch.equal(used.log_std, begun.log_std)
    assert float(begun.net[-1].weight.detach().abs().max()) <= 0.01  # as networks begin
    assert begun is not game.policy


def test_what_a_round_makes_is_what_its_settings_say(game_of: Callable[..., MLIRL], point_task: Any) -> None:
    game, rollout, made = game_of(), point_task.rollout, []

    def watched(policy: object, episodes: int) -> Rollout:
        made.append((policy, episodes))
        return rollout(policy, episodes)

    point_task.rollout = watched
    known = len(game.known)
    for _ in range(4):
        rival = game.rival.policy
        game.iterate()
        assert [p for p, _ in made[-2:]] == [game.policy, rival]
    assert sum(n for _, n in made) == 4 * game.settings.episodes == 4 * 16
    assert known == 2 and len(game.known) == 2 + 2 * 2  # after rounds 0 and 2, of both players
    assert all(len(x.trajectories) == 4 for x in game.known)
    assert game_of(restart=0).settings.episodes == 8


def test_a_candidates_entropy_is_its_policys(point_task: Any) -> None:
    agent = point_task.agent()
    candidate = Candidate.of(point_task.rollout(agent, 2000), 10)
    expected = float(agent.bounded_log_std.detach()) + 1.4189
    assert candidate.entropy == pytest.approx(expected, abs=0.03)
    assert len(candidate.trajectories) == 10


def test_the_exported_reward_is_the_running_mean(game_of: Callable[..., MLIRL]) -> None:
    game = game_of(averaging=0.75)
    before = copy.deepcopy(game.reward)
    game.iterate()
    for old, new, mean in zip(before.parameters(), game.newest.parameters(), game.reward.parameters()):
        torch.testing.assert_close(mean, 0.75 * old + 0.25 * new)
        assert not torch.equal(old, new) or old.numel() == 1


@pytest.mark.parametrize(
    "keys", [{"reward_steps": 0}, {"sharpness": 0.0}, {"averaging": 1.0}, {"slope": -1.0}]
)
def test_impossible_settings_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(keys))):
        build(MLIRLSettings, keys, "--set")


# --- its two steps, each the right way up ---


def test_reward_steps_go_up_the_likelihood(game_of: Callable[..., MLIRL]) -> None:
    """Down it, and demonstrations earn less and less than those who walk at random."""
    game = game_of(known=False, restart=0, reward_steps=40, gradient_penalty=0.0, learning_rate=1e-2)
    aimless = [Candidate.of(game.task.rollout(game.policy.aimless(), 64))]  # type: ignore[attr-defined]
    before = float(game.advantage(aimless).detach())
    after = game.step_reward(aimless)["advantage"]
    assert after > before + 0.1


def test_players_are_paid_the_newest_reward(game_of: Callable[..., MLIRL]) -> None:
    game = game_of(averaging=0.99)
    game.iterate()
    rollout = game.task.rollout(game.policy, 8)
    features = rollout.trajectories.features
    with torch.no_grad():
        newest, mean = (net.of_features(features[:, :-1]) for net in (game.newest, game.reward))
    torch.testing.assert_close(game.policy_reward(rollout), newest)
    assert not torch.allclose(newest, mean)


def test_it_goes_where_people_go(game_of: Callable[..., MLIRL], point_task: Any) -> None:
    """Paid the other way round the policy would flee from there."""
    ppo = PPOSettings(episodes=32, minibatches=4)
    game = game_of(iterations=60, reward_steps=10, learning_rate=5e-3, averaging=0.0, restart=0, ppo=ppo)
    before = point_task.miss(game.policy)
    while not game.finished:
        game.iterate()
    assert before > 0.5 and point_task.miss(game.policy) < 0.2


# --- resume ---


def test_resuming_equals_never_stopping(game_of: Callable[..., MLIRL], tmp_path: Path) -> None:
    whole = game_of()
    for _ in range(4):
        whole.iterate()
    save_checkpoint(tmp_path / "checkpoint", whole.state_dict())
    random = torch.get_rng_state()
    expected = [whole.iterate() for _ in range(3)]
    resumed = game_of()
    resumed.load_state_dict(load_checkpoint(tmp_path / "checkpoint"))
    torch.set_rng_state(random)
    assert [resumed.iterate() for _ in range(3)] == expected
    for mine, other in ((resumed.policy, whole.policy), (resumed.reward, whole.reward)):
        assert weights_sha256(mine) == weights_sha256(other)
