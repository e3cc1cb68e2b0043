"""A reward sees ball and target, whatever the arm and wherever the target lies around the base."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from irl_ros.errors import InputError
from irl_ros.rewards.features import FEATURES, Features
from irl_ros.rewards.reward import RewardSettings
from irl_ros.settings import build
from irl_ros.sim import State, Throws, World, load_world

PHASE = slice(-2, None)


@pytest.fixture(params=FEATURES)
def features(request: pytest.FixtureRequest, world: World) -> Features:
    return Features(world, request.param)


def rotated(state: State, angle: float) -> State:
    """The whole scene turned about the base's vertical axis."""
    c, s = torch.cos(torch.tensor(angle)), torch.sin(torch.tensor(angle))
    turn = torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return dataclasses.replace(
        state,
        ball_position=state.ball_position @ turn.T,
        ball_velocity=state.ball_velocity @ turn.T,
        target=state.target @ turn.T,
    )


def resting(state: State, x: float, y: float = 0.0) -> State:
    """The ball at rest x m beyond and y m left of the target, as seen from the base."""
    forward = torch.nn.functional.normalize(state.target[..., :2], dim=-1)
    left = torch.stack((-forward[..., 1], forward[..., 0]), -1)
    place = state.target.clone()
    place[..., :2] += x * forward + y * left
    yes = torch.ones_like(state.landed)
    return dataclasses.replace(
        state, ball_position=place, ball_velocity=torch.zeros_like(place), landed=yes, held=~yes
    )


def test_bounded(features: Features, thrown: Throws) -> None:
    wild = thrown.states.map(lambda x: 100 * torch.randn_like(x) if x.is_floating_point() else x)
    for states in (thrown.states, wild):
        seen = features(states)
        assert seen.shape == (*states.phase.shape, features.size)
        assert torch.isfinite(seen).all()
        assert (seen.abs() <= 1).all()


def test_the_arm_is_not_seen(features: Features, thrown: Throws) -> None:
    s = thrown.states
    other = dataclasses.replace(
        s, q=torch.randn_like(s.q), qd=torch.randn_like(s.qd), phase=torch.rand_like(s.phase)
    )
    assert torch.equal(features(other), features(s))


def test_turning_the_scene_changes_nothing(features: Features, thrown: Throws) -> None:
    torch.testing.assert_close(
        features(rotated(thrown.states, 1.1)), features(thrown.states), atol=1e-4, rtol=0
    )
    only_ball = dataclasses.replace(rotated(thrown.states, 1.1), target=thrown.states.target)
    assert not torch.allclose(features(only_ball), features(thrown.states), atol=0.05)


def test_distance_says_how_far_from_the_target_the_ball_lies(world: World, thrown: Throws) -> None:
    features, states = Features(world, "distance"), thrown.states[:, -1]
    for x, y in ((0.0, 0.0), (0.05, 0.0), (0.0, -0.2), (-0.3, 0.4), (1.2, 0.9)):
        d = torch.tensor((x * x + y * y) ** 0.5)
        expected = torch.stack((d.clamp_max(1.0), 0.3 * torch.tanh(d / 0.1))).expand(32, 2)
        torch.testing.assert_close(features(resting(states, x, y))[:, :2], expected, atol=2e-3, rtol=0)


def test_offset_says_on_which_side_it_lies(world: World, thrown: Throws) -> None:
    features, states = Features(world, "offset"), thrown.states[:, -1]
    for x, y in ((0.1, 0.0), (-0.1, 0.0), (0.0, 0.1), (0.0, -0.1), (0.3, -0.6)):
        expected = torch.tanh(torch.tensor([x / 0.15, y / 0.15, x / 0.7, y / 0.7])).expand(32, 4)
        torch.testing.assert_close(features(resting(states, x, y))[:, :4], expected, atol=1e-4, rtol=0)


def test_a_ball_in_flight_is_where_it_will_land(features: Features, thrown: Throws) -> None:
    s = thrown.states
    flying = ~s.held[:, 25] & ~s.landed[:, 25] & s.landed[:, -1]
    assert flying.sum() > 5
    seen, then = features(s[:, 25])[flying], features(s[:, -1])[flying]
    torch.testing.assert_close(seen[:, :-2], then[:, :-2], atol=2e-3, rtol=0)


def test_phase(features: Features, thrown: Throws) -> None:
    s = thrown.states
    seen = features(s)[..., PHASE]
    assert torch.equal(seen[..., 0] > 0, s.held) and torch.equal(seen[..., 1] > 0, s.landed)
    assert features.place == features.size - 2


def test_gravity_of_the_world_counts(thrown: Throws, world: World) -> None:
    moon = load_world({"gravity": 1.62})
    flying = thrown.states[:, 20]
    assert not torch.allclose(Features(moon)(flying), Features(world)(flying), atol=0.05)


def test_gradients_are_finite_on_the_target(features: Features, thrown: Throws) -> None:
    place = resting(thrown.states[:, -1], 0.0)
    position = place.ball_position.clone().requires_grad_(True)
    features(dataclasses.replace(place, ball_position=position)).sum().backward()
    assert torch.isfinite(position.grad).all()


def test_unknown_kind() -> None:
    with pytest.raises(InputError, match="features: unknown features 'pixels'; known: distance, offset"):
        build(RewardSettings, {"features": "pixels"}, "--set")
