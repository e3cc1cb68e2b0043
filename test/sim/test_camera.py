"""Pictures of a throw show the ball where it is, on its way to the ring."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from irl_ros.sim import BatchWorld, Throws, World, load_world, render_throw, throw


def thrown(world: World) -> Throws:
    def policy(state):
        action = torch.zeros(len(state.phase), 8)
        action[:, [1, 3, 5]] = torch.tensor([0.8, 1.0, 1.0]) * (state.phase < 0.45)[:, None]
        action[:, -1] = torch.where(state.phase > 0.36, 1.0, -1.0)
        return action

    return throw(BatchWorld(world), policy, torch.tensor([[0.9, 0.0, 0.0], [0.9, 0.25, 0.0]]))


def orange(image: np.ndarray) -> np.ndarray:
    """Rows and columns of the ball's and its trail's pixels, [k, 2]."""
    red, green, blue = np.moveaxis(image.astype(int), -1, 0)
    return np.argwhere((red - blue > 80) & (green < red - 30))


def blue(image: np.ndarray) -> np.ndarray:
    red, _, blue = np.moveaxis(image.astype(int), -1, 0)
    return np.argwhere(blue - red > 60)


def test_the_ball_flies_from_the_hand_to_where_it_landed() -> None:
    world = load_world("default")
    throws = thrown(world)
    assert throws.states.landed[:, -1].all()
    pictures = render_throw(world, throws, 0, frames=5, size=(240, 180))
    assert len(pictures) == 5
    assert all(p.shape == (180, 240, 3) and p.dtype == np.uint8 for p in pictures)
    seen = [orange(p) for p in pictures]
    assert all(len(s) > 3 for s in seen)
    assert np.linalg.norm(seen[1].mean(0) - seen[0].mean(0)) > 4  # carried by the hand
    assert seen[-1][:, 0].max() > seen[0][:, 0].max() + 30  # lower in the last picture than in the hand
    assert len(seen[-1]) > 2 * len(seen[0])  # and with a trail
    ring = blue(pictures[-1]).mean(0)
    lowest = seen[-1][seen[-1][:, 0].argmax()]
    assert throws.outcome.error[0] < 0.1
    assert np.linalg.norm(lowest - ring) < 30


def test_the_ring_moves_with_the_target() -> None:
    world = load_world("default")
    throws = thrown(world)
    near, far = (blue(render_throw(world, throws, i, frames=1, size=(240, 180))[0]).mean(0) for i in (0, 1))
    assert np.linalg.norm(near - far) > 5


@pytest.mark.parametrize("keys", [{"robot": "iiwa"}, {"target": {"height": 0.3}}])
def test_other_arms_and_raised_targets_are_shown_too(keys: dict) -> None:
    world = load_world(keys)
    states = BatchWorld(world).reset(world.sample_targets(1))
    actions = torch.zeros(1, world.horizon, 8)
    kept = throw(BatchWorld(world), lambda s: actions[:, 0], states.target)  # never let go
    picture = render_throw(world, kept, 0, frames=2, size=(160, 120))[-1]
    assert len(orange(picture)) > 0
    assert len(blue(picture)) > 0
