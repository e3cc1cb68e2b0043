"""Agents of Gymnasium tasks against torch.distributions; after an end actions count for nothing."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Categorical, Independent, Normal

from irl_ros.rl.categorical_agent import CategoricalAgent
from irl_ros.rl.gaussian_agent import GaussianAgent
from irl_ros.rl.mlp_agent import AgentSettings, MlpAgent

IDLE = -2


def lively(agent: MlpAgent) -> MlpAgent:
    """With weights that make its actions depend on what it sees."""
    with torch.no_grad():
        agent.net[-1].weight.normal_(0.0, 0.5)
    return agent


@pytest.fixture
def gaussian() -> GaussianAgent:
    agent = lively(GaussianAgent(5, 2, AgentSettings(log_std=-0.7), IDLE))
    with torch.no_grad():
        agent.log_std.copy_(torch.tensor([-0.7, 0.2]))
    return agent


@pytest.fixture
def categorical() -> CategoricalAgent:
    return lively(CategoricalAgent(5, 3, idle=IDLE))


def seen(count: int) -> torch.Tensor:
    """Observations whose entry IDLE says that actions count."""
    observation = torch.randn(count, 5)
    observation[:, IDLE] = 0.0
    return observation


def test_gaussian_log_prob_and_entropy_are_those_of_torch(gaussian):
    observation, action = seen(64), torch.randn(64, 2)
    truth = Independent(Normal(gaussian.net(observation), gaussian.log_std.exp()), 1)
    log_prob, entropy = gaussian.log_prob_entropy(observation, action)
    assert torch.allclose(log_prob, truth.log_prob(action), atol=1e-5)
    assert torch.allclose(entropy, truth.entropy(), atol=1e-5)
    assert torch.equal(log_prob, gaussian.log_prob(observation, action))


def test_categorical_log_prob_and_entropy_are_those_of_torch(categorical):
    observation = seen(64)
    choice = torch.randint(3, (64,))
    truth = Categorical(logits=categorical.net(observation))
    log_prob, entropy = categorical.log_prob_entropy(observation, torch.eye(3)[choice])
    assert torch.allclose(log_prob, truth.log_prob(choice), atol=1e-5)
    assert torch.allclose(entropy, truth.entropy(), atol=1e-5)


def test_samples_are_as_likely_as_log_prob_says(gaussian, categorical):
    one = seen(1).expand(20000, 5)
    drawn = categorical.sample(one)
    assert torch.equal(drawn.sum(-1), torch.ones(20000))
    assert torch.allclose(drawn.mean(0), categorical.log_probs(one[0]).exp(), atol=0.015)
    drawn = gaussian.sample(one)
    assert torch.allclose(drawn.mean(0), gaussian.mode(one[0]), atol=0.04)
    assert torch.allclose(drawn.std(0), gaussian.log_std.exp(), rtol=0.03)
    assert torch.equal(categorical.mode(one[:1]).argmax(-1), categorical.net(one[:1]).argmax(-1))


def test_expectation_is_exact_over_choices_and_right_on_average_over_numbers(gaussian, categorical):
    one = seen(1).expand(20000, 5)
    worth = torch.tensor([1.0, -2.0, 5.0])
    value, entropy = categorical.expectation(one[:4], lambda a: a @ worth)
    truth = Categorical(logits=categorical.net(one[:4]))
    assert torch.allclose(value, truth.probs @ worth, atol=1e-5)
    assert torch.allclose(entropy, truth.entropy(), atol=1e-5)
    value, _ = gaussian.expectation(one, lambda a: a.square().sum(-1))
    (gradient,) = torch.autograd.grad(value.mean(), gaussian.log_std)
    mean, variance = gaussian.net(one[0]), gaussian.log_std.exp().square()
    assert float(value.detach().mean()) == pytest.approx(
        float((mean.square() + variance).sum().detach()), rel=0.05
    )
    assert torch.allclose(gradient, 2 * variance, rtol=0.08)  # d/d log σ of m² + σ²


@pytest.mark.parametrize("kind", ["gaussian", "categorical"])
def test_after_the_end_actions_count_for_nothing(kind, request):
    agent = request.getfixturevalue(kind)
    observation = seen(8)
    observation[4:, IDLE] = 1.0
    action = agent.sample(observation)
    log_prob, entropy = agent.log_prob_entropy(observation, action)
    assert torch.equal(log_prob[4:], torch.zeros(4)) and torch.equal(entropy[4:], torch.zeros(4))
    assert (log_prob[:4] != 0).all() and (entropy[:4] != 0).all()
    assert torch.equal(agent.log_prob(observation, action), log_prob)
    value, entropy = agent.expectation(observation, lambda a: a.square().cumsum(-1)[..., 0])
    assert torch.equal(entropy[4:], torch.zeros(4))
    gradients = torch.autograd.grad(value[4:].sum(), list(agent.parameters()), allow_unused=True)
    assert all(g is None or torch.equal(g, torch.zeros_like(g)) for g in gradients)


def test_noisier_and_aimless_copies_leave_the_original_alone(gaussian, categorical):
    observation = seen(16)
    before = gaussian.mode(observation), gaussian.log_std.clone()
    assert torch.allclose(gaussian.noisier(1.2).log_std, before[1] + torch.log(torch.tensor(1.2)))
    assert float(gaussian.noisier(100.0).log_std.max()) == gaussian.settings.log_std_bounds[1]
    assert torch.equal(gaussian.aimless().mode(observation), torch.zeros(16, 2))
    assert torch.equal(gaussian.mode(observation), before[0]) and torch.equal(gaussian.log_std, before[1])
    hot = categorical.noisier(4.0)
    assert torch.allclose(hot.log_probs(observation), (categorical.net(observation) / 4).log_softmax(-1))
    even = categorical.aimless().log_probs(observation).exp()
    assert torch.allclose(even, torch.full((16, 3), 1 / 3))
    restored = CategoricalAgent(5, 3, idle=IDLE)
    restored.load_state_dict(hot.state_dict())
    assert torch.equal(restored.log_probs(observation), hot.log_probs(observation))


def test_noise_outside_its_bounds_is_brought_back():
    agent = GaussianAgent(3, 1, AgentSettings(log_std_bounds=(-1.0, 0.0)))
    with torch.no_grad():
        agent.log_std.fill_(3.0)
    agent.keep_within_bounds()
    assert float(agent.log_std) == 0.0


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="log_std_bounds"):
        AgentSettings(log_std_bounds=(0.0, -1.0))
    with pytest.raises(ValueError, match=r"hidden\[1\]"):
        AgentSettings(hidden=(8, 0))
