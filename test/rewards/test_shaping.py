"""Release shaping: worth what letting go is worth, and no change to which throw is best."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from irl_ros.rewards.reward import Reward
from irl_ros.rewards.shaping import ReleasePotential
from irl_ros.sim import BatchWorld, State, Throws, World

GAMMAS = (0.97, 0.99, 1.0)


def lying(state: State) -> torch.Tensor:
    """A reward for the landed ball alone: between 0 and 1, nowhere equal."""
    return state.landed * torch.exp(-(state.ball_position - state.target)[..., :2].norm(dim=-1))


def discounted(x: torch.Tensor, gamma: float) -> torch.Tensor:
    """Σ γ^t x_t over the last dimension, term by term."""
    total = torch.zeros_like(x[..., 0])
    for t in range(x.shape[-1]):
        total = total + gamma**t * x[..., t]
    return total


@pytest.fixture
def learned(world: World) -> Reward:
    reward = Reward(world)
    with torch.no_grad():
        reward.net[-1].weight.normal_()
    return reward.requires_grad_(False)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_over_an_episode_it_adds_up_to_minus_the_first_potential(
    world: World, thrown: Throws, learned: Reward, gamma: float
) -> None:
    for reward in (lying, learned):
        shaping = ReleasePotential(world, reward, gamma)
        total = discounted(shaping(thrown.states), gamma)
        torch.testing.assert_close(total, -shaping.potential(thrown.states[:, 0]), atol=2e-4, rtol=1e-4)
        assert (shaping.potential(thrown.states[:, -1]) == 0).all()


@pytest.mark.parametrize("gamma", GAMMAS)
def test_throws_from_one_start_keep_their_order(
    world: World, thrown: Throws, learned: Reward, gamma: float
) -> None:
    """Ng et al. 1999, theorem 1, on returns. One target, so that all throws begin in the same state."""
    same = thrown.states.target[:1, :1].expand_as(thrown.states.target)
    states = dataclasses.replace(thrown.states, target=same)
    plain = learned(states[:, :-1])
    shaped = plain + ReleasePotential(world, learned, gamma)(states)
    plain, shaped = discounted(plain, gamma), discounted(shaped, gamma)
    assert plain.std() > 0.1
    torch.testing.assert_close(shaped - plain, (shaped - plain)[:1].expand(32), atol=5e-4, rtol=0)
    assert torch.equal(plain.argsort(), shaped.argsort())


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("t", [0, 8, 25, 59])
def test_the_potential_is_the_rest_of_the_episode_after_letting_go(
    world: World, thrown: Throws, gamma: float, t: int
) -> None:
    """Thrown on in the simulator. It pays whole steps from the first one that shows the ball landed; the
    potential counts the landing in fractions of a step, so it lies between that and one step more."""
    state = thrown.states[:, t]
    simulator = BatchWorld(world)
    simulator.reset(state.target)
    simulator.state = dataclasses.replace(state, held=torch.zeros_like(state.held))
    still = torch.zeros(32, world.action_dim)
    earned, last = torch.zeros(32), torch.zeros(32)
    for k in range(world.horizon - t):
        last = lying(simulator.state)
        earned = earned + gamma**k * last
        simulator.step(still)
    potential = ReleasePotential(world, lying, gamma).potential(state)
    finally_lying = lying(simulator.state)
    assert (potential >= earned - 1e-3).all()
    assert (potential <= earned + finally_lying + 1e-3).all()
    if t == 8:
        assert (potential > 5 * lying(simulator.state)).any()  # and is not small


def test_it_is_exact_where_the_ball_lands_on_a_step(world: World, thrown: Throws) -> None:
    """A ball that takes a whole number of control steps to fall."""
    state, gamma, steps = thrown.states[:, 10], 0.97, 12
    k = torch.full((32,), steps * world.settings.physics_steps - 1e-3)
    g, h = world.settings.gravity, world.physics_dt
    velocity = state.ball_velocity.clone()
    velocity[:, 2] = (0.5 * g * h * h * k * (k + 1) - (state.ball_position[:, 2] - state.target[:, 2])) / (
        h * k
    )
    state = dataclasses.replace(state, ball_velocity=velocity, landed=torch.zeros_like(state.landed))
    simulator = BatchWorld(world)
    simulator.reset(state.target)
    simulator.state = dataclasses.replace(state, held=torch.zeros_like(state.held))
    earned = torch.zeros(32)
    for step in range(world.horizon - 10):
        assert simulator.state.landed.all() == (step >= steps)
        earned = earned + gamma**step * lying(simulator.state)
        simulator.step(torch.zeros(32, world.action_dim))
    potential = ReleasePotential(world, lying, gamma).potential(state)
    torch.testing.assert_close(potential, earned, rtol=1e-3, atol=1e-4)


def test_it_does_not_ask_the_reward_for_gradients(world: World, thrown: Throws) -> None:
    assert not ReleasePotential(world, Reward(world), 0.99)(thrown.states).requires_grad
