"""The likelihood of guided cost learning: log Z against a closed form, gradient, bounds, remedies."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from irl_ros.irl.fusion import Fusion, effective_sample_size, log_density, log_partition
from irl_ros.irl.guided_cost import (
    CostSettings,
    GuidedCost,
    local_constant_rate,
    monotonic,
    negative_log_likelihood,
    whitened,
)
from irl_ros.irl.samplers import Sampler
from irl_ros.rewards.reward_net import RewardNet, RewardSettings
from irl_ros.rl.control_view import ControlView, control_view
from irl_ros.rl.controller import Controller, passive_controller
from irl_ros.rl.linear_gaussian import Gaussian, LinearGaussian
from irl_ros.rl.lqr import Quadratic, System, backward, surprise
from irl_ros.rl.task import Trajectories

STEPS, WEIGHT, GOAL = 8, 0.4, 1.5
LineTask = Callable[[int], Any]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def line(line_task: LineTask) -> Any:
    return line_task(STEPS)


@pytest.fixture
def shown(line: Any) -> Trajectories:
    """Ten people walk from 0 to about 1.5."""
    return line.episodes(torch.zeros(10), lambda seen: 0.4 * (GOAL - seen[:, :1]) + 0.1 * torch.randn(10, 1))


@pytest.fixture
def view(line: Any, shown: Trajectories) -> ControlView:
    return control_view(line, shown)


# --- log Z on a linear-quadratic-Gaussian problem ---


def quadratic_cost(features: Tensor) -> Tensor:
    """½ w (x_t − goal)², t < T, [N]."""
    return 0.5 * WEIGHT * (features[:, :-1, 0].double() - GOAL).square().sum(1)


def dense_log_z(variance: float) -> float:
    """log E exp(−Σ_t ½ w (x_t − goal)²), x_t the sum of the first t of T controls N(0, variance)."""
    walk = torch.tril(torch.ones(STEPS, STEPS).double(), -1)  # x = walk u
    precision = torch.eye(STEPS).double() / variance + WEIGHT * walk.mT @ walk
    pull = WEIGHT * walk.mT @ torch.full((STEPS,), GOAL).double()
    best = 0.5 * pull @ torch.linalg.solve(precision, pull) - 0.5 * STEPS * WEIGHT * GOAL**2
    return float(best - 0.5 * torch.logdet(precision * variance))


def optimal_controller(view: ControlView, weight: float) -> Controller:
    """exp(−c − ...) itself for a cost of this weight, by the Riccati recursion."""
    passive = passive_controller(view)
    n, m = view.size
    steps = torch.eye(n, n + m).double()
    steps[0, n] = 1.0
    dynamics = LinearGaussian(
        steps.expand(STEPS, n, n + m), torch.zeros(STEPS, n).double(), torch.zeros(STEPS, n, n).double()
    )
    hessian, gradient = torch.zeros(STEPS, n + m, n + m).double(), torch.zeros(STEPS, n + m).double()
    hessian[:, 0, 0], gradient[:, 0] = weight, -weight * GOAL
    state = Quadratic(hessian, gradient, torch.full((STEPS,), 0.5 * weight * GOAL**2).double())
    start = Gaussian(torch.zeros(n).double(), torch.zeros(n, n).double())
    system = System(dynamics, start, torch.ones(STEPS).double())
    return passive.replaced(backward(system, state + surprise(passive.motion))[0])


def fusion_of(line: Any, view: ControlView, samplers: list[Controller], each: int) -> Fusion:
    fusion = Fusion(view)
    for q in samplers:
        fusion.add(Sampler(q, line.rollout(q, each).trajectories))
    return fusion


def test_log_z_of_the_fusion_is_the_closed_form(line: Any, view: ControlView) -> None:
    """Samplers that are wrong each in its way; together, weighed by their mixture, they are right."""
    truth = dense_log_z(float(view.passive.covariance))
    half, twice = optimal_controller(view, 0.1 * WEIGHT), optimal_controller(view, 10 * WEIGHT)
    fusion = fusion_of(line, view, [passive_controller(view), half, twice], 4000)
    log_weight = fusion.log_passive - fusion.log_mixture - quadratic_cost(fusion.features)
    assert float(log_partition(log_weight)) == pytest.approx(truth, abs=0.04)
    assert float(effective_sample_size(log_weight)) < 0.7 * len(fusion)


def test_with_the_optimal_sampler_every_weight_is_z(line: Any, view: ControlView) -> None:
    fusion = fusion_of(line, view, [optimal_controller(view, WEIGHT)], 50)
    log_weight = fusion.log_passive - fusion.log_mixture - quadratic_cost(fusion.features)
    expected = torch.full_like(log_weight, dense_log_z(float(view.passive.covariance)))
    torch.testing.assert_close(log_weight, expected, atol=1e-4, rtol=0)
    assert float(effective_sample_size(log_weight)) == pytest.approx(50, rel=1e-4)


def test_the_mixture_counts_each_sampler_by_its_trajectories(line: Any, view: ControlView) -> None:
    fusion, samplers = Fusion(view), [optimal_controller(view, w) for w in (0.1, 0.5, 2.0)]
    for q, count in zip(samplers, (3, 5, 2)):
        fusion.add(Sampler(q, line.rollout(q, count).trajectories))
    assert len(fusion) == 10 and fusion.rows(1) == slice(3, 8)
    everything = Trajectories.cat([s.trajectories for s in fusion.samplers])
    density = [log_density(q, everything, view).exp() for q in samplers]
    expected = 0.3 * density[0] + 0.5 * density[1] + 0.2 * density[2]
    torch.testing.assert_close(fusion.log_mixture.exp(), expected)
    torch.testing.assert_close(fusion.excess(2), density[2][8:].log() - fusion.log_passive[8:])


# --- the likelihood ---


def test_its_gradient_is_features_of_demonstrations_less_those_of_the_model() -> None:
    """∂L/∂ψ = E_demo[∂c/∂ψ] − E_w[∂c/∂ψ] (§4.1), for c = −ψ · φ. The wrong sign flees from people."""
    expert, background, log_q = (
        torch.randn(6, 3).double(),
        torch.randn(40, 3).double(),
        torch.randn(40).double(),
    )
    psi = torch.randn(3).double().requires_grad_(True)
    negative_log_likelihood(-expert @ psi, background @ psi - log_q).backward()
    w = torch.softmax(background @ psi.detach() - log_q, 0)
    assert psi.grad is not None
    torch.testing.assert_close(psi.grad, w @ background - expert.mean(0))


def test_without_demonstrations_in_the_background_it_falls_for_ever() -> None:
    """§4.3: an unbounded cost, and demonstrations with a feature that no sample has."""
    expert = torch.tensor([[1.0, 1.0], [0.8, 1.0]]).double()
    samples = torch.cat((torch.randn(20, 1), torch.zeros(20, 1)), 1).double()

    def trained(background: Tensor, steps: int) -> float:
        psi = torch.zeros(2).double().requires_grad_(True)
        optimizer = torch.optim.SGD([psi], lr=0.5)
        for _ in range(steps):
            loss = negative_log_likelihood(-expert @ psi, background @ psi)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    without = [trained(samples, steps) for steps in (100, 200, 400)]
    assert without[1] < without[0] - 40 and without[2] < without[1] - 80
    with_them = [trained(torch.cat((samples, expert)), steps) for steps in (100, 200, 400)]
    floor = math.log(2 / 22)  # all of Z on the two demonstrations
    assert all(x > floor for x in with_them) and with_them[2] < with_them[0]


def test_a_tempered_z_is_never_larger_and_the_same_for_equal_weights() -> None:
    expert, log_weight = torch.zeros(1).double(), 5 * torch.randn(30).double()
    losses = [float(negative_log_likelihood(expert, log_weight, None, t)) for t in (1.0, 2.0, 10.0, 1e6)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == pytest.approx(float(log_weight.mean()), abs=1e-3)
    same = torch.full((30,), 1.7).double()
    assert float(negative_log_likelihood(expert, same, None, 4.0)) == pytest.approx(1.7)


def test_each_demonstration_has_the_z_of_what_starts_like_it() -> None:
    expert, log_weight = torch.tensor([1.0, 3.0]).double(), torch.tensor([2.0, 2.0, 5.0]).double()
    share = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.5]])
    assert float(negative_log_likelihood(expert, log_weight, share)) == pytest.approx((1 + 2 + 3 + 5) / 2)


def test_effective_samples_of_known_weights() -> None:
    weights = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0], [2.0, 1.0, 1.0, 0.0]]).double()
    expected = torch.tensor([4.0, 1.0, 16 / 6]).double()
    torch.testing.assert_close(effective_sample_size(weights.log() + 300), expected)


# --- the regularisers ---


def test_lcr_is_nothing_for_constant_rates_and_mono_for_falls_and_small_rises() -> None:
    straight = torch.arange(10.0)[None] * torch.tensor([[2.0], [-3.0]])
    assert float(local_constant_rate(straight)) == 0.0
    bent = torch.tensor([[0.0, 0.0, 2.0, 2.0]])  # second differences 2, −2
    assert float(local_constant_rate(bent)) == 8.0
    cost = torch.tensor([[0.0, 0.9, -5.0, -2.0, -0.5]])  # rises of 0.9, 3 and 1.5: 0, 2², 0.5²
    assert float(monotonic(cost)) == pytest.approx(4.25)


def test_whitened_places_have_unit_variance_and_no_constant() -> None:
    x = torch.randn(500, 2).double() @ torch.tensor([[3.0, 1.0], [0.0, 0.2]]).double()
    place = whitened(torch.cat((x, torch.full((500, 1), 7.0), 2 * x[:, :1]), 1))
    assert place.shape == (500, 2)
    torch.testing.assert_close(place.mT.cov(), torch.eye(2).double(), atol=1e-8, rtol=0)


# --- learning ---


def learner(line: Any, view: ControlView, shown: Trajectories, **settings: Any) -> GuidedCost:
    torch.manual_seed(1)
    fusion = Fusion(view)
    fusion.add(Sampler(optimal_controller(view, WEIGHT), shown))
    for q in (passive_controller(view), optimal_controller(view, 0.2 * WEIGHT)):
        fusion.add(Sampler(q, line.rollout(q, 100).trajectories))
    reward = RewardNet(1, 1, RewardSettings(hidden=(16,)))
    plain = CostSettings(head_start=0, lcr=0.0, mono=0.0, gradient_penalty=0.0, learning_rate=1e-2, trust=1e9)
    return GuidedCost(reward, shown, fusion, dataclasses.replace(plain, **settings))


def test_where_people_go_becomes_cheaper_than_where_nobody_wants_to_be(
    line: Any, view: ControlView, shown: Trajectories
) -> None:
    cost = learner(line, view, shown)
    figures = [cost.learn() for _ in range(3)]
    assert figures[-1]["loss"] < figures[0]["loss"] - 0.5
    away = torch.full((1, STEPS + 1, 1), -0.5)
    assert float(cost.of(away).detach().sum()) > float(cost.of(shown.features).detach().sum(1).mean()) + 10


def test_what_it_logs_is_of_the_whole_fusion_however_small_its_batches(
    line: Any, view: ControlView, shown: Trajectories
) -> None:
    """Nothing is learned here, so batches of twenty estimate one loss; log Z is that of `log_partition`."""
    cost = learner(
        line, view, shown, learning_rate=0.0, steps=400, batch=20, least_effective=0.0, context=1e9, gain=2.0
    )
    with torch.no_grad():
        cost.reward.net[-1].weight.normal_()  # type: ignore[union-attr]
    figures = cost.learn()
    log_weight = cost.fusion.log_passive - cost.fusion.log_mixture - cost.totals()
    log_z = float(log_partition(log_weight))
    assert figures["log_z"] == pytest.approx(log_z, abs=1e-6)
    loss = float(cost.totals()[:10].mean()) + log_z
    assert figures["loss"] == pytest.approx(loss, abs=0.3)


def test_the_newest_are_all_samplers_of_a_round(line: Any, view: ControlView, shown: Trajectories) -> None:
    figures = [learner(line, view, shown, steps=1, learning_rate=0.0).learn(added) for added in (1, 2)]
    cost = learner(line, view, shown)
    log_weight = cost.fusion.log_passive - cost.fusion.log_mixture - cost.totals()
    for found, begin in zip(figures, (110, 10)):
        effective = float(effective_sample_size(log_weight[begin:]))
        assert found["effective_newest"] == pytest.approx(effective, rel=1e-3)


def test_tempering_leaves_the_share_of_samples_it_should(
    line: Any, view: ControlView, shown: Trajectories
) -> None:
    for share in (0.0, 0.3, 0.7):
        cost = learner(line, view, shown, least_effective=share, steps=30, gain=20.0)
        cost.learn()
        fixed = cost.fusion.log_passive - cost.fusion.log_mixture
        kernel = torch.ones(len(shown), len(cost.fusion)).double()
        tau = cost._temperature(fixed, kernel)
        left = float(effective_sample_size((fixed - cost.totals()) / tau)) / len(cost.fusion)
        assert tau == 1.0 if share == 0 else (tau > 1.0 and left == pytest.approx(share, abs=0.02))


def test_costs_come_apart_no_faster_than_they_may(line: Any, view: ControlView, shown: Trajectories) -> None:
    cost = learner(line, view, shown, trust=1.0, steps=200, gain=20.0, learning_rate=1e-3)
    cost.rounds = 1  # the first round's head start is not held back
    before = cost.totals()
    figures = cost.learn()
    assert 0 < figures["cost_steps"] < 200
    change = (cost.totals() - before)[torch.cat((torch.arange(10), torch.arange(110, 210)))]
    assert 1.0 < float(change.std()) < 4.0  # it is looked at every ten steps


def test_the_price_on_slope_makes_g_flatter(line: Any, view: ControlView, shown: Trajectories) -> None:
    spread = []
    for price in (0.0, 100.0):
        cost = learner(line, view, shown, gradient_penalty=price, steps=150)
        cost.learn()
        spread.append(float(cost.of(torch.linspace(-1, 2, 30)[None, :, None]).detach().std()))
    assert spread[1] < 0.5 * spread[0]


def test_an_unbounded_cost_would_do_as_well(line: Any, view: ControlView, shown: Trajectories) -> None:
    """Nothing in the learner needs tanh: the true cost's family, fitted, finds the goal people walk to."""

    class Bowl(nn.Module):
        sees_action = False

        def __init__(self) -> None:
            super().__init__()
            self.goal, self.weight = nn.Parameter(torch.tensor(0.7)), nn.Parameter(torch.tensor(0.3))

        def of_features(self, features: Tensor, actions: Tensor | None = None) -> Tensor:
            return -0.5 * self.weight * (features[..., 0] - self.goal).square()

    cost = learner(line, view, shown, least_effective=0.0, gain=1.0)
    cost.reward = Bowl()  # type: ignore[assignment]
    cost.optimizer = torch.optim.AdamW(cost.reward.parameters(), lr=2e-2, weight_decay=0.0)
    for _ in range(8):
        cost.learn()
    assert float(cost.reward.goal.detach()) == pytest.approx(GOAL, abs=0.3)  # type: ignore[arg-type]
    assert float(cost.reward.weight.detach()) > 0.3  # type: ignore[arg-type]
