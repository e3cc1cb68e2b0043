"""The yardstick: minus the miss, and a little less until the ball is down."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from irl_ros.rewards.true_reward import TrueReward
from irl_ros.sim import State, Throws, World


def lying(state: State, x: float) -> State:
    place = state.target + torch.tensor([x, 0.0, 0.0])
    yes = torch.ones_like(state.landed)
    return dataclasses.replace(
        state, ball_position=place, ball_velocity=torch.zeros_like(place), landed=yes, held=~yes
    )


@pytest.mark.parametrize("x, value", [(0.0, 0.0), (0.1, -0.1), (-0.35, -0.35), (1.0, -1.0), (7.0, -1.0)])
def test_a_ball_that_lies_pays_its_distance(world: World, thrown: Throws, x: float, value: float) -> None:
    reward = TrueReward(world)(lying(thrown.states[:, -1], x))
    torch.testing.assert_close(reward, torch.full((32,), value), atol=1e-5, rtol=0)


def test_until_it_is_down_it_pays_where_it_would_land(world: World, thrown: Throws) -> None:
    reward, states = TrueReward(world), thrown.states
    flying = ~states.held[:, 25] & ~states.landed[:, 25] & states.landed[:, -1]
    before, after = reward(states[:, 25])[flying], reward(states[:, -1])[flying]
    torch.testing.assert_close(before, after - 0.1, atol=1e-3, rtol=0)
    held_over = lying(states[:, -1], 0.0)
    held_over = dataclasses.replace(held_over, landed=~held_over.landed, held=~held_over.held)
    torch.testing.assert_close(reward(held_over), torch.full((32,), -0.1), atol=1e-5, rtol=0)


def test_its_range(world: World, thrown: Throws) -> None:
    values = TrueReward(world)(thrown.states)
    assert values.shape == thrown.states.phase.shape
    assert (values <= 0).all() and (values >= -1.1).all()
    # the throw that lands nearest earns most while it lies there
    down = thrown.states.landed[:, -1]
    errors, final = thrown.outcome.error[down], values[down, -1]
    assert torch.equal(errors.argmin(), final.argmax())
