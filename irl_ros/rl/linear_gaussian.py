"""Linear-Gaussian conditionals p(y | x) = N(Kx + k, C): controllers, fitted dynamics, and fits of both.

Time-varying controllers p(u_t | x_t) and dynamics p(x_{t+1} | x_t, u_t) of Levine & Abbeel 2014 ("Learning
neural network policies with guided policy search under unknown dynamics") are both of this one kind. All
tensors are batched over leading dimensions, usually time [T], or time and mode [T, M]; use float64.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LOG_TAU = math.log(2 * math.pi)


@dataclass(frozen=True)
class Gaussian:
    """N(mean [..., d], covariance [..., d, d])."""

    mean: Tensor
    covariance: Tensor

    def expect_square(self, matrix: Tensor, offset: Tensor, metric: Tensor) -> Tensor:
        """E[(Ax + b)ᵀ M (Ax + b)], [...], for A [..., m, d], b [..., m], M [..., m, m]."""
        centre = times(matrix, self.mean) + offset
        spread = torch.einsum("...ij,...jk,...lk,...il->...", matrix, self.covariance, matrix, metric)
        return torch.einsum("...i,...ij,...j->...", centre, metric, centre) + spread


@dataclass(frozen=True)
class LinearGaussian:
    """p(y | x) = N(gain x + bias, covariance).

    Attributes:
        gain: K, [..., m, n].
        bias: k, [..., m].
        covariance: C, [..., m, m], positive definite.
    """

    gain: Tensor
    bias: Tensor
    covariance: Tensor

    def map(self, f: Callable[[Tensor], Tensor]) -> LinearGaussian:
        """A copy with `f` applied to every tensor."""
        return LinearGaussian(f(self.gain), f(self.bias), f(self.covariance))

    def __getitem__(self, index: object) -> LinearGaussian:
        return self.map(lambda x: x[index])  # type: ignore[index]

    @classmethod
    def stack(cls, items: Sequence[LinearGaussian], dim: int = 0) -> LinearGaussian:
        """Conditionals joined along a new dimension."""
        names = [f.name for f in dataclasses.fields(cls)]
        return cls(*(torch.stack([getattr(i, n) for i in items], dim) for n in names))

    def mean(self, x: Tensor) -> Tensor:
        """E[y | x], [..., m], for x [..., n]; leading dimensions broadcast."""
        return times(self.gain, x) + self.bias

    def sample(self, x: Tensor) -> Tensor:
        """One y for each x."""
        mean = self.mean(x)
        return mean + times(torch.linalg.cholesky(self.covariance), torch.randn_like(mean))

    def log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        """log p(y | x), [...]."""
        factor = torch.linalg.cholesky(self.covariance)
        eye = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device).expand_as(factor)
        whiten = torch.linalg.solve_triangular(factor, eye, upper=False)
        z = times(whiten, y - self.mean(x))
        return -0.5 * (z.square().sum(-1) + z.shape[-1] * LOG_TAU) - log_diagonal(factor)

    @property
    def entropy(self) -> Tensor:
        """Of p(y | x), the same for every x, [...]."""
        m = self.covariance.shape[-1]
        return 0.5 * m * (1 + LOG_TAU) + log_diagonal(torch.linalg.cholesky(self.covariance))

    def joint(self, x: Gaussian) -> Gaussian:
        """The Gaussian of (x, y) when x is Gaussian, [..., n + m]."""
        cross = x.covariance @ self.gain.mT
        below = self.gain @ cross + self.covariance
        mean = torch.cat((x.mean, self.mean(x.mean)), -1)
        top, bottom = torch.cat((x.covariance, cross), -1), torch.cat((cross.mT, below), -1)
        return Gaussian(mean, torch.cat((top, bottom), -2))

    def marginal(self, x: Gaussian) -> Gaussian:
        """The Gaussian of y when x is Gaussian, [..., m]."""
        return Gaussian(
            self.mean(x.mean), symmetric(self.gain @ x.covariance @ self.gain.mT + self.covariance)
        )


def kl(new: LinearGaussian, old: LinearGaussian, x: Gaussian) -> Tensor:
    """E_x[KL(new(· | x) ‖ old(· | x))], exact for Gaussian x, [...]."""
    precision = torch.linalg.inv(old.covariance)
    trace = torch.einsum("...ij,...ji->...", precision, new.covariance) - precision.shape[-1]
    volume = 2 * (
        log_diagonal(torch.linalg.cholesky(old.covariance))
        - log_diagonal(torch.linalg.cholesky(new.covariance))
    )
    return 0.5 * (trace + volume + x.expect_square(new.gain - old.gain, new.bias - old.bias, precision))


@dataclass(frozen=True)
class NormalInverseWishart:
    """A conjugate prior of a Gaussian's mean and covariance, worth `strength` samples.

    Attributes:
        guess: the Gaussian expected before any sample is seen, [..., d].
        strength: m and n₀ at once: samples that the guess of the mean and of the covariance count for.
    """

    guess: Gaussian
    strength: float

    @classmethod
    def pooled(
        cls, samples: Tensor, window: int, strength: float, weights: Tensor | None = None
    ) -> NormalInverseWishart:
        """For each time the Gaussian of all samples [N, T, d] within `window` steps of it, [T, d].

        What x and u have to do with each other changes little from a step to the next, so neighbours in time
        stand in for samples there are too few of (Levine & Abbeel 2014, who pool by a mixture model).
        """
        weight = torch.ones_like(samples[..., 0]) if weights is None else weights
        near = neighbours(samples.shape[1], window).to(samples)
        count = near @ weight.sum(0)
        first = torch.einsum("nt,nti->ti", weight, samples)
        second = torch.einsum("nt,nti,ntj->tij", weight, samples, samples)
        mean = near @ first / count[:, None]
        square = torch.einsum("ts,sij->tij", near, second) / count[:, None, None]
        return cls(Gaussian(mean, square - mean[:, :, None] * mean[:, None, :]), strength)

    def posterior(self, samples: Tensor, weights: Tensor | None = None) -> Gaussian:
        """The most probable Gaussian given samples [N, ..., d] that count for `weights` [N, ...] each.

        Levine & Abbeel 2014, of dynamics: Σ = (Φ + N Σ̂ + N m / (N + m) (μ̂ − μ₀)(μ̂ − μ₀)ᵀ) / (N + n₀).
        """
        weight = torch.ones_like(samples[..., 0]) if weights is None else weights
        count = weight.sum(0)[..., None]
        mean = (weight[..., None] * samples).sum(0) / count.clamp_min(1e-9)
        m, off = self.strength, mean - self.guess.mean
        scatter = _scatter(samples, mean, weight) + m * self.guess.covariance
        scatter = scatter + (count * m / (count + m))[..., None] * off[..., :, None] * off[..., None, :]
        middle = (count * mean + m * self.guess.mean) / (count + m)
        return Gaussian(middle, scatter / (count + m)[..., None])


def condition(joint: Gaussian, n: int, ridge: float, floor: float) -> LinearGaussian:
    """p(y | x) from the Gaussian of (x, y), x being the first n entries.

    Args:
        joint: [..., n + m].
        n: entries of x.
        ridge: variance added to every x: a direction nobody ever moved in must not decide about y.
        floor: variance added to y given x.
    """
    s = joint.covariance
    eye_x = ridge * torch.eye(n, dtype=s.dtype, device=s.device)
    gain = torch.linalg.solve(s[..., :n, :n] + eye_x, s[..., :n, n:]).mT
    left = s[..., n:, n:] - gain @ s[..., :n, n:] - s[..., n:, :n] @ gain.mT + gain @ s[..., :n, :n] @ gain.mT
    eye_y = floor * torch.eye(left.shape[-1], dtype=s.dtype, device=s.device)
    return LinearGaussian(
        gain, joint.mean[..., n:] - times(gain, joint.mean[..., :n]), symmetric(left) + eye_y
    )


def fit(
    x: Tensor,
    y: Tensor,
    window: int = 2,
    strength: float = 1.0,
    ridge: float = 1e-4,
    floor: float = 1e-6,
    weights: Tensor | None = None,
) -> LinearGaussian:
    """Time-varying p(y_t | x_t), [T], from samples x [N, T, n] and y [N, T, m].

    Args:
        x, y: with y = u a controller is fitted, with x = (x_t, u_t) and y = x_{t+1} dynamics.
        window, strength: of the prior that is pooled from neighbouring steps.
        ridge, floor: as in `condition`.
        weights: what each sample counts for, [N, T]; default 1.
    """
    both = torch.cat((x, y), -1)
    prior = NormalInverseWishart.pooled(both, window, strength, weights)
    return condition(prior.posterior(both, weights), x.shape[-1], ridge, floor)


def neighbours(steps: int, window: int) -> Tensor:
    """How much each step tells about each other, [T, T]: 1 within the window, next to nothing beyond.

    Not nothing: a step without any sample of its own or nearby takes what there is.
    """
    time = torch.arange(steps)
    return torch.where((time[:, None] - time).abs() <= window, 1.0, 1e-4).double()


def times(matrix: Tensor, vector: Tensor) -> Tensor:
    """Matrix [..., m, n] times vector [..., n]."""
    return torch.einsum("...ij,...j->...i", matrix, vector)


def symmetric(matrix: Tensor) -> Tensor:
    """Without the asymmetry that rounding leaves."""
    return 0.5 * (matrix + matrix.mT)


def log_diagonal(factor: Tensor) -> Tensor:
    """Σ log of the diagonal: half the log determinant of what `factor` is the Cholesky factor of."""
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def _scatter(samples: Tensor, mean: Tensor, weight: Tensor | None = None) -> Tensor:
    """Σ w (x − mean)(x − mean)ᵀ, [..., d, d]."""
    centred = samples - mean
    scaled = centred if weight is None else weight[..., None] * centred
    return torch.einsum("n...i,n...j->...ij", scaled, centred)
