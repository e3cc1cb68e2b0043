"""Controllers with a release time: their density, what they do, and a step of them on the throw itself."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from irl_ros.rewards.features import Features
from irl_ros.rl.control_view import ControlView, ThrowView, control_view
from irl_ros.rl.controller import Controller, passive_controller
from irl_ros.rl.controller_search import ControllerSearch, Place, SearchSettings
from irl_ros.rl.controller_step import (
    ControllerSettings,
    _nearest,
    best_release,
    fit_controller,
    regress,
    step,
)
from irl_ros.rl.linear_gaussian import Gaussian, LinearGaussian
from irl_ros.rl.lqr import Quadratic
from irl_ros.rl.policy import Policy
from irl_ros.rl.task import Trajectories
from irl_ros.rl.throw_task import ThrowTask
from irl_ros.sim import BatchWorld, Throws, World


@pytest.fixture
def task(policy: Policy, world: World) -> ThrowTask:
    return ThrowTask(BatchWorld(world), policy.observation, Features(world))


@pytest.fixture
def shown(task: ThrowTask, thrown: Throws) -> Trajectories:
    return task.trajectories(thrown)


@pytest.fixture
def view(task: ThrowTask, shown: Trajectories) -> ControlView:
    return control_view(task, shown)


def random_release(view: ControlView) -> Tensor:
    return torch.softmax(torch.randn(view.horizon + 1).double(), 0)


# --- what it sees ---


def test_polar_coordinates_are_those_of_target_and_landing(
    view: ThrowView, task: ThrowTask, thrown: Throws
) -> None:
    states = thrown.states[:, 5]
    miss = task.observation.flight.predicted_miss(states.ball_position, states.ball_velocity, states.target)
    landing = states.target[:, :2] + miss
    radius, azimuth, far, wide = view.polar(task.observation(states)).unbind(-1)
    torch.testing.assert_close(radius.float(), states.target[:, :2].norm(dim=-1))
    torch.testing.assert_close(azimuth.float(), torch.atan2(states.target[:, 1], states.target[:, 0]))
    torch.testing.assert_close(far.float(), landing.norm(dim=-1) - radius.float(), atol=1e-5, rtol=0)
    turned = torch.stack(((azimuth + wide).cos(), (azimuth + wide).sin()), -1).float()
    torch.testing.assert_close(turned, landing / landing.norm(dim=-1, keepdim=True), atol=1e-5, rtol=0)


def test_time_and_hand_are_read_from_the_observation(
    view: ControlView, shown: Trajectories, thrown: Throws
) -> None:
    steps = view.step(shown.observations[:, :-1])
    torch.testing.assert_close(steps[0], torch.arange(view.horizon))
    assert torch.equal(view.held(shown.observations), thrown.states.held)


def test_p0_keeps_velocities_and_spreads_as_demonstrations_change_them(
    view: ControlView, task: ThrowTask, shown: Trajectories, thrown: Throws
) -> None:
    limit = torch.as_tensor(task.simulator.world.velocity, dtype=torch.float32)
    moving = thrown.states.qd[:, :-1] / limit
    mean = view.passive.mean(view.x(shown.observations[:, :-1]))
    torch.testing.assert_close(mean.float(), moving, atol=1e-4, rtol=0)
    change = (thrown.actions[..., :-1] - moving).square().mean((0, 1))
    torch.testing.assert_close(view.passive.covariance.diagonal().float(), change.clamp_min(0.02**2))


# --- its density ---


def test_rollouts_are_told_the_density_of_whole_trajectories(task: ThrowTask, view: ControlView) -> None:
    passive = passive_controller(view)
    q = passive.replaced(passive.motion, random_release(view))
    rollout = task.rollout(q, 16)
    each = q.log_prob_of(rollout.trajectories)
    torch.testing.assert_close(each.float(), rollout.log_prob, atol=2e-3, rtol=1e-5)
    # and the steps' releases add up to log q(r)
    held = view.held(rollout.trajectories.observations[:, :-1])
    motion = q.motion.log_prob(
        view.x(rollout.trajectories.observations[:, :-1]), view.u(rollout.trajectories.actions)
    )
    steps = held.sum(1)
    still = view.held(rollout.trajectories.observations[:, -1])
    chosen = torch.where(still, view.horizon, steps - 1)
    torch.testing.assert_close((each - motion).sum(1), q.release[chosen].log())


def test_hands_open_as_often_as_they_should(task: ThrowTask, view: ControlView) -> None:
    release = torch.zeros(view.horizon + 1).double()
    release[[3, 10, view.horizon]] = torch.tensor([0.2, 0.5, 0.3]).double()
    q = Controller(view, passive_controller(view).motion, release)
    held = view.held(task.rollout(q, 600).trajectories.observations)
    counts = held.sum(1)
    for when, share in ((4, 0.2), (11, 0.5), (view.horizon + 1, 0.3)):
        assert float((counts == when).float().mean()) == pytest.approx(share, abs=0.06)


def test_the_robots_action_is_the_mean_and_the_likeliest_release(
    view: ControlView, shown: Trajectories
) -> None:
    release = torch.zeros(view.horizon + 1).double()
    release[[3, 10]] = torch.tensor([0.4, 0.6]).double()
    q = Controller(view, passive_controller(view).motion, release)
    action = q.mode(shown.observations[:, :-1])
    mean = q.motion.mean(view.x(shown.observations[:, :-1])).clamp(-1, 1)
    torch.testing.assert_close(action[..., :-1], mean.float())
    assert bool((action[:, :10, -1] < 0).all()) and bool((action[:, 10:, -1] > 0).all())


def test_a_controller_of_demonstrations_opens_when_they_did(view: ControlView, shown: Trajectories) -> None:
    q = fit_controller(view, shown, ControllerSettings())
    assert float(q.release.sum()) == pytest.approx(1.0)
    when = view.held(shown.observations).sum(1) - 1
    assert int(q.release.argmax()) == int(when.mode().values)
    assert float(q.release.min()) > 0


# --- a step ---


def test_a_quadratic_is_found_and_a_hollow_one_is_cut_flat() -> None:
    y, weight = torch.randn(200, 2).double() + 1.5, torch.rand(200).double()
    hessian, gradient = torch.tensor([[2.0, 0.3], [0.3, 1.0]]).double(), torch.tensor([0.5, -1.0]).double()
    truth = Quadratic(hessian, gradient, torch.tensor(0.7).double())
    found = _nearest(y, truth(y), weight)
    torch.testing.assert_close(found.hessian, hessian, atol=1e-4, rtol=0)
    torch.testing.assert_close(found(y), truth(y), atol=1e-3, rtol=0)
    hollow = _nearest(y, -truth(y), weight)
    mean = (weight[:, None] * y).sum(0) / weight.sum()
    assert float(torch.linalg.eigvalsh(hollow.hessian).min()) > -1e-12
    slope = hollow.gradient + hollow.hessian @ mean
    torch.testing.assert_close(slope, -(gradient + hessian @ mean), atol=1e-2, rtol=0)


def test_the_regression_is_the_mean_slope_and_curvature_of_a_cost_with_a_kink() -> None:
    """E[∇²|y|] of N(0, σ²) in the plane is √(π / 2) / (2σ) in every direction; |y| itself has none at 0."""
    sigma = 0.3
    y = sigma * torch.randn(100_000, 1, 2).double()
    found = regress(y, y.norm(dim=-1), torch.ones(100_000, 1).double(), ControllerSettings(window=0))
    expected = math.sqrt(math.pi / 2) / (2 * sigma) * torch.eye(2).double()
    torch.testing.assert_close(found.hessian[0], expected, atol=0.05, rtol=0)


def test_the_release_times_distribution_is_the_best_there_is() -> None:
    steps, eta = 5, 0.7
    motion = LinearGaussian(
        torch.randn(steps, 1, 2).double(),
        torch.randn(steps, 1).double(),
        torch.rand(steps, 1, 1).double() + 0.1,
    )

    def quadratic() -> Quadratic:
        root = torch.randn(steps, 3, 3).double()
        return Quadratic(root @ root.mT, torch.randn(steps, 3).double(), torch.randn(steps).double())

    aim, gone = quadratic(), quadratic()
    root = 0.3 * torch.randn(steps, 3, 3).double()
    hand = Gaussian(torch.randn(steps, 3).double(), root @ root.mT)
    old = torch.softmax(torch.randn(steps + 1).double(), 0)
    old[2] = 0.0
    old = old / old.sum()
    held = (aim.expect(hand) - motion.entropy).tolist()
    left = gone.expect(hand).tolist()
    price = [sum(held[: t + 1]) + left[t] for t in range(steps)] + [sum(held)]

    def objective(q: Tensor) -> float:
        """E[c̃] − H(q), of the whole choice."""
        log_old = eta / (1 + eta) * old.clamp_min(1e-300).log()
        return float((q * torch.tensor(price).double() - q * log_old + torch.xlogy(q, q)).sum())

    best = best_release(hand, aim, gone, motion, old, eta)
    assert float(best[2]) == 0.0 and float(best.sum()) == pytest.approx(1.0)
    for _ in range(20):
        other = best * torch.exp(0.1 * torch.randn(steps + 1)).double()
        assert objective(other / other.sum()) >= objective(best)


def nearness(trajectories: Trajectories) -> Tensor:
    """A cost that is low where the ball lies, or would land, near the target, [N, T]."""
    return 3 * trajectories.features[:, :-1, 0].double()  # the distance, up to 1 m


def test_a_step_on_the_throw_keeps_its_bound_and_helps(
    task: ThrowTask, view: ControlView, shown: Trajectories
) -> None:
    torch.manual_seed(1)
    first = fit_controller(view, shown, ControllerSettings(floor=1e-2))
    search = ControllerSearch(first, SearchSettings(epsilon=8.0))
    passive, places = passive_controller(view), []
    for _ in range(4):
        q = search.controller
        trajectories = task.rollout(q, 96).trajectories
        held = view.held(trajectories.observations[:, :-1])
        excess = q.log_prob_of(trajectories) - passive.log_prob_of(trajectories)
        cost = nearness(trajectories)
        value = (cost + torch.where(held, excess, 0.0)).sum(1)
        places.append(Place(q, trajectories, cost, value))
        figures = search.update(places)
        assert figures["kl"] <= search.epsilon
        assert figures["best_objective"] == pytest.approx(min(p.objective for p in places), rel=1e-6)
    assert places[-1].objective < places[0].objective - 3 * places[0].error
    # most of that is entropy. A step blind to the cost's slopes, or one that has them turned, leaves 94 %
    paid = [float(place.cost.sum(1).mean()) for place in places]
    assert paid[-1] < 0.75 * paid[0]


def test_a_step_that_did_harm_shortens_the_next_and_starts_from_where_it_was_better(
    task: ThrowTask, view: ControlView, shown: Trajectories
) -> None:
    first = fit_controller(view, shown, ControllerSettings(floor=1e-2))
    search = ControllerSearch(first, SearchSettings(epsilon=8.0))
    trajectories = task.rollout(first, 32).trajectories
    good = Place(first, trajectories, nearness(trajectories), torch.randn(32).double())
    search.update([good])
    bad = dataclasses.replace(good, controller=search.controller, value=good.value + 100.0)
    search.update([good, bad])
    assert search.epsilon == 4.0 and search.best == 0
    better = dataclasses.replace(good, controller=search.controller, value=good.value - 100.0)
    search.update([good, bad, better])
    assert search.epsilon == pytest.approx(5.2) and search.best == 2


def test_one_that_never_lets_go_stays_so(task: ThrowTask, view: ControlView, shown: Trajectories) -> None:
    never = torch.zeros(view.horizon + 1).double()
    never[-1] = 1.0
    q = Controller(view, passive_controller(view).motion, never)
    trajectories = task.rollout(q, 48).trajectories
    found = step(q, trajectories, nearness(trajectories), ControllerSettings(), 5.0)
    assert torch.equal(found.release, never) and 0 < found.divergence <= 5.0
