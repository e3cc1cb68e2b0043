"""Reward distances: 0, √½ and 1 where theory says so; exact values against sums written out term by term."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irl_ros.rewards.distances import (
    Samples,
    dard,
    dard_from_samples,
    epic,
    epic_from_samples,
    pearson,
    pearson_distance,
    spearman,
    standardised_distance,
    starc,
    starc_from_samples,
)
from irl_ros.rewards.distances.dard import dard_canonical
from irl_ros.rewards.distances.epic import epic_canonical
from irl_ros.rewards.distances.starc import starc_canonical

GAMMA = 0.9
UNRELATED = math.sqrt(0.5)
S, A = 5, 3


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_reward(seed: int, states: int = S, actions: int = A) -> torch.Tensor:
    return torch.randn(states, actions, states, generator=seeded(seed), dtype=torch.float64)


def random_dynamics(seed: int, states: int = S, actions: int = A) -> torch.Tensor:
    """T(s' | s, a); some transitions are impossible, as in any world."""
    weights = torch.rand(states, actions, states, generator=seeded(seed + 1000), dtype=torch.float64)
    weights = weights * (weights > 0.3) + 1e-12 * torch.eye(states, dtype=torch.float64)[:, None]
    return weights / weights.sum(-1, keepdim=True)


def shares(seed: int, *shape: int) -> torch.Tensor:
    """A distribution over the last dimension with nothing left out."""
    weights = 0.1 + torch.rand(*shape, generator=seeded(seed + 2000), dtype=torch.float64)
    return weights / weights.sum(-1, keepdim=True)


def shaped(reward: torch.Tensor, seed: int, scale: float = 1.0, offset: float = 0.0) -> torch.Tensor:
    """scale · R + γΦ(s') − Φ(s) + offset, Φ random and larger than R."""
    potential = 5 * torch.randn(len(reward), generator=seeded(seed + 3000), dtype=torch.float64)
    return scale * reward + GAMMA * potential - potential[:, None, None] + offset


Distance = Callable[[torch.Tensor, torch.Tensor, int], float]
EXACT: dict[str, Distance] = {
    "epic": lambda x, y, k: epic(x, y, GAMMA, shares(k, S), shares(k, A), shares(k, S * A * S).view(S, A, S)),
    "dard": lambda x, y, k: dard(x, y, random_dynamics(k), GAMMA, shares(k, A)),
    "starc": lambda x, y, k: starc(x, y, random_dynamics(k), GAMMA, shares(k, S, A), shares(k, S * A)),
}
each_distance = pytest.mark.parametrize("distance", EXACT.values(), ids=EXACT)
seeds = st.integers(0, 2**31 - 5000)


# --- what must be 0, 1 and √½ ---


@each_distance
@settings(max_examples=30, deadline=None)
@given(seed=seeds, scale=st.floats(1e-3, 1e3), offset=st.floats(-10, 10))
def test_scale_offset_and_shaping_do_not_count(
    distance: Distance, seed: int, scale: float, offset: float
) -> None:
    reward = random_reward(seed)
    assert distance(reward, shaped(reward, seed, scale, offset), seed) < 1e-9
    assert distance(reward, shaped(-reward, seed, scale, offset), seed) == pytest.approx(1.0, abs=1e-9)


def test_pearson_alone_is_misled_by_shaping() -> None:
    reward = random_reward(0)
    assert pearson_distance(reward, 3 * reward - 7) < 1e-12
    assert pearson_distance(reward, shaped(reward, 0)) > 0.5


@each_distance
@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_metric(distance: Distance, seed: int) -> None:
    """A pseudometric in [0, 1]: symmetric, 0 to itself, no detour shorter."""
    x, y, z = (random_reward(seed + k) for k in range(3))
    x_y, y_z, x_z = distance(x, y, seed), distance(y, z, seed), distance(x, z, seed)
    assert distance(x, x, seed) < 1e-9
    assert x_y == pytest.approx(distance(y, x, seed), abs=1e-12)
    assert 0 <= x_z <= 1
    assert x_z <= x_y + y_z + 1e-12


@pytest.mark.parametrize("name", ["pearson", "epic", "dard", "starc"])
def test_unrelated_rewards_are_about_root_half_apart(name: str) -> None:
    """Two independent columns of K entries have ρ of mean 0 and deviation 1/√K, so √((1 − ρ)/2) is √½ within
    a few 1/√(8K). Canonical forms are linear and take few of the K dimensions away: about S."""
    n_s, n_a = 30, 20
    dynamics = shares(4, n_s, n_a, n_s)
    measure: dict[str, Callable[[torch.Tensor, torch.Tensor], float]] = {
        "pearson": pearson_distance,
        "epic": lambda x, y: epic(x, y, GAMMA),
        "dard": lambda x, y: dard(x, y, dynamics, GAMMA),
        "starc": lambda x, y: starc(x, y, dynamics, GAMMA),
    }
    entries = n_s * n_a if name == "starc" else n_s * n_a * n_s
    for seed in range(3):
        x, y = (random_reward(2 * seed + k, n_s, n_a) for k in (1, 2))
        assert measure[name](x, y) == pytest.approx(UNRELATED, abs=5 / math.sqrt(8 * entries))


# --- values known beforehand ---


def test_correlations_by_hand() -> None:
    x, y = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([1.0, 2.0, 4.0, 3.0])
    assert pearson(x, y) == pytest.approx(0.8)  # covariance 1, both variances 1.25
    assert pearson_distance(x, y) == pytest.approx(math.sqrt(0.1))
    assert spearman(torch.exp(x), y) == pytest.approx(0.8)  # 1 − 6 Σd² / (n(n² − 1)) = 1 − 12/60
    assert spearman(x, -x.exp()) == pytest.approx(-1.0)
    # ties: ranks 0, 1.5, 1.5, 3 against 0, 1, 2, 3
    assert spearman(torch.tensor([5.0, 7.0, 7.0, 9.0]), x) == pytest.approx(4.5 / math.sqrt(4.5 * 5.0))
    # an entry that counts twice is an entry that is there twice
    twice = torch.tensor([1.0, 1.0, 1.0, 2.0])
    again = [torch.cat((v, v[3:])) for v in (x, y)]
    assert pearson(x, y, twice) == pytest.approx(pearson(*again))
    right, up = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 0.1])
    assert standardised_distance(right, up) == pytest.approx(UNRELATED)


def test_a_constant_has_no_correlation_and_lies_at_the_origin() -> None:
    x, constant = torch.randn(100, generator=seeded(1)), torch.full((100,), 0.3)
    assert math.isnan(pearson(x, constant)) and math.isnan(spearman(constant, x))
    assert pearson_distance(x, constant) == pytest.approx(0.5)
    assert pearson_distance(constant, 2 * constant) == 0.0
    for distance in EXACT.values():  # a reward that is nothing but a potential orders no policies
        assert distance(random_reward(0), shaped(torch.zeros(S, A, S), 1), 0) == pytest.approx(0.5)
        assert distance(shaped(torch.zeros(S, A, S), 2), shaped(torch.zeros(S, A, S), 1), 0) == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("compare", [pearson, spearman, pearson_distance, standardised_distance])
def test_what_is_not_finite_is_refused(compare: Callable[..., float], bad: float) -> None:
    good = torch.arange(4.0)
    broken = torch.tensor([0.0, bad, 2.0, 3.0])
    for pair in ((good, broken), (broken, good), (broken, broken)):
        with pytest.raises(ValueError, match="not finite"):
            compare(*pair)


def test_epic_of_rewards_of_the_state_is_pearson_of_the_states_entered() -> None:
    g, h = (torch.randn(S, generator=seeded(k), dtype=torch.float64) for k in (1, 2))
    one, other = (x[:, None, None].expand(S, A, S) for x in (g, h))
    coverage = shares(3, S * A * S).view(S, A, S)
    entered = coverage.sum((0, 1))
    assert epic(one, other, GAMMA, coverage=coverage) == pytest.approx(pearson_distance(g, h, entered))


def test_epic_term_by_term() -> None:
    reward, d_s, d_a = random_reward(7), shares(7, S), shares(7, A)
    canonical = epic_canonical(reward, GAMMA, d_s, d_a)
    for s, a, t in itertools.product(range(S), range(A), range(S)):
        expected = 0.0
        for u, b, v in itertools.product(range(S), range(A), range(S)):
            chance = float(d_s[u] * d_a[b] * d_s[v])
            expected += chance * float(GAMMA * reward[t, b, v] - reward[s, b, v] - GAMMA * reward[u, b, v])
        assert float(canonical[s, a, t]) == pytest.approx(float(reward[s, a, t]) + expected)


def test_dard_term_by_term() -> None:
    reward, dynamics, d_a = random_reward(8), random_dynamics(8), shares(8, A)
    canonical = dard_canonical(reward, dynamics, GAMMA, d_a)
    for s, a, t in itertools.product(range(S), range(A), range(S)):
        expected = 0.0
        for b, u, v in itertools.product(range(A), range(S), range(S)):
            chance = float(d_a[b] * dynamics[s, b, u] * dynamics[t, b, v])
            expected += chance * float(GAMMA * reward[t, b, v] - reward[s, b, u] - GAMMA * reward[u, b, v])
        assert float(canonical[s, a, t]) == pytest.approx(float(reward[s, a, t]) + expected)


def test_starc_is_the_advantage_found_by_rolling_out() -> None:
    """c(R)(s, a) = Q^π(s, a) − V^π(s): expected discounted sums over 400 steps, state by state."""
    reward, dynamics, policy = random_reward(9), random_dynamics(9), shares(9, S, A)

    def expected_return(chance: torch.Tensor) -> float:
        """Of π, from a distribution over states."""
        total = 0.0
        for k in range(400):
            total += GAMMA**k * float(torch.einsum("s,sa,sat,sat->", chance, policy, dynamics, reward))
            chance = torch.einsum("s,sa,sat->t", chance, policy, dynamics)
        return total

    canonical = starc_canonical(reward, dynamics, GAMMA, policy)
    for s, a in itertools.product(range(S), range(A)):
        q = float((dynamics[s, a] * reward[s, a]).sum()) + GAMMA * expected_return(dynamics[s, a])
        here = torch.eye(S, dtype=torch.float64)[s]
        assert float(canonical[s, a]) == pytest.approx(q - expected_return(here), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=seeds)
def test_only_starc_sees_that_no_policy_can_tell(seed: int) -> None:
    """Reward moved between next states, its mean over T kept: Skalse et al.'s S'-redistribution."""
    reward, dynamics = random_reward(seed), random_dynamics(seed)
    change = 3 * random_reward(seed + 1)
    redistributed = reward + change - (dynamics * change).sum(-1, keepdim=True)
    assert EXACT["starc"](reward, redistributed, seed) < 1e-9
    assert EXACT["epic"](reward, redistributed, seed) > 0.05
    assert EXACT["dard"](reward, redistributed, seed) > 0.05


def test_starc_is_0_exactly_if_policies_are_ordered_alike() -> None:
    """Its reason to be: over all deterministic policies and all starts, on a small MDP."""
    dynamics = random_dynamics(3)

    def returns(reward: torch.Tensor) -> torch.Tensor:
        """J of each of the A^S deterministic policies, start uniform."""
        found = []
        for choice in itertools.product(range(A), repeat=S):
            index = torch.arange(S), torch.tensor(choice)
            between = dynamics[index]
            expected = (dynamics * reward).sum(-1)[index]
            value = torch.linalg.solve(torch.eye(S, dtype=torch.float64) - GAMMA * between, expected)
            found.append(value.mean())
        return torch.stack(found)

    reward, other = random_reward(3), random_reward(4)
    same = shaped(reward, 3, scale=0.2, offset=1.0)
    assert spearman(returns(reward), returns(same)) == pytest.approx(1.0)
    assert starc(reward, same, dynamics, GAMMA) < 1e-9
    assert spearman(returns(reward), returns(other)) < 0.9
    assert starc(reward, other, dynamics, GAMMA) > 0.3
    with pytest.raises(ValueError, match="gamma"):
        starc(reward, other, dynamics, 1.0)


def test_starc_counts_states_by_their_coverage() -> None:
    """Rewards that differ in what is hardly ever done are hardly apart."""
    dynamics, one = random_dynamics(3), random_reward(3)
    advantage = starc_canonical(one, dynamics, GAMMA)
    other = one + 5.0 * torch.nn.functional.one_hot(torch.tensor(0), S)[:, None, None]  # in state 0 alone
    seldom = torch.ones(S, A).double()
    seldom[0] = 1e-6
    weights = seldom / seldom.sum()
    pair = advantage, starc_canonical(other, dynamics, GAMMA)
    unit = [x / (weights * x.square()).sum().sqrt() for x in pair]
    expected = 0.5 * float((weights * (unit[0] - unit[1]).square()).sum().sqrt())
    found = starc(one, other, dynamics, GAMMA, coverage=seldom)
    assert found == pytest.approx(expected, abs=1e-9)
    assert abs(found - starc(one, other, dynamics, GAMMA)) > 1e-3


# --- from samples ---


def transitions(dynamics: torch.Tensor, count: int, seed: int) -> Samples[torch.Tensor]:
    """Of a finite MDP, s and a uniform."""
    generator = seeded(seed)
    s = torch.randint(len(dynamics), (count,), generator=generator)
    a = torch.randint(dynamics.shape[1], (count,), generator=generator)
    return Samples(s, a, torch.multinomial(dynamics[s, a], 1, generator=generator)[:, 0])


def both(*rewards: torch.Tensor) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]:
    table = torch.stack(rewards, -1)
    return lambda s, a, t: table[s, a, t]


def test_samples_find_the_exact_distances() -> None:
    one, other, dynamics = random_reward(1), random_reward(2), random_dynamics(5)
    samples, generator = transitions(dynamics, 20_000, 6), seeded(7)
    found = epic_from_samples(both(one, other), samples, GAMMA, draws=400, generator=generator)
    exact = epic(one, other, GAMMA, coverage=dynamics)
    assert pearson_distance(found[:, 0], found[:, 1]) == pytest.approx(exact, abs=0.02)

    def step(s: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        return torch.multinomial(dynamics[s, a], 1, generator=generator)[:, 0]

    def draw(count: int) -> torch.Tensor:
        return torch.randint(A, (count,), generator=generator)

    found = dard_from_samples(both(one, other), samples, step, draw, GAMMA, draws=400)
    exact = dard(one, other, dynamics, GAMMA)
    assert pearson_distance(found[:, 0], found[:, 1]) == pytest.approx(exact, abs=0.02)


def test_sampled_advantages_are_exact_where_dynamics_are_certain() -> None:
    one, other = random_reward(1), random_reward(2)
    goes = torch.randint(S, (S, A), generator=seeded(3))
    dynamics = torch.nn.functional.one_hot(goes, S).double()
    samples = Samples(torch.arange(S).repeat_interleave(A), torch.arange(A).repeat(S), goes.flatten())
    columns = []
    for reward in (one, other):
        expected = (dynamics * reward).sum(-1)
        value = torch.zeros(S, dtype=torch.float64)
        for _ in range(400):  # V of the uniform policy by iteration
            value = (expected + GAMMA * dynamics @ value).mean(1)
        r = reward[samples.state, samples.action, samples.next_state]
        columns.append(starc_from_samples(r, value[samples.state], value[samples.next_state], GAMMA))
    found = standardised_distance(*columns)
    assert found == pytest.approx(starc(one, other, dynamics, GAMMA), abs=1e-9)


@pytest.mark.parametrize("draws", [1, 3])
def test_shaping_cancels_in_few_draws_too(draws: int) -> None:
    reward, dynamics, generator = random_reward(1), random_dynamics(5), seeded(1)
    rewards = both(reward, shaped(reward, 2, scale=0.3, offset=2.0))
    samples = transitions(dynamics, 500, 6)
    found = epic_from_samples(rewards, samples, GAMMA, draws, generator)
    assert pearson_distance(found[:, 0], found[:, 1]) < 1e-9

    def step(s: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        return torch.multinomial(dynamics[s, a], 1, generator=generator)[:, 0]

    def draw(count: int) -> torch.Tensor:
        return torch.randint(A, (count,), generator=generator)

    found = dard_from_samples(rewards, samples, step, draw, GAMMA, draws)
    assert pearson_distance(found[:, 0], found[:, 1]) < 1e-9
