"""AIRL against the formulas of its paper, where the answer is known in closed form."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from irl_ros.errors import InputError
from irl_ros.irl.airl import AIRL, AIRLSettings
from irl_ros.irl.regularisation import gradient_penalty
from irl_ros.irl.samplers import Sampler, log_mixture, mixture_weights
from irl_ros.irl.transitions import Transitions
from irl_ros.rewards.reward import Reward
from irl_ros.rl.policy import Policy
from irl_ros.rl.ppo import PPOSettings
from irl_ros.rl.task import Rollout
from irl_ros.rl.throw_task import ThrowTask
from irl_ros.settings import build
from irl_ros.sim import Throws, World

SMALL = AIRLSettings(ppo=PPOSettings(episodes=8), sampler_episodes=4, batch=64, discriminator_steps=2)


@pytest.fixture
def policy(world: World, operator_throws: Throws) -> Policy:
    torch.manual_seed(0)
    made = Policy(world)
    made.observation.freeze(operator_throws.states)
    with torch.no_grad():
        made.net[-1].weight.normal_(0.0, 0.1)
    return made


@pytest.fixture
def game_of(
    world: World, operator_throws: Throws, policy: Policy, task_of: Callable[[Policy], ThrowTask]
) -> Callable[..., AIRL]:
    def make(**changes: object) -> AIRL:
        torch.manual_seed(1)
        task = task_of(policy)
        demonstrations = task.trajectories(operator_throws)
        return AIRL(task, demonstrations, policy, Reward(world), dataclasses.replace(SMALL, **changes))

    return make


# --- the background and its density ---


def test_the_mixture_is_the_weighted_sum_of_densities(game_of: Callable[..., AIRL]) -> None:
    game = game_of()
    weights = torch.tensor([0.4, 0.3, 0.2, 0.1])
    batch = Transitions.cat([x.transitions.draw(20) for x in game.samplers])
    density = torch.zeros(len(batch), dtype=torch.float64)
    for weight, sampler in zip(weights, game.samplers):
        log_prob = sampler.policy.log_prob(batch.observation, batch.action)
        density += float(weight) * log_prob.detach().double().exp()
    expected = density.log().clamp(-20, 20).float()
    torch.testing.assert_close(log_mixture(batch, game.samplers, weights), expected, atol=1e-3, rtol=1e-4)
    assert (expected > -20).float().mean() > 0.5


def test_a_mixture_of_one_is_the_policy(game_of: Callable[..., AIRL], policy: Policy) -> None:
    game = game_of()
    batch = game.samplers[0].transitions.draw(50)
    alone = log_mixture(batch, [Sampler(policy, game.samplers[0].trajectories)], torch.ones(1))
    log_prob = policy.log_prob(batch.observation, batch.action).detach().clamp(-20, 20)
    torch.testing.assert_close(alone, log_prob)


def test_the_mixture_grows_by_the_policies_of_the_game(game_of: Callable[..., AIRL]) -> None:
    game = game_of(keep_every=2)
    assert len(game.samplers) == 4
    for _ in range(5):
        game.iterate()
    assert len(game.samplers) == 4 + 2 * 3  # rounds 0, 2, 4: the rival and the policy
    kept = game.samplers[4:]
    assert len({x.policy.sha256 for x in kept[::2]}) == 3, "the rival learns from the first round"
    assert len({x.policy.sha256 for x in kept[1::2]}) == 2, "the policy has a head start to wait for"
    assert all(len(x.transitions) == 4 * 60 for x in kept)
    assert game_of(background=False).samplers == []


# --- f, D and the policy's reward ---


@pytest.mark.parametrize("ends", [False, True])
def test_f_is_reward_plus_shaping(game_of: Callable[..., AIRL], ends: bool) -> None:
    """Eq. 4, entry by entry."""
    game = game_of(gain=3.0, shaping_ends=ends)
    with torch.no_grad():
        game.discriminator.offset.fill_(0.7)
        game.discriminator.shaping[-1].weight.normal_()
    batch = game.demonstrations[torch.tensor([0, 17, 58, 59, 119])]  # the last two end an episode
    game.discriminator.networks.requires_grad_(False)
    f = game.discriminator.f(batch).tolist()
    for i in range(5):
        g = float(game.reward.of_features(batch.features[i]))
        h = float(game.discriminator.shaping(batch.observation[i]))
        h_next = float(game.discriminator.shaping(batch.next_observation[i]))
        h_next *= i < 3 or not ends
        assert f[i] == pytest.approx(3.0 * g + 0.7 + 0.99 * h_next - h, abs=1e-5)


def test_the_policy_is_paid_f_and_release_shaping(game_of: Callable[..., AIRL], world: World) -> None:
    game = game_of(gain=4.0)
    with torch.no_grad():
        game.discriminator.offset.fill_(5.0)  # must not show: a constant a step says nothing
        game.discriminator.shaping[-1].weight.normal_()
        game.reward.net[-1].weight.normal_()
    rollout = game.task.rollout(game.policy, 3)
    paid = game.policy_reward(rollout, game.samplers)
    f = game.discriminator.f(Transitions.of(rollout.trajectories)).detach().reshape(3, 60)
    added = game.task.shaping(rollout, game.reward, 0.99)
    torch.testing.assert_close(paid, (f - 5.0) / 4.0 + added, atol=1e-4, rtol=1e-4)
    assert not paid.requires_grad


def test_the_rival_is_paid_the_reward_and_release_shaping(
    game_of: Callable[..., AIRL], monkeypatch: pytest.MonkeyPatch
) -> None:
    game = game_of(rival=5)
    seen: list[tuple[Rollout, Tensor]] = []
    monkeypatch.setattr(game.rival, "update", lambda rollout, paid: seen.append((rollout, paid)))
    with torch.no_grad():
        game.reward.net[-1].weight.normal_()
    game.iterate()
    ((rollout, paid),) = seen
    made = rollout.trajectories
    with torch.no_grad():
        g = game.reward.of_features(made.features[:, :-1], made.actions)
    torch.testing.assert_close(paid, g + game.task.shaping(rollout, game.reward, 0.99))
    assert float(g.std()) > 0.01


def test_the_policy_can_be_paid_what_a_gan_would_pay(game_of: Callable[..., AIRL]) -> None:
    """D = exp f / (exp f + μ), put together in double precision without logarithms of sums."""
    games = {kind: game_of(gain=4.0, policy_reward=kind) for kind in ("logit", "discriminator")}
    rollout = games["logit"].task.rollout(games["logit"].policy, 3)
    batch = Transitions.of(rollout.trajectories)
    for kind, game in games.items():
        weights = mixture_weights(len(game.samplers))
        f = game.discriminator.f(batch).detach().double()
        d = f.exp() / (f.exp() + log_mixture(batch, game.samplers, weights).double().exp())
        expected = d.log() - (1 - d).log() if kind == "logit" else d.log()
        expected = expected.reshape(3, 60).float() / 4.0 + game.task.shaping(rollout, game.reward, 0.99)
        paid = game.policy_reward(rollout, game.samplers)
        torch.testing.assert_close(paid, expected, atol=1e-3, rtol=1e-3)


def two_places(game: AIRL, share: float, count: int = 4000) -> Transitions:
    """Transitions in one of two kinds of state, A with probability `share`; the action tells them apart too.

    Both are seen alike by h, and are apart in what g sees. In A the joints are moved as the policy would, in
    B off by 1.2 standard deviations: its density there is smaller.
    """
    one = game.demonstrations[torch.zeros(count, dtype=torch.long)]
    a = torch.arange(count) < share * count
    features = torch.where(a[:, None], 0.4, -0.4) * torch.ones(count, game.reward.features.size)
    mean, log_std, _ = game.policy.distribution(one.observation)
    off = torch.where(a[:, None], 0.0, 1.2) * log_std.exp() / math.sqrt(7)
    action = torch.cat(((mean + off).detach(), -torch.ones(count, 1)), -1)
    return dataclasses.replace(one, features=features, next_observation=one.observation, action=action)


def sampler_of(policy: Policy, transitions: Transitions) -> Sampler:
    """A sampler that contributed just these transitions."""
    made = Sampler(policy, None)  # type: ignore[arg-type]
    vars(made)["transitions"] = transitions
    return made


def test_the_best_discriminator_knows_the_density_ratio(game_of: Callable[..., AIRL]) -> None:
    """D* = p_demo / (p_demo + p_sample), so f* − log μ = log(p_demo / p_sample) (Fu et al., appendix A)."""
    game = game_of(
        gradient_penalty=0.0, weight_decay=0.0, match_noise=False, discriminator_steps=400, batch=512
    )
    d = game.discriminator
    d.optimizer = torch.optim.Adam([*d.networks.parameters(), d.offset], lr=5e-3)
    game.demonstrations = two_places(game, 0.8)
    sampler = sampler_of(game.policy, two_places(game, 0.3))
    d.train(game.demonstrations, [sampler], game.policy)
    a, b = sampler.transitions[torch.tensor([0])], sampler.transitions[torch.tensor([3999])]
    log_mu = [float(log_mixture(x, [sampler], torch.ones(1))) for x in (a, b)]
    assert log_mu[0] - log_mu[1] == pytest.approx(0.72, abs=0.01)  # ½ · 1.2²
    game.discriminator.networks.requires_grad_(False)
    game.discriminator.offset.requires_grad_(False)
    logit = [float(game.discriminator.f(x)) - m for x, m in zip((a, b), log_mu)]
    assert logit[0] == pytest.approx(math.log(0.8 / 0.3), abs=0.15)
    assert logit[1] == pytest.approx(math.log(0.2 / 0.7), abs=0.15)
    # and g, alone able to tell A from B, has taken ratio and density: the reward of a likely place is high
    g = [float(game.reward.of_features(x.features)) for x in (a, b)]
    assert 5 * (g[0] - g[1]) == pytest.approx(math.log(0.8 / 0.3 * 0.7 / 0.2) + 0.72, abs=0.3)


def test_half_of_the_samples_are_todays_policys(
    game_of: Callable[..., AIRL], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def marked(sampler: Sampler, number: int) -> Sampler:
        plain = sampler.transitions
        return sampler_of(
            sampler.policy,
            dataclasses.replace(plain, features=torch.full_like(plain.features, float(number))),
        )

    def spy(batch: Transitions, samplers: list[Sampler], weights: Tensor) -> Tensor:
        seen.append((batch, weights))
        return log_mixture(batch, samplers, weights)

    monkeypatch.setattr("irl_ros.irl.discriminator.log_mixture", spy)
    game = game_of(discriminator_steps=1, batch=4000)
    mixture = [marked(x, i) for i, x in enumerate(game.samplers)]  # the last is taken for today's
    game.discriminator.train(game.demonstrations, mixture, game.policy)
    (batch, weights) = seen[0]
    torch.testing.assert_close(weights, torch.tensor([1 / 6, 1 / 6, 1 / 6, 1 / 2]))
    assert len(batch) == 8000
    drawn = batch.features[4000:, 0].long().bincount() / 4000
    torch.testing.assert_close(drawn, weights, atol=0.03, rtol=0)


def test_demonstrations_of_the_policy_itself_teach_nothing(game_of: Callable[..., AIRL]) -> None:
    """At the game's end p_demo = p_sample: D is ½ everywhere and f is log π (Fu et al. 2018, §4)."""
    game = game_of(
        gradient_penalty=0.0, weight_decay=0.0, match_noise=False, discriminator_steps=200, batch=512
    )
    d = game.discriminator
    d.optimizer = torch.optim.Adam([*d.networks.parameters(), d.offset], lr=5e-3)
    game.demonstrations = two_places(game, 0.5)
    sampler = sampler_of(game.policy, two_places(game, 0.5))
    d.train(game.demonstrations, [sampler], game.policy)
    batch = sampler.transitions
    logit = game.discriminator.f(batch).detach() - log_mixture(batch, [sampler], torch.ones(1))
    assert float(logit.abs().max()) < 0.2


def test_demonstrated_actions_get_the_samplers_noise(
    game_of: Callable[..., AIRL], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    plain = Policy.jitter
    monkeypatch.setattr(Policy, "jitter", lambda self, action: given.append(self) or plain(self, action))
    game = game_of()
    game.discriminator.train(game.demonstrations, game.samplers, game.policy)
    assert given == [game.policy, game.policy]
    blunt = game_of(match_noise=False)
    blunt.discriminator.train(blunt.demonstrations, blunt.samplers, blunt.policy)
    assert len(given) == 2


def test_the_gradient_penalty_is_the_slope_of_g(game_of: Callable[..., AIRL]) -> None:
    game = game_of()
    with torch.no_grad():
        game.reward.net[-1].weight.normal_()
    game.reward.double()
    one = game.demonstrations[torch.arange(10)].to(dtype=torch.float64)
    x = torch.randn(3, game.reward.features.size, dtype=torch.float64)
    slopes = torch.zeros(3, dtype=torch.float64)
    for i in range(game.reward.features.size):
        step = torch.zeros(game.reward.features.size, dtype=torch.float64)
        step[i] = 1e-5
        with torch.no_grad():
            slope = (game.reward.of_features(x + step) - game.reward.of_features(x - step)) / 2e-5
        slopes += slope**2
    for i in range(3):
        both = dataclasses.replace(one, features=x[i].expand(10, -1))  # mixed with itself
        penalty = float(gradient_penalty(game.reward, both, both).detach())
        assert penalty == pytest.approx(float(slopes[i]), rel=1e-5)


def test_the_penalty_makes_g_flatter(game_of: Callable[..., AIRL]) -> None:
    slopes = []
    for weight in (0.0, 5.0):
        game = game_of(gradient_penalty=weight, discriminator_steps=100)
        game.discriminator.train(game.demonstrations, game.samplers, game.policy)
        x = game.demonstrations
        slopes.append(float(gradient_penalty(game.reward, x, x).detach()))
    assert slopes[1] < 0.5 * slopes[0]


# --- the course of the game ---


def test_the_policy_waits_for_the_discriminators_head_start(game_of: Callable[..., AIRL]) -> None:
    game = game_of(head_start=2)
    before, g = game.policy.sha256, game.reward.net[0].weight.clone()
    for _ in range(2):
        game.iterate()
    assert game.policy.sha256 == before
    assert not torch.equal(game.reward.net[0].weight, g)
    game.iterate()
    assert game.policy.sha256 != before


def nearness(game: AIRL) -> None:
    """g becomes −(the first feature): a small one is good. It stays so while the learning rate is 0."""

    def of_features(features: Tensor, actions: Tensor | None = None) -> Tensor:
        return -features[..., 0] + 0.0 * plain(features)

    plain = game.reward.of_features

    game.reward.of_features = of_features  # type: ignore[method-assign]


@pytest.mark.parametrize("better", [True, False])
def test_the_game_ends_when_the_policy_scores_what_the_demonstrations_score(
    game_of: Callable[..., AIRL], better: bool
) -> None:
    game = game_of(learning_rate=0.0, least=3, iterations=5, discriminator_steps=1, rival=0)
    nearness(game)
    first = torch.ones(len(game.demonstrations)) if better else torch.zeros(len(game.demonstrations))
    features = game.demonstrations.features.clone()
    features[:, 0] = first
    game.demonstrations = dataclasses.replace(game.demonstrations, features=features)
    while not game.finished:
        figures = game.iterate()
        assert (figures["reward_mean"] >= figures["reward_demonstrations"]) == better
    assert game.over == better
    assert game.round == (4 if better else 5)  # three rounds at least before ψ may rest


def test_psi_rests_only_while_neither_expert_nor_rival_scores_more(game_of: Callable[..., AIRL]) -> None:
    game = game_of(least=0)
    nearness(game)

    def scoring(score: float) -> Sampler:
        one = game.samplers[0].trajectories
        return Sampler(game.policy, dataclasses.replace(one, features=torch.full_like(one.features, -score)))

    game.demonstrations = dataclasses.replace(
        game.demonstrations, features=torch.full_like(game.demonstrations.features, -0.5)
    )
    for rival, policy, rests in ((0.1, 0.6, True), (0.7, 0.6, False), (0.1, 0.4, False), (0.5, 0.4, False)):
        settled, scores = game.settled([scoring(rival), scoring(policy)])
        assert settled == rests
        assert scores["reward_best"] == pytest.approx(max(rival, policy))


def test_a_game_with_a_rival_ends_with_its_life(game_of: Callable[..., AIRL]) -> None:
    game = game_of(learning_rate=0.0, least=0, rival=3, iterations=20, discriminator_steps=1)
    game.settled = lambda players: (game.round >= 1, {})  # type: ignore[method-assign]
    first = game.rival.policy
    while not game.finished:
        game.iterate()
        if game.round == 2:
            assert game.rival.policy is first
            assert game.rival.policy.sha256 != first.untrained().sha256
    assert game.round == 3 and game.over
    assert game.rival.policy is not first


def test_an_unsettled_life_is_followed_by_another(game_of: Callable[..., AIRL]) -> None:
    game = game_of(learning_rate=0.0, least=0, rival=2, iterations=6, discriminator_steps=1)
    game.settled = lambda players: (False, {})  # type: ignore[method-assign]
    rivals = set()
    while not game.finished:
        rivals.add(id(game.rival.policy))
        game.iterate()
    assert game.round == 6 and not game.over
    assert len(rivals) == 3


def test_it_plays_on_where_it_is_told_to(game_of: Callable[..., AIRL]) -> None:
    game = game_of(learning_rate=0.0, least=0, iterations=2, stop_at_match=False, rival=0)
    nearness(game)
    worst = torch.ones_like(game.demonstrations.features)
    game.demonstrations = dataclasses.replace(game.demonstrations, features=worst)
    while not game.finished:
        figures = game.iterate()
    assert figures["reward_mean"] >= figures["reward_demonstrations"]
    assert game.round == 2 and not game.over


@pytest.mark.parametrize("key", ["keep_every", "batch", "discriminator_steps", "sampler_episodes", "gain"])
def test_impossible_settings_are_refused(key: str) -> None:
    with pytest.raises(InputError, match=f"airl: {key}: must be"):
        build(AIRLSettings, {key: 0}, "--set", "airl.")
