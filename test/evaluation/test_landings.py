"""Where landings appear in the pictures: right is right and far is far, from wherever the robot throws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from irl_ros.evaluation.landings import from_above, misses, typical
from irl_ros.evaluation.reward_view import view_reward
from irl_ros.rewards.true_reward import TrueReward
from irl_ros.sim import BatchWorld, State, Throws, load_world, throw


def landed_at(targets: torch.Tensor, landings: torch.Tensor) -> Throws:
    """Throws whose balls came down at `landings` [N, 2] (NaN: did not)."""
    simulator = BatchWorld(load_world())
    keep = torch.zeros(len(targets), simulator.world.action_dim)
    throws = throw(simulator, lambda state: keep - 1.0, torch.nn.functional.pad(targets, (0, 1)))
    landing = torch.nn.functional.pad(landings, (0, 1))
    error = (landings - targets).norm(dim=-1).nan_to_num(torch.inf)
    return Throws(
        throws.states,
        throws.actions,
        type(throws.outcome)(landing, error, error >= 0, error * 0, error * 0, error >= 0),
    )


@pytest.mark.parametrize("azimuth", [0.0, 0.4, -0.5, 2.0])
def test_misses_are_seen_by_the_thrower(azimuth: float) -> None:
    forward = torch.tensor([math.cos(azimuth), math.sin(azimuth)])
    right = torch.tensor([math.sin(azimuth), -math.cos(azimuth)])  # forward turned clockwise
    target = 0.9 * forward
    landings = torch.stack(
        (target + 0.1 * forward, target + 0.2 * right, target - 0.05 * forward - 0.03 * right)
    )
    seen = misses(landed_at(target.expand(3, 2), landings))
    assert seen == pytest.approx(np.array([[0.0, 0.1], [0.2, 0.0], [-0.03, -0.05]]), abs=1e-6)


def test_ball_that_did_not_land_has_no_miss() -> None:
    target = torch.tensor([[0.9, 0.0]])
    assert np.isnan(misses(landed_at(target, torch.full((1, 2), torch.nan)))).all()


def test_map_has_the_front_up_and_the_robots_left_left() -> None:
    assert from_above(torch.tensor([[1.0, 0.3, 0.0]])).tolist() == [[pytest.approx(-0.3), 1.0]]


def test_ordinary_throw_is_one_that_landed() -> None:
    target = torch.tensor([[0.9, 0.0]]).expand(5, 2)
    offsets = torch.tensor([[torch.nan], [0.3], [0.0], [torch.nan], [0.1]]) * torch.tensor([1.0, 0.0])
    assert typical(landed_at(target, target + offsets)) == 4


def test_reward_is_pictured_where_the_ball_lies() -> None:
    """A reward that likes balls 30 cm right of the target and 20 cm short has its peak there."""
    world = load_world()

    def likes(state: State) -> torch.Tensor:
        miss = state.ball_position - state.target  # the picture's target lies straight ahead: right is −y
        return -(miss[..., :2] - torch.tensor([-0.20, -0.30])).norm(dim=-1)

    view = view_reward(likes, world, grid=61)
    row, column = np.unravel_index(view.picture.argmax(), view.picture.shape)
    assert (view.offsets[column], view.offsets[row]) == pytest.approx((0.30, -0.20), abs=1e-6)
    assert view.profile[0] == pytest.approx(-math.hypot(0.2, 0.3), abs=1e-5)
    ring = np.array([0.5 - math.hypot(0.2, 0.3)])  # nearest point of the circle of 0.5 m, 24 directions
    assert view.high[50] == pytest.approx(-ring[0], abs=0.03)
    assert view.low[50] == pytest.approx(-(0.5 + math.hypot(0.2, 0.3)), abs=0.03)


def test_rewards_that_differ_in_scale_only_are_recognised() -> None:
    world = load_world()
    true = TrueReward(world)
    view = view_reward(lambda state: 3.0 * true(state) + 0.7, world, grid=31)
    assert view.correlation == pytest.approx(1.0, abs=1e-5)
    assert view.true == pytest.approx(view.profile, abs=1e-5)
    opposite = view_reward(lambda state: -true(state), world, grid=31)
    assert opposite.correlation == pytest.approx(-1.0, abs=1e-5)
    assert np.ptp(opposite.true) == pytest.approx(0.0, abs=1e-6)  # it cannot be scaled onto its opposite
