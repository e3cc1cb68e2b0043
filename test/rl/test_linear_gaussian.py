"""Linear-Gaussian conditionals against torch.distributions, closed forms and systems whose laws are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from irl_ros.rl.linear_gaussian import Gaussian, LinearGaussian, NormalInverseWishart, fit, kl


def spd(*shape: int) -> Tensor:
    """Random covariances, [..., d, d]."""
    root = torch.randn(*shape, shape[-1], dtype=torch.float64)
    return root @ root.mT + 0.3 * torch.eye(shape[-1], dtype=torch.float64)


def conditional(steps: int, n: int, m: int) -> LinearGaussian:
    gain, bias = torch.randn(steps, m, n).double(), torch.randn(steps, m).double()
    return LinearGaussian(gain, bias, spd(steps, m))


def test_density_and_entropy_are_those_of_a_gaussian() -> None:
    p, x, y = conditional(4, 3, 2), torch.randn(5, 4, 3).double(), torch.randn(5, 4, 2).double()
    mean = torch.einsum("tij,ntj->nti", p.gain, x) + p.bias
    truth = MultivariateNormal(mean, p.covariance)
    torch.testing.assert_close(p.log_prob(x, y), truth.log_prob(y))
    torch.testing.assert_close(p.entropy, truth.entropy()[0])


def test_samples_have_the_mean_and_covariance_they_should() -> None:
    p, x = conditional(1, 3, 2), torch.randn(3).double()
    drawn = p.sample(x.expand(40_000, 1, 3))[:, 0]
    torch.testing.assert_close(drawn.mean(0), p.mean(x)[0], atol=0.05, rtol=0)
    torch.testing.assert_close(drawn.mT.cov(), p.covariance[0], atol=0.12, rtol=0.03)


def test_kl_is_the_mean_of_gaussian_kls() -> None:
    new, old, x = conditional(1, 3, 2), conditional(1, 3, 2), Gaussian(torch.randn(3).double(), spd(3))
    drawn = MultivariateNormal(x.mean, x.covariance).sample((200_000,))
    each = kl_divergence(
        MultivariateNormal(new.mean(drawn[:, None]), new.covariance),
        MultivariateNormal(old.mean(drawn[:, None]), old.covariance),
    )
    assert float(kl(new, old, x)) == pytest.approx(float(each.mean()), rel=0.01)
    assert float(kl(new, new, x).abs().max()) < 1e-12


def test_joint_and_marginal_agree_with_samples() -> None:
    p, x = conditional(1, 3, 2)[0], Gaussian(torch.randn(3).double(), spd(3))
    drawn = MultivariateNormal(x.mean, x.covariance).sample((100_000,))
    both = torch.cat((drawn, p.sample(drawn)), -1)
    joint = p.joint(x)
    torch.testing.assert_close(both.mean(0), joint.mean, atol=0.06, rtol=0)
    torch.testing.assert_close(both.mT.cov(), joint.covariance, atol=0.3, rtol=0.05)
    torch.testing.assert_close(p.marginal(x).covariance, joint.covariance[3:, 3:])


def test_a_fit_finds_the_law_that_made_the_samples() -> None:
    law = conditional(6, 3, 2)
    x = torch.randn(10_000, 6, 3).double() + torch.arange(6)[:, None]
    found = fit(x, law.sample(x), window=0, strength=1e-6, ridge=1e-9, floor=0.0)
    torch.testing.assert_close(found.gain, law.gain, atol=0.3, rtol=0)
    torch.testing.assert_close(found.covariance, law.covariance, atol=0.4, rtol=0.1)


def test_neighbours_in_time_stand_in_for_samples() -> None:
    """Eight samples cannot tell six coefficients and their noise; with ten steps of the same law they can."""
    law = conditional(1, 5, 2)
    x = torch.randn(8, 10, 5).double()
    y = law.sample(x)
    alone = fit(x, y, window=0, strength=1e-3, ridge=1e-6)
    pooled = fit(x, y, window=10, strength=40.0, ridge=1e-6)
    error = [float((p.gain - law.gain).square().mean()) for p in (alone, pooled)]
    assert error[1] < 0.3 * error[0]


def test_a_fit_leaves_out_what_counts_for_nothing() -> None:
    law = conditional(1, 3, 2)
    x = torch.randn(600, 4, 3).double()
    y, weights = law.sample(x), torch.ones(600, 4).double()
    y[::3], weights[::3] = 50.0, 0.0
    found = fit(x, y, window=1, strength=10.0, ridge=1e-9, weights=weights)
    torch.testing.assert_close(found.gain, law.gain.expand(4, -1, -1), atol=0.3, rtol=0)


def test_the_posterior_lies_between_prior_and_samples_by_their_counts() -> None:
    guess = Gaussian(torch.zeros(1, 2).double(), torch.eye(2).double()[None])
    samples = torch.tensor([[2.0, 0.0]]).double().expand(30, 1, 2)
    found = NormalInverseWishart(guess, 10.0).posterior(samples)
    torch.testing.assert_close(found.mean, torch.tensor([[1.5, 0.0]]).double())
    # (Φ + N m / (N + m) d²) / (N + n₀) = (10 + 300 / 40 · 4) / 40 and 10 / 40
    expected = torch.diag(torch.tensor([1.0, 0.25])).double()[None]
    torch.testing.assert_close(found.covariance, expected)
