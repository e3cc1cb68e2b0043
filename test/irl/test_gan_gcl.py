"""GAN-GCL where its paper says what must come out: D of ½, log Z, density ratios; and that it learns."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from irl_ros.errors import InputError
from irl_ros.irl.airl import AIRL, AIRLSettings
from irl_ros.irl.bc import BCSettings, clone
from irl_ros.irl.checkpoint import load_checkpoint, save_checkpoint
from irl_ros.irl.fusion import log_partition
from irl_ros.irl.gan_gcl import GANGCL, PAPER, GANGCLSettings
from irl_ros.irl.samplers import Sampler, log_mixture, mixture_weights
from irl_ros.irl.segments import Segments, draw_mixed_segments, log_mixture_of_segments
from irl_ros.irl.transitions import Transitions
from irl_ros.rewards.reward_net import RewardNet
from irl_ros.rl.gaussian_agent import GaussianAgent
from irl_ros.rl.ppo import PPOSettings
from irl_ros.rl.task import Task, Trajectories
from irl_ros.settings import build

SMALL = GANGCLSettings(
    ppo=PPOSettings(episodes=32), sampler_episodes=16, batch=120, discriminator_steps=3, log_bound=math.inf
)
GAIN, NEAR, EFFORT, GOAL = 5.0, 0.8, 1.5, 1.2


class Quadratic(RewardNet):
    """gain · g = −½ NEAR (x − GOAL)² − ½ EFFORT a²: one whose soft-optimal policy and log Z are known."""

    def __init__(self) -> None:
        super().__init__(1, 1)

    def of_features(self, features: Tensor, actions: Tensor | None = None) -> Tensor:
        assert actions is not None
        value = -0.5 * NEAR * (features[..., 0] - GOAL) ** 2 - 0.5 * EFFORT * actions[..., 0] ** 2
        return value / GAIN + 0.0 * self.net[-1].bias


class SoftOptimal(nn.Module):
    """π ∝ exp of what is to come, by dynamic programming: V_t(x) = log ∫ exp(r(x, a) + V_{t+1}(x + a)) da.

    V_t(x) = −½ P_t x² + p_t x + k_t, π_t = N((p_{t+1} − P_{t+1} x) / Λ, 1 / Λ) with Λ = EFFORT + P_{t+1}.
    """

    def __init__(self, horizon: int) -> None:
        super().__init__()
        self.horizon, value = horizon, [(0.0, 0.0, 0.0)]
        for _ in range(horizon):
            P, p, k = value[0]
            precision = EFFORT + P
            k += 0.5 * math.log(2 * math.pi / precision) + 0.5 * p * p / precision - 0.5 * NEAR * GOAL**2
            value.insert(0, (NEAR + P - P * P / precision, NEAR * GOAL + p - P * p / precision, k))
        self.table = torch.tensor(value)
        self.log_z = value[0][2]  # V_0(0)

    def step(self, observation: Tensor) -> Tensor:
        return ((observation[..., 1] + 1) / 2 * self.horizon).round().long()

    def V(self, observation: Tensor) -> Tensor:
        P, p, k = self.table[self.step(observation)].unbind(-1)
        x = observation[..., 0]
        return -0.5 * P * x * x + p * x + k

    def law(self, observation: Tensor) -> torch.distributions.Normal:
        P, p, _ = self.table[self.step(observation) + 1].unbind(-1)
        precision = EFFORT + P
        return torch.distributions.Normal((p - P * observation[..., 0]) / precision, precision**-0.5)

    def sample(self, observation: Tensor) -> Tensor:
        return self.law(observation).sample()[..., None]

    def log_prob(self, observation: Tensor, action: Tensor) -> Tensor:
        return self.law(observation).log_prob(action[..., 0])

    def jitter(self, action: Tensor) -> Tensor:
        raise AssertionError("nobody asked for noise")

    def value_network(self) -> nn.Module:
        return nn.Linear(2, 1)


class Worth(nn.Module):
    """V as a network: [..., 2] → [..., 1]."""

    def __init__(self, optimal: SoftOptimal) -> None:
        super().__init__()
        self.optimal = optimal

    def forward(self, observation: Tensor) -> Tensor:
        return self.optimal.V(observation)[..., None]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def game_of(
    task: Task, demonstrations: Trajectories, policy: Any, reward: RewardNet, **changes: Any
) -> GANGCL:
    return GANGCL(task, demonstrations, policy, reward, dataclasses.replace(SMALL, **changes))


def train_to_the_end(game: GANGCL, mixture: list[Sampler]) -> None:
    """Discriminator steps, then small ones: what is left of the batches' chance averages out."""
    for factor in (1.0, 0.2, 0.2):
        for group in game.optimizer.param_groups:
            group["lr"] *= factor
        game.train_discriminator(mixture)


LineTask = Callable[[int], Any]

# --- the game's end: policy and reward agree ---


def test_the_soft_optimal_policy_is_the_one_that_exp_r_describes() -> None:
    """The closed form against a sum over a grid of all pairs of actions."""
    optimal, a = SoftOptimal(2), torch.linspace(-9, 9, 1501, dtype=torch.float64)
    first, second = a[:, None], a[None, :]
    r = -0.5 * NEAR * (GOAL**2 + (first - GOAL) ** 2) - 0.5 * EFFORT * (first**2 + second**2)
    log_z = torch.logsumexp(r.flatten(), 0) + 2 * math.log(18 / 1500)
    assert optimal.log_z == pytest.approx(float(log_z), abs=1e-5)
    mean = float((r - log_z).exp().sum(1) @ a) * (18 / 1500) ** 2
    assert float(optimal.law(torch.tensor([0.0, -1.0])).mean) == pytest.approx(mean, abs=1e-5)


@pytest.mark.parametrize("temper", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("horizon", "segment"), [(1, 0), (4, 0), (4, 1), (4, 2), (4, 3)])
def test_the_best_discriminator_is_one_half_where_policy_and_reward_agree(
    line_task: LineTask, horizon: int, segment: int, temper: float
) -> None:
    """π ∝ exp R exactly: every logit of every episode and segment is 0, whoever made it."""
    task, optimal = line_task(horizon), SoftOptimal(horizon)
    made = task.rollout(optimal, 50).trajectories
    game = game_of(
        task, made, optimal, Quadratic(), segment=segment, temper=temper, fusion=False, match_noise=False
    )
    if segment:
        game.shaping = Worth(optimal)  # what is still to come, where a segment starts and ends
    else:
        game.log_z_a_step.data.fill_(optimal.log_z / horizon)
    mixture = [Sampler(optimal, made)]
    anyone = task.rollout(GaussianAgent(2, 1), 50).trajectories
    for episodes in (made, anyone):
        segments = Segments.draw(episodes, game.length, 200)
        torch.testing.assert_close(game.logit(segments, mixture), torch.zeros(200), atol=2e-4, rtol=0)
    # a policy that is too eager is told: its own episodes are likelier under it than under the reward
    eager = GaussianAgent(2, 1)
    eager.log_std.data.fill_(-2.0)
    own = task.rollout(eager, 400).trajectories
    logit = game.logit(Segments.draw(own, game.length, 400), [Sampler(eager, own)])
    assert float(logit.detach().mean()) < -0.2


def test_log_z_begins_where_d_cannot_tell(line_task: LineTask) -> None:
    """R − log q of the reward's own soft-optimal policy is log Z in every episode."""
    task, optimal = line_task(3), SoftOptimal(3)
    made = task.rollout(optimal, 50).trajectories
    game = game_of(task, made, optimal, Quadratic(), temper=0.0, fusion=False, match_noise=False)
    game.log_z_a_step.data.fill_(7.0)
    game.start_log_z([Sampler(optimal, made)])
    assert float(game.log_z.detach()) == pytest.approx(optimal.log_z, abs=1e-3)


@pytest.mark.parametrize("fusion", [False, True])
def test_the_learned_log_z_is_guided_cost_learnings_estimate_and_the_truth(
    line_task: LineTask, fusion: bool
) -> None:
    """Finn et al. 2016b, §3: at the best Z, D's is the importance sampler's."""
    task, optimal = line_task(3), SoftOptimal(3)
    demonstrations = task.rollout(optimal, 4000).trajectories
    wide, narrow = GaussianAgent(2, 1), GaussianAgent(2, 1)
    wide.log_std.data.fill_(0.2)
    narrow.log_std.data.fill_(-0.5)
    policies = [narrow, wide] if fusion else [wide]
    mixture = [Sampler.frozen(p, task.rollout(p, 4000).trajectories) for p in policies]
    game = game_of(
        task, demonstrations, wide, Quadratic(), fusion=fusion, background=False, match_noise=False,
        temper=0.0, batch=6000, discriminator_steps=30, learning_rate=0.0, gradient_penalty=0.0,
        log_z_rate=0.1,
    )  # fmt: skip
    train_to_the_end(game, mixture)
    # log Z ≈ log mean of exp R(τ) / q(τ) over samples of q (Finn et al. 2016a, eq. 3)
    weights = mixture_weights(len(mixture))
    samples = draw_mixed_segments(mixture, weights, 3, 20000)
    R = GAIN * Quadratic().of_features(samples.steps.features[:, :-1], samples.steps.actions).sum(1)
    log_w = R - log_mixture_of_segments(samples, mixture, weights, math.inf)
    estimate = float(log_partition(log_w.detach()))
    assert estimate == pytest.approx(optimal.log_z, abs=0.05)
    assert float(game.log_z.detach()) == pytest.approx(optimal.log_z, abs=0.08)


# --- what D knows ---


def two_kinds(policy: GaussianAgent, share: float, count: int = 2000) -> Trajectories:
    """Episodes of three steps of two kinds, A with probability `share`; features and actions tell them apart.

    In A the policy's mean is done, in B it is missed by one standard deviation in every step.
    """
    a = torch.arange(count) < share * count
    observations = torch.zeros(count, 4, 2)
    features = torch.where(a, 0.4, -0.4)[:, None, None].expand(count, 4, 1)
    with torch.no_grad():
        off = torch.where(a, 0.0, 1.0) * policy.bounded_log_std.exp()
        actions = policy.mode(observations[:, :-1]) + off[:, None, None]
    return Trajectories(observations, features, actions)


@pytest.mark.parametrize("temper", [0.0, 1.0])
def test_the_best_discriminator_knows_the_density_ratio(line_task: LineTask, temper: float) -> None:
    """D* = p_demo / (p_demo + p_sample) of episodes; R − log Z takes both densities."""
    policy = GaussianAgent(2, 1)
    game = game_of(
        line_task(3), two_kinds(policy, 0.8), policy, RewardNet(1, 1), temper=temper, batch=1500,
        discriminator_steps=70, learning_rate=2e-2, log_z_rate=0.1, weight_decay=0.0, gradient_penalty=0.0,
        match_noise=False,
    )  # fmt: skip
    sampled = two_kinds(policy, 0.3)
    mixture = [Sampler.frozen(policy, sampled)]
    train_to_the_end(game, mixture)
    kinds = [Segments.draw(sampled[i : i + 1], 3, 1) for i in (0, 1999)]
    with torch.no_grad():
        logit = [float(game.logit(x, mixture)) for x in kinds]
        R = [float(game.R(x)) for x in kinds]
    assert logit[0] == pytest.approx(math.log(0.8 / 0.3), abs=0.1)
    assert logit[1] == pytest.approx(math.log(0.2 / 0.7), abs=0.1)
    # R has taken the ratio and what the densities differ by, ½ a step: a likely episode has a high reward
    ratio = math.log(0.8 / 0.3) - math.log(0.2 / 0.7)
    assert R[0] - R[1] == pytest.approx(3**temper * ratio + 1.5, abs=0.3)


def test_tempering_divides_the_logit_by_a_power_of_the_length(line_task: LineTask) -> None:
    task, policy, reward = line_task(6), GaussianAgent(2, 1), RewardNet(1, 1)
    episodes = task.rollout(policy, 10).trajectories
    segments = Segments(episodes, torch.ones(10, dtype=torch.bool))
    logit = {}
    for temper in (0.0, 0.5, 1.0):
        game = game_of(task, episodes, policy, reward, temper=temper)
        game.log_z_a_step.data.fill_(0.3)
        logit[temper] = game.logit(segments, [Sampler(policy, episodes)])
    paper = GAIN * reward.of_features(episodes.features[:, :-1]).sum(1) - 6 * 0.3
    paper = paper - policy.log_prob(episodes.observations[:, :-1], episodes.actions).sum(1)
    torch.testing.assert_close(logit[0.0], paper, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logit[0.5], logit[0.0] / 6**0.5)
    torch.testing.assert_close(logit[1.0], logit[0.0] / 6)


def test_segments_of_one_step_are_airl(line_task: LineTask) -> None:
    """The same logit as AIRL's f − log μ, its shaping undiscounted."""
    task, policy, reward = line_task(5), GaussianAgent(2, 1), RewardNet(1, 1)
    demonstrations = task.rollout(policy, 4).trajectories
    game = game_of(task, demonstrations, policy, reward, segment=1, log_bound=20.0)
    airl = AIRL(
        task, demonstrations, policy, reward, AIRLSettings(shaping_ends=True, ppo=PPOSettings(gamma=1.0))
    )
    game.shaping = airl.discriminator.shaping
    game.log_z_a_step.data.fill_(0.7)
    airl.discriminator.offset.data.fill_(-0.7)
    segments = Segments.draw(demonstrations, 1, 100)
    weights = mixture_weights(len(game.samplers))
    with torch.no_grad():
        goes_on = (~segments.ends).float()  # at the end of the episode nothing more is to come
        batch = dataclasses.replace(Transitions.of(segments.steps), goes_on=goes_on)
        theirs = airl.discriminator.f(batch) - log_mixture(batch, game.samplers, weights)
        torch.testing.assert_close(game.logit(segments, game.samplers), theirs, atol=1e-4, rtol=1e-4)
    assert 0 < int(segments.ends.sum()) < 100


def test_the_papers_settings_leave_nothing_of_ours(line_task: LineTask) -> None:
    settings = build(GANGCLSettings, PAPER, "paper")
    task, policy, reward = line_task(6), GaussianAgent(2, 1), RewardNet(1, 1)
    demonstrations = task.rollout(policy, 4).trajectories
    game = GANGCL(task, demonstrations, policy, reward, settings)
    game.log_z_a_step.data.fill_(0.2)
    assert game.samplers == []
    expert, sample = game.draw([Sampler(policy, demonstrations)])
    # whole demonstrations as they are, and D of R − log Z − Σ log π
    assert torch.isin(expert.steps.actions, demonstrations.actions).all() and expert.ends.all()
    steps = sample.steps
    R = settings.gain * reward.of_features(steps.features[:, :-1]).sum(1)
    expected = R - 6 * 0.2 - policy.log_prob(steps.observations[:, :-1], steps.actions).sum(1)
    torch.testing.assert_close(game.logit(sample, [Sampler(policy, demonstrations)]), expected)


# --- segments and the mixture's density ---


def counted(count: int, horizon: int) -> Trajectories:
    """Episodes in which everything says where it was: episode + step / 100."""
    where = torch.arange(count)[:, None] + torch.arange(horizon + 1) / 100
    return Trajectories(where[..., None], 1000 + where[..., None], -where[:, :-1, None])


@pytest.mark.parametrize("length", [1, 3, 7])
def test_segments_are_pieces_of_episodes(length: int) -> None:
    drawn = Segments.draw(counted(5, 7), length, 3000)
    seen = drawn.steps.observations[..., 0]
    torch.testing.assert_close(drawn.steps.features[..., 0], 1000 + seen)
    torch.testing.assert_close(drawn.steps.actions[..., 0], -seen[:, :-1])
    assert seen.shape == (3000, length + 1)
    torch.testing.assert_close(
        seen[:, 1:] - seen[:, :-1], torch.full((3000, length), 0.01), atol=1e-5, rtol=0
    )
    episode, first = seen[:, 0].floor(), (100 * (seen[:, 0] % 1)).round()
    places = torch.stack((episode, first), 1).unique(dim=0)
    assert len(places) == 5 * (7 - length + 1)  # anywhere in any of them
    torch.testing.assert_close(drawn.ends, first + length == 7)


def test_the_mixture_is_the_weighted_sum_of_densities_of_whole_segments(line_task: LineTask) -> None:
    task, policies = line_task(5), [GaussianAgent(2, 1) for _ in range(3)]
    for i, policy in enumerate(policies):
        policy.log_std.data.fill_(-0.3 * i)
        policy.net[-1].weight.data.normal_(0.0, 0.5)
    samplers = [Sampler(p, task.rollout(p, 50).trajectories) for p in policies]
    weights = torch.tensor([0.2, 0.3, 0.5])
    segments = draw_mixed_segments(samplers, weights, 4, 100)
    density = torch.zeros(100, dtype=torch.float64)
    for w, p in zip(weights, policies):
        steps = p.log_prob(segments.steps.observations[:, :-1], segments.steps.actions).double()
        density += float(w) * steps.exp().prod(1).detach()
    ours = log_mixture_of_segments(segments, samplers, weights, math.inf)
    torch.testing.assert_close(ours.double(), density.log(), atol=1e-4, rtol=1e-4)
    bounded = log_mixture_of_segments(segments, samplers, weights, 0.1)
    assert float(bounded.abs().max()) <= 4 * 0.1 + 1e-5


def test_segments_come_from_samplers_by_their_weights() -> None:
    samplers = [Sampler(GaussianAgent(1, 1), counted(5, 7).map(lambda x, k=k: x * 0 + k)) for k in range(3)]
    weights = torch.tensor([0.1, 0.2, 0.7])
    drawn = draw_mixed_segments(samplers, weights, 2, 8000)
    assert len(drawn) == 8000
    share = drawn.steps.features[:, 0, 0].long().bincount() / 8000
    torch.testing.assert_close(share, weights, atol=0.03, rtol=0)


# --- what the policy is paid ---


def test_the_policy_is_paid_the_reward_or_the_papers_logit(line_task: LineTask) -> None:
    task, policy, reward = line_task(3), GaussianAgent(2, 1), RewardNet(1, 1)
    reward.net[-1].weight.data.normal_()
    rollout = task.rollout(policy, 2)
    paid = {
        how: game_of(task, rollout.trajectories, policy, reward, policy_reward=how).policy_reward(rollout)
        for how in ("reward", "logit")
    }
    for n in range(2):
        for t in range(3):
            g = float(reward.of_features(rollout.trajectories.features[n, t]).detach())
            log_pi = float(rollout.log_prob[n, t])
            assert float(paid["reward"][n, t]) == pytest.approx(g, abs=1e-5)
            assert float(paid["logit"][n, t]) == pytest.approx((GAIN * g - log_pi) / GAIN, abs=1e-5)


# --- the course of the game ---


@pytest.fixture
def goal_seekers(line_task: LineTask) -> tuple[Any, Trajectories]:
    """Six steps, and an expert who walks to x = 1 in about three and stays."""
    task = line_task(6)
    return task, task.episodes(
        torch.zeros(16), lambda seen: 0.6 * (1.0 - seen[:, :1]) + 0.05 * torch.randn(len(seen), 1)
    )


def beginner(demonstrations: Trajectories | None = None) -> GaussianAgent:
    policy = GaussianAgent(2, 1)
    policy.log_std.data.fill_(-1.5)
    if demonstrations is not None:
        clone(policy, demonstrations, BCSettings(steps=5))
    return policy


@pytest.mark.parametrize("segment", [0, 2])
def test_it_learns_where_the_expert_goes_and_why(
    goal_seekers: tuple[Any, Trajectories], segment: int
) -> None:
    task, demonstrations = goal_seekers
    policy, reward = beginner(), RewardNet(1, 1)
    assert abs(task.practice(policy)["end"]) < 0.2
    game = game_of(
        task, demonstrations, policy, reward, segment=segment, ppo=PPOSettings(episodes=64), batch=300,
        discriminator_steps=10, learning_rate=5e-3, iterations=40, log_bound=20.0,
    )  # fmt: skip
    while not game.finished:
        game.iterate()
    assert game.matched
    assert task.practice(policy)["end"] == pytest.approx(1.0, abs=0.25)
    with torch.no_grad():
        g = reward.of_features(torch.tensor([[-1.0], [0.0], [1.0], [3.0]])).tolist()
    assert g[2] > g[1] + 0.1 and g[1] > g[0] and g[2] > g[3] + 0.1, g


@pytest.mark.parametrize("better", [True, False])
def test_the_game_ends_when_the_policy_scores_what_the_demonstrations_score(
    line_task: LineTask, better: bool
) -> None:
    task, policy, reward = line_task(3), GaussianAgent(2, 1), Quadratic()
    # the policy stays near 0; demonstrations are farther from the goal than that, or at the goal
    x = GOAL + 5.0 if better else GOAL
    demonstrations = task.episodes(torch.full((8,), x), lambda seen: torch.zeros(8, 1))
    game = game_of(task, demonstrations, policy, reward, learning_rate=0.0, least=3, iterations=5)
    while not game.finished:
        figures = game.iterate()
        assert (figures["reward_mean"] >= figures["reward_demonstrations"]) == better
    assert game.matched == better
    assert game.round == (3 if better else 5)


def test_resuming_equals_never_stopping(goal_seekers: tuple[Any, Trajectories], tmp_path: Path) -> None:
    task, demonstrations = goal_seekers

    def start() -> GANGCL:
        torch.manual_seed(5)
        return game_of(
            task, demonstrations, beginner(), RewardNet(1, 1), segment=2, head_start=1, keep_every=2, least=99
        )

    undisturbed = start()
    for _ in range(3):
        undisturbed.iterate()
    save_checkpoint(tmp_path / "checkpoint", {"game": undisturbed.state_dict()})
    random = torch.get_rng_state()
    expected = [undisturbed.iterate() for _ in range(3)]
    resumed = start()
    saved = load_checkpoint(tmp_path / "checkpoint")
    assert saved is not None
    resumed.load_state_dict(saved["game"])
    torch.set_rng_state(random)
    assert [resumed.iterate() for _ in range(3)] == expected
    for name, value in undisturbed.discriminator.state_dict().items():
        assert torch.equal(resumed.discriminator.state_dict()[name], value), name
    assert len(resumed.samplers) == len(undisturbed.samplers) == 2 + 3


def test_the_policy_waits_for_the_discriminators_head_start(goal_seekers: tuple[Any, Trajectories]) -> None:
    task, demonstrations = goal_seekers
    policy = beginner()
    before = [p.clone() for p in policy.parameters()]
    game = game_of(task, demonstrations, policy, RewardNet(1, 1), head_start=2)
    for _ in range(2):
        game.iterate()
    assert all(torch.equal(a, b) for a, b in zip(policy.parameters(), before))
    game.iterate()
    assert not all(torch.equal(a, b) for a, b in zip(policy.parameters(), before))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"gain": 0}, "gain: must be above 0"),
        ({"batch": 0}, "batch: must be at least 1"),
        ({"segment": -1}, "segment: must be at least 0"),
        ({"temper": -0.5}, "temper: must be at least 0"),
        ({"policy_reward": "rewrd"}, "policy_reward.*'rewrd'.*did you mean 'reward'"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        build(GANGCLSettings, settings, "--set", "gan_gcl.")


def test_segments_longer_than_an_episode_are_refused(goal_seekers: tuple[Any, Trajectories]) -> None:
    task, demonstrations = goal_seekers
    with pytest.raises(InputError, match=r"gan_gcl\.segment: 7 steps are more than an episode's 6"):
        game_of(task, demonstrations, beginner(), RewardNet(1, 1), segment=7)
