"""Maximum-entropy LQR against Riccati recursions, dense Gaussian integrals, and its own bound."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from irl_ros.rl.linear_gaussian import Gaussian, LinearGaussian, kl
from irl_ros.rl.lqr import Quadratic, System, augmented, backward, divergence, forward, surprise, within

A = torch.tensor([[1.0, 0.1], [0.0, 1.0]], dtype=torch.float64)  # a cart: position and velocity
B = torch.tensor([[0.005], [0.1]], dtype=torch.float64)
Q, R = torch.diag(torch.tensor([2.0, 0.5], dtype=torch.float64)), torch.tensor([[0.3]], dtype=torch.float64)
STEPS = 12


def cart(noise: float = 0.0, go_on: Tensor | None = None) -> System:
    gain = torch.cat((A, B), 1).expand(STEPS, 2, 3)
    covariance = noise * torch.eye(2, dtype=torch.float64).expand(STEPS, 2, 2)
    start = Gaussian(torch.tensor([1.0, -0.5]).double(), 0.2 * torch.eye(2).double())
    dynamics = LinearGaussian(gain, torch.zeros(STEPS, 2).double(), covariance)
    return System(dynamics, start, torch.ones(STEPS).double() if go_on is None else go_on)


def cost(goal: Tensor | None = None) -> Quadratic:
    """½ (x − goal)ᵀQ(x − goal) + ½ uᵀRu."""
    goal = torch.zeros(2).double() if goal is None else goal
    hessian = torch.block_diag(Q, R).expand(STEPS, 3, 3)
    gradient = torch.cat((-Q @ goal, torch.zeros(1).double())).expand(STEPS, 3)
    return Quadratic(hessian, gradient, (0.5 * goal @ Q @ goal).expand(STEPS))


def test_gains_are_those_of_the_riccati_recursion() -> None:
    p = torch.zeros(2, 2).double()
    gains: list[Tensor] = []
    for _ in range(STEPS):
        k = -torch.linalg.solve(R + B.mT @ p @ B, B.mT @ p @ A)
        p = Q + A.mT @ p @ (A + B @ k)
        gains.insert(0, k)
    controller, values = backward(cart(noise=0.1), cost())
    torch.testing.assert_close(controller.gain, torch.stack(gains))
    torch.testing.assert_close(values.hessian[0], p)
    assert float(controller.bias.abs().max()) == 0.0


def test_noise_is_the_inverse_curvature() -> None:
    """The last step's control changes no state any more: only R holds it."""
    controller, _ = backward(cart(), cost())
    torch.testing.assert_close(controller.covariance[-1], torch.linalg.inv(R))
    assert float(controller.covariance[0]) < float(controller.covariance[-1])


def dense_log_z(x0: Tensor, goal: Tensor) -> float:
    """log ∫ exp(−c(x_0, u)) du of the noiseless cart as one Gaussian integral over all controls at once."""
    reach, free, here = torch.zeros(STEPS, 2, STEPS).double(), [], x0
    for t in range(STEPS):
        free.append(here)
        here = A @ here
        for s in range(t):
            reach[t, :, s] = (torch.linalg.matrix_power(A, t - s - 1) @ B)[:, 0]
    off = torch.stack(free) - goal
    hessian = torch.einsum("tis,ij,tjr->sr", reach, Q, reach) + R * torch.eye(STEPS).double()
    gradient = torch.einsum("tis,ij,tj->s", reach, Q, off)
    constant = 0.5 * torch.einsum("ti,ij,tj->", off, Q, off)
    best = 0.5 * gradient @ torch.linalg.solve(hessian, gradient)
    return float(best - constant + 0.5 * STEPS * math.log(2 * math.pi) - 0.5 * torch.logdet(hessian))


def test_the_soft_value_is_minus_log_z() -> None:
    x0, goal = torch.tensor([1.0, -0.5]).double(), torch.tensor([0.3, 0.1]).double()
    _, values = backward(cart(), cost(goal))
    assert -float(values[0](x0)) == pytest.approx(dense_log_z(x0, goal), rel=1e-10)


def objective(system: System, controller: LinearGaussian, c: Quadratic) -> float:
    z, at_work = forward(system, controller)
    return float((at_work * (c.expect(z) - controller.entropy)).sum())


@pytest.mark.parametrize("stops", [False, True])
def test_the_soft_value_is_the_objective_and_nothing_near_is_better(stops: bool) -> None:
    """Also where the episode may end in every step."""
    go_on = torch.linspace(0.95, 0.6, STEPS).double() if stops else None
    system, c = cart(noise=0.05, go_on=go_on), cost(torch.tensor([0.3, 0.1]).double())
    best, values = backward(system, c)
    reached = objective(system, best, c)
    assert reached == pytest.approx(float(values[0].expect(system.start)), rel=1e-10)
    for part in ("gain", "bias", "covariance"):
        for sign in (-1, 1):
            moved = vars(best) | {part: getattr(best, part) * (1 + 0.02 * sign)}
            if part == "bias":
                moved[part] = best.bias + 0.05 * sign
            assert objective(system, LinearGaussian(**moved), c) > reached


def test_forward_moments_and_stopping_against_samples() -> None:
    go_on = torch.linspace(0.95, 0.6, STEPS).double()
    system = cart(noise=0.05, go_on=go_on)
    controller, _ = backward(system, cost())
    z, at_work = forward(system, controller)
    x = system.start.mean + math.sqrt(0.2) * torch.randn(50_000, 2).double()
    alive, share = torch.ones(50_000), []
    for t in range(STEPS):
        share.append(alive.mean())
        u = controller[t].sample(x)
        both = torch.cat((x, u), -1)
        x, alive = system.dynamics[t].sample(both), alive * (torch.rand(50_000) < go_on[t])
    torch.testing.assert_close(both.mean(0), z.mean[-1], atol=0.05, rtol=0)
    torch.testing.assert_close(both.mT.cov(), z.covariance[-1], atol=0.1, rtol=0.05)
    torch.testing.assert_close(torch.stack(share).double(), at_work, atol=0.01, rtol=0)


def start_controller() -> LinearGaussian:
    gain = torch.zeros(STEPS, 1, 2).double()
    covariance = 0.5 * torch.ones(STEPS, 1, 1).double()
    return LinearGaussian(gain, 0.2 * torch.ones(STEPS, 1).double(), covariance)


@dataclass(frozen=True)
class Step:
    controller: LinearGaussian
    eta: float
    divergence: float


def improve(system: System, c: Quadratic, old: LinearGaussian, epsilon: float) -> Step:
    """min_q E_q[c] − H(q) subject to KL(q ‖ q_old) ≤ ε: controller_step.step where nothing is let go."""

    def attempt(eta: float) -> Step:
        controller, _ = backward(system, augmented(c, old, eta))
        return Step(controller, eta, float(divergence(system, controller, old)))

    return within(epsilon, attempt)


@pytest.mark.parametrize("epsilon", [0.01, 0.5, 5.0])
def test_a_step_uses_its_bound_and_keeps_it(epsilon: float) -> None:
    system, old, c = cart(noise=0.05), start_controller(), cost(torch.tensor([0.3, 0.1]).double())
    step = improve(system, c, old, epsilon)
    assert 0.9 * epsilon < step.divergence <= epsilon
    assert float(divergence(system, step.controller, old)) == pytest.approx(step.divergence)
    assert objective(system, step.controller, c) < objective(system, old, c)


def test_without_need_of_it_the_bound_does_nothing() -> None:
    system, c = cart(noise=0.05), cost()
    step = improve(system, c, start_controller(), 1e4)
    torch.testing.assert_close(step.controller.gain, backward(system, c)[0].gain)
    assert step.eta == 0.0


def test_steps_lead_to_the_optimum() -> None:
    system, c, controller = cart(noise=0.05), cost(), start_controller()
    best = objective(system, backward(system, c)[0], c)
    gaps = []
    for _ in range(30):
        controller = improve(system, c, controller, 1.0).controller
        gaps.append(objective(system, controller, c) - best)
    assert all(b <= a + 1e-9 for a, b in pairwise(gaps))
    assert gaps[-1] < 1e-6


def test_a_cost_that_curves_downwards_is_held_by_the_bound() -> None:
    system, old = cart(noise=0.05), start_controller()
    c = cost()
    hollow = Quadratic(c.hessian - torch.diag(torch.tensor([0.0, 0.0, 1.0])).double(), c.gradient, c.constant)
    with pytest.raises(torch.linalg.LinAlgError):
        backward(system, hollow)
    assert improve(system, hollow, old, 0.5).divergence <= 0.5


def test_surprise_is_minus_log_density() -> None:
    covariance = (0.3 * torch.eye(2).double() + 0.1).expand(3, 2, 2)
    p = LinearGaussian(torch.randn(3, 2, 4).double(), torch.randn(3, 2).double(), covariance)
    x, u = torch.randn(3, 4).double(), torch.randn(3, 2).double()
    torch.testing.assert_close(surprise(p)(torch.cat((x, u), -1)), -p.log_prob(x, u))


def test_divergence_of_an_ordinary_system_is_the_sum_over_steps() -> None:
    system, old = cart(noise=0.05), start_controller()
    new, _ = backward(system, cost())
    z, _ = forward(system, new)
    each = [kl(new[t], old[t], Gaussian(z.mean[t, :2], z.covariance[t, :2, :2])) for t in range(STEPS)]
    assert float(divergence(system, new, old)) == pytest.approx(float(sum(each)))
