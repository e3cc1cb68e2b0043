"""Maximum-entropy LQR on time-varying linear-Gaussian systems, with a step bounded in KL divergence.

The trajectory optimiser of Levine & Abbeel 2014 in its maximum-entropy form (Finn, Levine & Abbeel 2016,
§4.2): min_q E_q[c(τ)] − H(q) subject to KL(q ‖ q_old) ≤ ε, q being time-varying linear-Gaussian.

One thing is added: an episode may be over for the controller at an open-loop chance in every step (a ball is
let go). Given the chances everything stays linear-quadratic. x has n, u has m, z = (x, u) n + m entries.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from irl_ros.rl.linear_gaussian import LOG_TAU, Gaussian, LinearGaussian, kl, log_diagonal, symmetric, times


@dataclass(frozen=True)
class Quadratic:
    """½ zᵀHz + gᵀz + c.

    Attributes:
        hessian: H, [..., d, d], symmetric.
        gradient: g, [..., d].
        constant: c, [...].
    """

    hessian: Tensor
    gradient: Tensor
    constant: Tensor

    def __call__(self, z: Tensor) -> Tensor:
        return (
            0.5 * torch.einsum("...i,...ij,...j->...", z, self.hessian, z)
            + (self.gradient * z).sum(-1)
            + self.constant
        )

    def __getitem__(self, index: object) -> Quadratic:
        return Quadratic(self.hessian[index], self.gradient[index], self.constant[index])  # type: ignore[index]

    def __add__(self, other: Quadratic) -> Quadratic:
        return Quadratic(
            self.hessian + other.hessian, self.gradient + other.gradient, self.constant + other.constant
        )

    def __mul__(self, factor: float | Tensor) -> Quadratic:
        f = torch.as_tensor(factor, dtype=self.constant.dtype, device=self.constant.device)
        return Quadratic(f[..., None, None] * self.hessian, f[..., None] * self.gradient, f * self.constant)

    def expect(self, z: Gaussian) -> Tensor:
        """E[½ zᵀHz + gᵀz + c] for Gaussian z, [...]."""
        spread = 0.5 * torch.einsum("...ij,...ji->...", self.hessian, z.covariance)
        return self(z.mean) + spread

    @classmethod
    def stack(cls, items: Sequence[Quadratic], dim: int = 0) -> Quadratic:
        """Quadratics joined along a new dimension."""
        names = [f.name for f in dataclasses.fields(cls)]
        return cls(*(torch.stack([getattr(i, n) for i in items], dim) for n in names))


def surprise(conditional: LinearGaussian) -> Quadratic:
    """−log p(u | x) as a quadratic in z = (x, u)."""
    m = conditional.bias.shape[-1]
    precision = torch.linalg.inv(conditional.covariance)
    eye = torch.eye(m, dtype=precision.dtype, device=precision.device).expand_as(precision)
    residual = torch.cat((-conditional.gain, eye), -1)  # u − Kx = residual · z
    half_volume = log_diagonal(torch.linalg.cholesky(conditional.covariance)) + 0.5 * m * LOG_TAU
    at_zero = 0.5 * torch.einsum("...i,...ij,...j->...", conditional.bias, precision, conditional.bias)
    return Quadratic(
        symmetric(residual.mT @ precision @ residual),
        -times(residual.mT, times(precision, conditional.bias)),
        at_zero + half_volume,
    )


def before(value: Quadratic, dynamics: LinearGaussian) -> Quadratic:
    """E[V(x') | z] as a quadratic in z, for x' ~ dynamics(· | z)."""
    f, b, p = dynamics.gain, dynamics.bias, value.hessian
    noise = 0.5 * torch.einsum("...ij,...ji->...", p, dynamics.covariance)
    pull = times(p, b) + value.gradient
    return Quadratic(symmetric(f.mT @ p @ f), times(f.mT, pull), value(b) + noise)


def minimise(q: Quadratic, n: int) -> tuple[LinearGaussian, Quadratic]:
    """The controller π(u | x) ∝ exp(−Q(x, u)) and its soft value V(x) = −log ∫ exp(−Q(x, u)) du.

    Raises:
        torch.linalg.LinAlgError: Q does not curve upwards in u.
    """
    h_uu, h_ux, g_u = q.hessian[..., n:, n:], q.hessian[..., n:, :n], q.gradient[..., n:]
    factor = torch.linalg.cholesky(h_uu)
    gain, bias = -torch.cholesky_solve(h_ux, factor), -torch.cholesky_solve(g_u[..., None], factor)[..., 0]
    half_volume = 0.5 * g_u.shape[-1] * LOG_TAU - log_diagonal(factor)
    value = Quadratic(
        symmetric(q.hessian[..., :n, :n] + h_ux.mT @ gain),
        q.gradient[..., :n] + times(h_ux.mT, bias),
        q.constant + 0.5 * (g_u * bias).sum(-1) - half_volume,
    )
    return LinearGaussian(gain, bias, symmetric(torch.cholesky_inverse(factor))), value


@dataclass(frozen=True)
class System:
    """A linear-Gaussian system over T steps.

    Attributes:
        dynamics: p(x_{t+1} | x_t, u_t), [T].
        start: of x_0.
        go_on: chance that the controller is still at work after step t, [T]; 1 in an ordinary system.
    """

    dynamics: LinearGaussian
    start: Gaussian
    go_on: Tensor

    @property
    def n(self) -> int:
        """Entries of x."""
        return self.dynamics.bias.shape[-1]


def backward(system: System, cost: Quadratic) -> tuple[LinearGaussian, Quadratic]:
    """The controller that minimises E[Σ c] − H, and its soft values.

    Args:
        system: T steps.
        cost: c_t(x, u), [T].

    Returns:
        Controller [T] and values [T + 1]; V_0 is −log Z where the dynamics are deterministic.
    """
    n = system.n
    value = Quadratic(*(x.new_zeros(size) for x, size in zip([cost.hessian] * 3, [(n, n), (n,), ()])))
    controllers, values = [], [value]
    for t in reversed(range(len(cost.constant))):
        later = before(value, system.dynamics[t]) * system.go_on[t]
        controller, value = minimise(cost[t] + later, n)
        controllers.append(controller)
        values.append(value)
    return LinearGaussian.stack(controllers[::-1]), Quadratic.stack(values[::-1])


def forward(system: System, controller: LinearGaussian) -> tuple[Gaussian, Tensor]:
    """The Gaussian of (x_t, u_t), [T], and the chance that the controller is still at work, [T]."""
    state, joints = system.start, []
    for t in range(len(system.go_on)):
        joints.append(controller[t].joint(state))
        state = system.dynamics[t].marginal(joints[-1])
    whole = Gaussian(torch.stack([j.mean for j in joints]), torch.stack([j.covariance for j in joints]))
    at_work = torch.cat((torch.ones_like(system.go_on[:1]), system.go_on[:-1])).cumprod(0)
    return whole, at_work


def divergence(system: System, new: LinearGaussian, old: LinearGaussian) -> Tensor:
    """KL(q_new(τ) ‖ q_old(τ)) of whole trajectories under the same system: the dynamics cancel."""
    z, at_work = forward(system, new)
    n = system.n
    x = Gaussian(z.mean[..., :n], z.covariance[..., :n, :n])
    return (at_work * kl(new, old, x)).sum()


def augmented(cost: Quadratic, old: LinearGaussian, eta: float) -> Quadratic:
    """(c − η log q_old) / (1 + η): what the step minimises for a given η, less the entropy.

    E[c] − H(q) + η KL(q ‖ q_old) = (1 + η) (E[(c − η log q_old) / (1 + η)] − H(q)). With the entropy left out
    of the objective this is Levine & Abbeel's c / η − log q_old.
    """
    return cost * (1 / (1 + eta)) + surprise(old) * (eta / (1 + eta))


class Bounded(Protocol):
    """What came of a multiplier."""

    @property
    def divergence(self) -> float: ...


Attempt = TypeVar("Attempt", bound=Bounded)


def within(epsilon: float, attempt: Callable[[float], Attempt], rounds: int = 30) -> Attempt:
    """The result for about the smallest η whose divergence is at most ε (the dual is concave in η).

    Args:
        epsilon: ε.
        attempt: η → result; may raise LinAlgError where η is too small for there to be one.
        rounds: most attempts, by false position on log divergence against log η, and bisection.

    Raises:
        ValueError: no η up to 1e12 keeps the bound.
    """

    def measure(eta: float) -> tuple[Attempt | None, float]:
        try:
            result = attempt(eta)
        except torch.linalg.LinAlgError:
            return None, math.inf
        excess = math.log(max(result.divergence, 1e-300) / epsilon)  # NaN stays NaN
        return result, excess if math.isfinite(excess) else math.inf

    best, excess = measure(0.0)
    if best is not None and excess <= 0:
        return best
    best = None
    low, high, over, under = math.log(1e-6), math.log(1e12), math.inf, -math.inf
    for i in range(rounds):
        middle = 0.5 * (low + high)
        if i % 2 and math.isfinite(over - under):
            middle = low + (high - low) * over / (over - under)
        result, excess = measure(math.exp(middle))
        if excess > 0:
            low, over = middle, excess
        else:
            best, high, under = result, middle, excess
            if excess > math.log(0.95):
                break
    if best is None:
        raise ValueError(f"no step from this controller has a divergence below {epsilon:g}")
    return best
