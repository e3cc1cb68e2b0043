"""Off-policy AIRL: its discriminator in closed form, its books of episodes, its end, a point it guides."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from irl_ros.errors import InputError
from irl_ros.irl.learn import learn
from irl_ros.irl.sac_airl import SACAIRL, SACAIRLSettings
from irl_ros.irl.samplers import Sampler, log_mixture
from irl_ros.irl.transitions import Transitions
from irl_ros.rewards.reward_net import RewardNet, RewardSettings
from irl_ros.rl.sac import SACSettings
from irl_ros.rl.task import Rollout, Trajectories
from irl_ros.settings import build

SMALL = SACAIRLSettings(
    episodes=6,
    explorers=2,
    head_start=3,
    keep_every=2,
    discriminator_steps=2,
    batch=64,
    iterations=12,
    settle=4,
    stop_at_match=False,
    sac=SACSettings(steps=3, batch=32, hidden=(16,)),
)


@pytest.fixture
def game_of(point_task: Any) -> Callable[..., SACAIRL]:
    """A small game; `game.task.played` tells who acted, and how often."""
    rollout, point_task.played = point_task.rollout, []

    def watched(policy: object, episodes: int) -> Rollout:
        point_task.played.append((policy, episodes))
        return rollout(policy, episodes)

    point_task.rollout = watched
    point_task.shaping = lambda rollout, reward, gamma: 0.1 * rollout.trajectories.actions[..., 0]

    def make(**changes: object) -> SACAIRL:
        torch.manual_seed(0)
        reward = RewardNet(1, 1, RewardSettings(hidden=(16,)))
        settings = dataclasses.replace(SMALL, **changes)  # type: ignore[arg-type]
        return SACAIRL(point_task, point_task.demonstrations(), point_task.agent(), reward, settings)

    return make


# --- rewards and discriminator ---


def test_the_policy_is_paid_todays_f_for_old_episodes(game_of: Callable[..., SACAIRL]) -> None:
    game = game_of(gain=3.0)
    with torch.no_grad():
        game.discriminator.offset.fill_(5.0)  # must not show: a constant a step says nothing
        game.discriminator.shaping[-1].weight.normal_()
        game.reward.net[-1].weight.normal_()
    rollout = game.task.rollout(game.policy, 4)
    paid = game.policy_reward(rollout)
    seen = rollout.trajectories.observations
    with torch.no_grad():
        for n, t in ((0, 0), (3, 5), (2, 11)):
            g = float(game.reward.of_features(seen[n, t, :1]))
            h, h_next = (float(game.discriminator.shaping(seen[n, k])) for k in (t, t + 1))
            shaping = 0.1 * float(rollout.trajectories.actions[n, t, 0])
            assert float(paid[n, t]) == pytest.approx(g + (0.99 * h_next - h) / 3 + shaping, abs=1e-5)


def test_the_best_discriminator_knows_the_density_ratio(game_of: Callable[..., SACAIRL]) -> None:
    """f* − log μ = log(p_demo / p_sample) (Fu et al. 2018, appendix A), with μ a mixture of two policies."""
    game = game_of(
        gradient_penalty=0.0, weight_decay=0.0, match_noise=False, discriminator_steps=400, batch=512
    )
    d = game.discriminator
    d.optimizer = torch.optim.Adam([*d.networks.parameters(), d.offset], lr=5e-3)
    wide = game.policy.noisier(2.0)  # type: ignore[attr-defined]

    def places(share: float, count: int = 4000) -> Trajectories:
        """One-step episodes in place +½ with probability `share`, else −½, of actions 0.7 and 0."""
        right = torch.arange(count) < share * count
        seen = torch.zeros(count, 2, 2)  # h cannot tell the places apart
        features = torch.where(right, 0.5, -0.5)[:, None, None].expand(-1, 2, 1)
        return Trajectories(seen, features, torch.where(right, 0.7, 0.0)[:, None, None])

    game.demonstrations = Transitions.of(places(0.8))
    game.samplers = [Sampler(game.policy, places(0.3)), Sampler(wide, places(0.3))]
    d.train(game.demonstrations, game.samplers, game.policy)
    both = game.samplers[0].transitions[torch.tensor([0, 3999])]
    with torch.no_grad():
        log_mu = log_mixture(both, game.samplers, torch.tensor([0.5, 0.5]))
        logit = d.f(both) - log_mu
    assert float(logit[0]) == pytest.approx(math.log(0.8 / 0.3), abs=0.15)
    assert float(logit[1]) == pytest.approx(math.log(0.2 / 0.7), abs=0.15)
    assert abs(float(log_mu[0] - log_mu[1])) > 0.5


# --- the books ---


def test_every_episode_is_counted_and_kept(game_of: Callable[..., SACAIRL]) -> None:
    """What a round makes is what its settings say: the sample efficiency rests on it."""
    game = game_of()
    for k in range(8):
        game.iterate()
        assert sum(n for _, n in game.task.played) == (k + 1) * SMALL.episodes  # type: ignore[attr-defined]
        assert game.replay is not None and len(game.replay) == (k + 1) * SMALL.episodes
    # a head start of the clone and its wrong variants, then the policy with a wrong one beside it
    counts = [n for _, n in game.task.played]  # type: ignore[attr-defined]
    assert counts == [6, 6, 6] + [4, 2] * 5
    assert [p is game.policy for p, _ in game.task.played] == [True, False, False] + [True, False] * 5  # type: ignore[attr-defined]
    # in the mixture: three of the head start, then one policy for every two rounds, of its own episodes only
    assert [len(s.trajectories) for s in game.samplers] == [6, 6, 6, 8, 8, 4]
    newest, last = game.samplers[-1], game.task.played[-2]  # type: ignore[attr-defined]
    assert last[1] == 4 and newest.policy is not game.policy
    seen = newest.transitions.observation
    older = game.samplers[-2].policy.log_prob(seen, newest.transitions.action)
    assert not torch.equal(newest.policy.log_prob(seen, newest.transitions.action), older)


def test_the_clone_is_left_alone_in_the_head_start(game_of: Callable[..., SACAIRL]) -> None:
    game = game_of()
    before = {k: v.clone() for k, v in game.policy.state_dict().items()}
    for _ in range(3):
        game.iterate()
    assert all(torch.equal(before[k], v) for k, v in game.policy.state_dict().items())
    game.iterate()
    assert not all(torch.equal(before[k], v) for k, v in game.policy.state_dict().items())


def test_after_the_game_the_reward_stays_and_policy_steps_shrink(game_of: Callable[..., SACAIRL]) -> None:
    game = game_of()
    rates = []
    while not game.finished:
        game.iterate()
        rates.append(game.sac.policy_optimizer.param_groups[0]["lr"] / game.settings.sac.policy_learning_rate)
        if game.round == 8:
            kept = {k: v.clone() for k, v in game.discriminator.networks.state_dict().items()}
    assert game.round == 12
    assert rates == pytest.approx([1.0] * 9 + [0.75, 0.5, 0.25])
    assert all(torch.equal(kept[k], v) for k, v in game.discriminator.networks.state_dict().items())


def test_a_match_ends_the_game_when_a_sampler_is_whole(
    game_of: Callable[..., SACAIRL], monkeypatch: pytest.MonkeyPatch
) -> None:
    game = game_of(stop_at_match=True, least=6)
    expert = game.demonstrations
    g = game.discriminator.g
    monkeypatch.setattr(
        game.discriminator, "g", lambda batch: 0.0 * g(batch) + (0.0 if batch is expert else 0.1)
    )
    while not game.finished:
        game.iterate()
    assert game.over == 7  # asked after rounds 5, 7, 9 … and not before round 6
    assert game.round == 7 + 4


@pytest.mark.parametrize("keys", [{"episodes": 0}, {"explorers": 16}, {"gain": 0.0}, {"settle": 181}])
def test_impossible_settings_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(keys))):
        build(SACAIRLSettings, keys, "--set")


# --- learning ---


def test_it_finds_where_the_demonstrations_go(point_task: Any) -> None:
    """From an untrained policy, on 20 episodes of a point that goes to 0.6: policy and reward must say so."""
    torch.manual_seed(1)
    reward = RewardNet(1, 1, RewardSettings(hidden=(32,)))
    settings = SACAIRLSettings(
        episodes=16,
        iterations=30,
        settle=10,
        stop_at_match=False,
        batch=128,
        match_noise=False,
        learning_rate=3e-3,
        sac=SACSettings(
            steps=25, batch=128, hidden=(64,), learning_rate=3e-3, policy_learning_rate=3e-3, tau=0.05
        ),
    )
    agent = point_task.agent()
    untrained = point_task.miss(agent)
    game = SACAIRL(point_task, point_task.demonstrations(), agent, reward, settings)
    while not game.finished:
        game.iterate()
    assert point_task.miss(agent) < 0.15 < 0.4 < untrained
    x = torch.linspace(-1.5, 1.5, 61)[:, None]
    with torch.no_grad():
        best = float(x[reward.of_features(x).argmax()])
    assert best == pytest.approx(point_task.goal, abs=0.25)


# --- resume ---

QUICK = (
    "bc.steps=60",
    "bc.batch=64",
    "sac_airl.iterations=6",
    "sac_airl.settle=2",
    "sac_airl.head_start=2",
    "sac_airl.keep_every=2",
    "sac_airl.stop_at_match=false",
    "sac_airl.discriminator_steps=2",
    "sac_airl.batch=64",
    "sac_airl.episodes=4",
    "sac_airl.explorers=1",
    "sac_airl.sac.steps=4",
    "sac_airl.sac.batch=32",
    "polish.iterations=0",
    "trainer.checkpoint_every=2",
    "trainer.practice_every=99",
)


def test_resuming_equals_never_stopping(
    bags: Path, tmp_path: Path, interrupt_after: Callable[[int], None]
) -> None:
    def run(name: str, resume: bool = False) -> Path:
        return learn([bags], tmp_path / name, "sac_airl", device="cpu", overrides=QUICK, resume=resume)

    whole = run("whole")
    for rounds in (3, 5):  # in the middle of a sampler; after the game
        interrupt_after(rounds)
        with pytest.raises(KeyboardInterrupt):
            run("stopped", resume=rounds > 3)
    resumed = run("stopped", resume=True)
    for name in ("policy.safetensors", "reward.safetensors"):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes(), name
