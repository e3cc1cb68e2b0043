"""MaxEnt IRL against the sums it stands for: every trajectory of a small MDP written down, one by one."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from irl_ros.irl.finite_mdp import FiniteMDP, Step, Tabular, gridworld
from irl_ros.irl.maxent import LinearReward, ascend, backward, believe, soft_messages
from irl_ros.networks import mlp

S, A, T, F = 3, 2, 4, 2


@dataclass(frozen=True)
class Listed:
    """Every trajectory τ of an MDP: states [K, T + 1], actions [K, T] and p(s_0) Π P(s' | s, a), [K]."""

    states: Tensor
    actions: Tensor
    chance: Tensor


def random_mdp(seed: int, certain: bool = False, horizon: int | None = T, discount: float = 1.0) -> FiniteMDP:
    generator = torch.Generator().manual_seed(seed)
    p = torch.rand(S, A, S, generator=generator, dtype=torch.float64) ** 3
    if certain:
        p = nn.functional.one_hot(p.argmax(-1), S).double()
    initial = torch.rand(S, generator=generator, dtype=torch.float64)
    return FiniteMDP.of_matrix(p / p.sum(-1, keepdim=True), initial / initial.sum(), horizon, discount)


def random_rewards(seed: int, steps: int = T) -> list[Tensor]:
    """A reward of its own for every step."""
    generator = torch.Generator().manual_seed(100 + seed)
    return list(torch.randn(steps, S, A, generator=generator, dtype=torch.float64))


def dense(step: Step) -> Tensor:
    """P[s, a, s'] of a step."""
    p = torch.zeros(*step.available.shape, step.next_size, dtype=step.probabilities.dtype)
    return p.scatter_add(-1, step.successors, step.probabilities)


def listed(mdp: FiniteMDP) -> Listed:
    p, sizes = dense(mdp.steps[0]), (S,) * (len(mdp.steps) + 1)
    states, actions, chance = [], [], []
    for path in itertools.product(*(range(n) for n in sizes)):
        for acts in itertools.product(range(A), repeat=len(mdp.steps)):
            c = float(mdp.initial[path[0]])
            for t, a in enumerate(acts):
                c *= float(p[path[t], a, path[t + 1]])
            states.append(path)
            actions.append(acts)
            chance.append(c)
    return Listed(torch.tensor(states), torch.tensor(actions), torch.tensor(chance, dtype=torch.float64))


def returns(tau: Listed, rewards: list[Tensor], discount: float = 1.0) -> Tensor:
    """Σ_t γ^t r_t(s_t, a_t) of every trajectory."""
    return torch.stack(
        [discount**t * r[tau.states[:, t], tau.actions[:, t]] for t, r in enumerate(rewards)]
    ).sum(0)


def occupancy(tau: Listed, belief: Tensor, steps: int = T) -> list[Tensor]:
    """Probability of (s, a) at every t when trajectories have the probabilities `belief`."""
    found = []
    for t in range(steps):
        mu = torch.zeros(S, A, dtype=torch.float64)
        mu.index_put_((tau.states[:, t], tau.actions[:, t]), belief, accumulate=True)
        found.append(mu)
    return found


# --- the belief of 2008: P(τ) ∝ p(τ) exp Σ r ---


@pytest.mark.parametrize("seed", range(3))
def test_messages_are_sums_over_all_trajectories(seed: int) -> None:
    mdp, r = random_mdp(seed), random_rewards(seed)
    tau = listed(mdp)
    weight = tau.chance * returns(tau, r).exp()
    found = soft_messages(mdp, r, causal=False)
    torch.testing.assert_close(found.log_z, weight.sum().log())
    belief = weight / weight.sum()
    mu = occupancy(tau, belief)
    for t in range(T):
        torch.testing.assert_close(found.log_marginals[t].exp(), mu[t])
        torch.testing.assert_close(found.log_policy[t].exp(), mu[t] / mu[t].sum(-1, keepdim=True))


def test_backward_messages_are_sums_over_what_may_follow() -> None:
    mdp, r = random_mdp(5), random_rewards(5)
    q, v = backward(mdp, r, causal=False)
    p = dense(mdp.steps[0])
    for s, a in itertools.product(range(S), range(A)):
        total = 0.0
        for later in itertools.product(range(S), range(A), repeat=2):
            (s1, a1), (s2, a2) = later[:2], later[2:]
            chance = float(p[s, a, s1] * p[s1, a1, s2])
            total += chance * math.exp(float(r[1][s, a] + r[2][s1, a1] + r[3][s2, a2]))
        assert float(q[1][s, a]) == pytest.approx(math.log(total))
    torch.testing.assert_close(v[1].exp(), q[1].exp().sum(-1))


# --- the causal belief of 2010 ---


@pytest.mark.parametrize("discount", [1.0, 0.8])
def test_the_causal_policy_is_the_best_for_reward_and_entropy(discount: float) -> None:
    """Found here by gradient ascent on E[Σ γ^t (r − log π)] over every stochastic policy."""
    mdp, r = random_mdp(1, discount=discount), random_rewards(1)
    tau = listed(mdp)
    logits = torch.zeros(T, S, A, dtype=torch.float64, requires_grad=True)

    def objective() -> tuple[Tensor, Tensor]:
        log_pi = logits.log_softmax(-1)
        gained = [x - log_pi[t] for t, x in enumerate(r)]
        taken = torch.stack([log_pi[t][tau.states[:, t], tau.actions[:, t]] for t in range(T)]).sum(0)
        belief = tau.chance * taken.exp()
        return (belief * returns(tau, gained, discount)).sum(), belief

    optimizer = torch.optim.LBFGS([logits], max_iter=300, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = -objective()[0]
        loss.backward()
        return loss

    optimizer.step(closure)
    best, belief = objective()
    found = soft_messages(mdp, r)
    torch.testing.assert_close(found.log_z, best.detach(), atol=1e-8, rtol=0)
    torch.testing.assert_close(
        torch.stack(found.log_policy).exp(), logits.softmax(-1).detach(), atol=1e-4, rtol=0
    )
    mu = [discount**t * x for t, x in enumerate(occupancy(tau, belief.detach()))]
    torch.testing.assert_close(torch.stack(found.log_marginals).exp(), torch.stack(mu), atol=1e-4, rtol=0)


def test_with_certain_dynamics_and_one_start_both_beliefs_are_one() -> None:
    mdp, r = random_mdp(2, certain=True), random_rewards(2)
    mdp = FiniteMDP(mdp.steps, torch.eye(S, dtype=torch.float64)[1])
    old, new = (soft_messages(mdp, r, causal) for causal in (False, True))
    torch.testing.assert_close(old.log_z, new.log_z)
    torch.testing.assert_close(torch.stack(old.log_marginals).exp(), torch.stack(new.log_marginals).exp())


def test_hope_is_not_causal() -> None:
    """Lose 10 or win 3 with even odds, or a sure 1: only the belief of 2008 is for gambling."""
    p = torch.zeros(4, 2, 4, dtype=torch.float64)
    p[0, 0, 1] = p[0, 0, 2] = 0.5
    p[0, 1, 3] = 1.0
    p[1:, :, 1:] = torch.eye(3, dtype=torch.float64)[:, None]
    mdp = FiniteMDP.of_matrix(p, torch.eye(4, dtype=torch.float64)[0], horizon=2)
    g = torch.tensor([0.0, -10.0, 3.0, 1.0], dtype=torch.float64)
    r = [g[:, None].expand(4, 2)] * 2
    gamble = [float(soft_messages(mdp, r, causal).log_policy[0][0, 0].exp()) for causal in (False, True)]
    assert gamble[0] == pytest.approx(0.5 * math.exp(3) / (0.5 * math.exp(3) + math.exp(1)), abs=1e-3)
    assert gamble[1] == pytest.approx(math.exp(-3.5) / (math.exp(-3.5) + math.exp(1)), abs=1e-3)


def test_endless_is_a_long_horizon() -> None:
    endless, r = random_mdp(3, horizon=None, discount=0.9), random_rewards(3)[0]
    long = random_mdp(3, horizon=400, discount=0.9)
    found, there = soft_messages(endless, [r]), soft_messages(long, [r] * 400)
    torch.testing.assert_close(found.log_z, there.log_z)
    torch.testing.assert_close(found.log_policy[0], there.log_policy[0])
    visits = sum(mu.exp() for mu in there.log_marginals)
    torch.testing.assert_close(found.log_marginals[0].exp(), visits)
    # and d = p(s_0) + γ P_π^T d
    p = dense(endless.steps[0])
    move = (found.log_policy[0].exp()[..., None] * p).sum(1)
    d = torch.linalg.solve(torch.eye(S, dtype=torch.float64) - 0.9 * move.T, endless.initial)
    torch.testing.assert_close(found.log_marginals[0].exp().sum(-1), d)


def test_one_endless_state_has_a_closed_form() -> None:
    """V = log Σ_a exp(r_a + γ V), so V = log Σ_a exp r_a / (1 − γ)."""
    mdp = FiniteMDP.of_matrix(torch.ones(1, 3, 1), torch.ones(1), discount=0.95)
    r = torch.tensor([[0.3, -1.0, 2.0]])
    found = soft_messages(mdp, [r])
    assert float(found.log_z) == pytest.approx(float(r.logsumexp(-1)) / 0.05, rel=1e-5)
    torch.testing.assert_close(found.log_marginals[0].exp(), r.softmax(-1) / 0.05, rtol=1e-4, atol=0)


# --- the gradient ---


def demonstrated(mdp: FiniteMDP, states: Tensor, seed: int = 0) -> Tabular:
    features = torch.randn(S, F, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Tabular.of_trajectories(mdp, features, states)


class Net(nn.Module):
    """A reward net with the interface of the real one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.net = mlp([F, 4, 1]).double()

    def of_features(self, features: Tensor) -> Tensor:
        return torch.tanh(self.net(features)[..., 0])


@pytest.mark.parametrize("reward", [LinearReward(F), Net()], ids=["linear", "net"])
def test_the_gradient_is_that_of_the_likelihood(reward: nn.Module) -> None:
    """Of the log-likelihood written as a sum over all trajectories, by finite differences."""
    mdp = random_mdp(4)
    tau, states = listed(mdp), torch.tensor([[0, 1, 1, 2], [2, 2, 0, 1]])
    problem, gain = demonstrated(mdp, states), 1.7

    def log_likelihood() -> float:
        with torch.no_grad():
            r = gain * reward.of_features(problem.features)
        z = (tau.chance * r[tau.states[:, :-1]].sum(1).exp()).sum()
        return float(r[states].sum(1).mean() - z.log())

    for p in reward.parameters():
        p.grad = None
    belief = ascend(problem, reward, gain, causal=False)
    assert belief.log_likelihood == pytest.approx(log_likelihood())
    for p in reward.parameters():
        gradient = p.grad.flatten()
        flat = p.data.flatten()
        for i in range(len(flat)):
            there = []
            for step in (1e-5, -1e-5):
                flat[i] += step
                p.data.copy_(flat.reshape(p.shape))
                there.append(log_likelihood())
                flat[i] -= step
            p.data.copy_(flat.reshape(p.shape))
            assert -float(gradient[i]) == pytest.approx((there[0] - there[1]) / 2e-5, abs=1e-6)
    assert max(float(p.grad.abs().max()) for p in reward.parameters()) > 0.05


def test_what_counts_against_is_taken_off_the_gradient() -> None:
    problem = demonstrated(random_mdp(4), torch.tensor([[0, 1, 1, 2]]))
    against = torch.tensor([0.5, 0.0, 2.0], dtype=torch.float64)
    slopes = []
    for visits in (0.0, against):
        reward = LinearReward(F)
        ascend(problem, reward, 1.7, against=visits)
        slopes.append(-reward.psi.grad)
    torch.testing.assert_close(slopes[0] - slopes[1], 1.7 * against @ problem.features)


def fit(problem: Tabular, reward: nn.Module, causal: bool = True) -> Tensor:
    """Ascent to the top of the likelihood; the expected visits there."""
    optimizer = torch.optim.LBFGS(
        reward.parameters(), max_iter=60, tolerance_grad=1e-9, line_search_fn="strong_wolfe"
    )

    def closure() -> float:
        optimizer.zero_grad()
        return -ascend(problem, reward, causal=causal).log_likelihood

    optimizer.step(closure)
    with torch.no_grad():
        return believe(problem, reward.of_features(problem.features), causal).visits


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("horizon,discount", [(6, 1.0), (6, 0.9), (None, 0.9)])
def test_features_match_at_the_optimum(causal: bool, horizon: int | None, discount: float) -> None:
    mdp = random_mdp(6, horizon=horizon, discount=discount)
    features = torch.randn(S, F, generator=torch.Generator().manual_seed(0)).double()
    # somebody who acts for reasons of their own, which no reward on these features expresses
    someone = soft_messages(mdp, [2 * r for r in random_rewards(6, horizon or 1)])
    seen = torch.stack(someone.log_marginals).exp().sum((0, 2))
    problem = Tabular(mdp, features, seen)
    if not causal and discount < 1:
        with pytest.raises(ValueError, match="has no discount"):
            fit(problem, LinearReward(F), causal)
        return
    visits = fit(problem, LinearReward(F), causal)
    before = believe(problem, torch.zeros(S, dtype=torch.float64), causal).visits
    wanted = problem.demonstrated @ problem.features
    assert (before @ problem.features - wanted).norm() > 0.1
    torch.testing.assert_close(visits @ problem.features, wanted, atol=1e-4, rtol=0)


# --- a gridworld ---


def hard_values(p: Tensor, r: Tensor, discount: float) -> tuple[Tensor, Tensor]:
    """Q*(s, a) and V*(s) of ordinary value iteration."""
    v = torch.zeros(len(p), dtype=p.dtype)
    for _ in range(400):
        q = r[:, None] + discount * (p @ v)
        v = q.amax(-1)
    return q, v


def test_a_gridworld_reward_is_recovered() -> None:
    """From the soft expert's own visits: its policy comes back, and what is best under the reward found is
    best under the true one."""
    size, gamma = 5, 0.9
    p = gridworld(size, slip=0.2)
    cells = torch.arange(size * size)
    true = torch.zeros(size * size, dtype=torch.float64)
    true[size * size - 1], true[7], true[12] = 1.0, -1.0, -1.0
    start = torch.full((size * size,), 1 / size**2, dtype=torch.float64)
    mdp = FiniteMDP.of_matrix(p, start, discount=gamma)
    sharp = 3.0
    expert = soft_messages(mdp, [sharp * true[:, None].expand(-1, 5)])
    seen = expert.log_marginals[0].exp().sum(-1)
    problem = Tabular(mdp, torch.eye(size * size, dtype=torch.float64)[cells], seen)
    reward = LinearReward(size * size)
    fit(problem, reward)
    found = reward.psi.detach()
    learned = soft_messages(mdp, [found[:, None].expand(-1, 5)])
    torch.testing.assert_close(learned.log_policy[0].exp(), expert.log_policy[0].exp(), atol=0.02, rtol=0)
    assert torch.corrcoef(torch.stack((found, true)))[0, 1] > 0.99
    q, v = hard_values(p, true, gamma)
    best = hard_values(p, found, gamma)[0].argmax(-1)
    taken = p[cells, best]
    value = torch.linalg.solve(torch.eye(len(p), dtype=torch.float64) - gamma * taken, true)
    # the expert's best actions, and nothing lost by taking them
    assert bool((q[cells, best] > v - 0.02).all())
    assert float((v - value).abs().max()) < 0.02 * float(v.max() - v.min())


def test_a_gridworld_has_walls_and_slips() -> None:
    p = gridworld(3, slip=0.1)
    torch.testing.assert_close(p.sum(-1), torch.ones(9, 5, dtype=torch.float64))
    # from the top left corner up or left is to stay; each other of five actions has 2 %
    assert float(p[0, 0, 0]) == pytest.approx(0.9 + 0.02 * 3)
    assert float(p[0, 1, 3]) == pytest.approx(0.9 + 0.02)
    assert float(p[4, 3, 5]) == pytest.approx(0.92)


# --- what is refused ---


def test_broken_mdps_are_refused() -> None:
    p, start = torch.full((2, 1, 2), 0.5), torch.tensor([1.0, 0.0])
    with pytest.raises(ValueError, match="sum to 1, or be all 0"):
        FiniteMDP.of_matrix(p * 1.1, start, 3)
    with pytest.raises(ValueError, match="has no action"):
        FiniteMDP.of_matrix(p * torch.tensor([1.0, 0.0])[:, None, None], start, 3)
    with pytest.raises(ValueError, match=r"initial: .* sums to 0\.5"):
        FiniteMDP.of_matrix(p, start * 0.5, 3)
    with pytest.raises(ValueError, match="endless: needs a discount below 1"):
        FiniteMDP.of_matrix(p, start)
    with pytest.raises(ValueError, match="discount"):
        FiniteMDP.of_matrix(p, start, 3, discount=1.2)


def test_an_action_that_is_not_there_is_never_taken() -> None:
    p = torch.tensor([[[0.0, 1.0], [0.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]], dtype=torch.float64)
    mdp = FiniteMDP.of_matrix(p, torch.tensor([1.0, 0.0], dtype=torch.float64), 3)
    r = [torch.tensor([[0.0, 50.0], [0.0, 0.0]], dtype=torch.float64)] * 3
    for causal in (True, False):
        found = soft_messages(mdp, r, causal)
        assert all(float(mu[0, 1].exp()) == 0 for mu in found.log_marginals)
        # 0 → 1, then stay or go back, then anything there is
        assert float(found.log_z) == pytest.approx(math.log(3))
