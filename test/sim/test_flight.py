"""The ball's flight against integration step by step."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from irl_ros.sim import load_world
from irl_ros.sim.conditions import AIR_DENSITY
from irl_ros.sim.reference import Flight

STARTS = [  # position, velocity, height of the plane
    ((0.3, 0.1, 0.7), (1.2, 0.3, 1.5), 0.0),
    ((0.3, -0.1, 0.9), (0.4, 0.3, -2.0), 0.0),
    ((0.0, 0.0, 1.1), (0.0, 0.0, 0.0), 0.35),
    ((0.5, 0.2, 0.20001), (2.0, -1.0, 0.0), 0.2),
    ((0.5, 0.2, 0.4), (2.0, -1.0, 3.0), 0.35),
]


def brute_force(position, velocity, height: float, drag: float, world) -> list[tuple[np.ndarray, np.ndarray]]:
    """Semi-implicit Euler from the first physics step to one beyond the landing."""
    s = world.settings
    k = 0.5 * AIR_DENSITY * drag * math.pi * s.ball.radius**2 / s.ball.mass
    x, v = np.array(position), np.array(velocity)
    motion = [(x, v)]
    while len(motion) < 3 or motion[-2][0][2] > height:
        v = v + world.physics_dt * (np.array([0.0, 0.0, -s.gravity]) - k * np.linalg.norm(v) * v)
        x = x + world.physics_dt * v
        motion.append((x, v))
    return motion


def flown(
    world, position, velocity, height: float
) -> tuple[list[tuple[torch.Tensor, torch.Tensor]], torch.Tensor]:
    """States at the ends of control steps, by Flight, until the ball is down; and where that is."""
    flight = Flight(world)
    x, v = (torch.tensor([a], dtype=torch.float64) for a in (position, velocity))
    states = [(x, v)]
    for _ in range(200):
        x, v, landed = flight.advance(x, v, torch.tensor([[0.0, 0.0, height]], dtype=torch.float64))
        if landed:
            assert (v == 0).all()
            return states, x[0]
        states.append((x, v))
    raise AssertionError("never came down")


@pytest.mark.parametrize("drag", [0.0, 0.47, 5.0])
@pytest.mark.parametrize(("position", "velocity", "height"), STARTS)
def test_flight_is_what_step_by_step_integration_gives(
    position, velocity, height: float, drag: float
) -> None:
    world = load_world({"ball": {"drag": drag}})
    truth = brute_force(position, velocity, height, drag, world)
    states, _ = flown(world, position, velocity, height)
    for step, (x, v) in enumerate(states):
        at, speed = truth[step * world.settings.physics_steps]
        np.testing.assert_allclose(x[0], at, atol=1e-12)
        np.testing.assert_allclose(v[0], speed, atol=1e-12)


@pytest.mark.parametrize(("position", "velocity", "height"), STARTS)
def test_landing_without_drag_is_on_the_parabola_through_the_steps(position, velocity, height: float) -> None:
    world = load_world("default")
    truth = np.array([x for x, _ in brute_force(position, velocity, height, 0.0, world)])
    *_, landing = flown(world, position, velocity, height)
    k = np.arange(len(truth))[-3:]
    curves = [np.polyfit(k - k[0], truth[-3:, axis], 2) for axis in range(3)]
    curves[2][-1] -= height
    when = max(np.roots(curves[2]).real)
    np.testing.assert_allclose(landing[2], height, atol=1e-12)
    np.testing.assert_allclose(landing[:2], [np.polyval(c, when) for c in curves[:2]], atol=1e-9)


@pytest.mark.parametrize(("position", "velocity", "height"), STARTS)
def test_landing_with_drag_is_on_the_line_between_two_steps(position, velocity, height: float) -> None:
    world = load_world({"ball": {"drag": 0.47}})
    truth = [x for x, _ in brute_force(position, velocity, height, 0.47, world)]
    first = next(k for k, x in enumerate(truth) if x[2] <= height)
    above, below = truth[first - 1], truth[first]
    share = (above[2] - height) / (above[2] - below[2])
    *_, landing = flown(world, position, velocity, height)
    np.testing.assert_allclose(landing, above + share * (below - above), atol=1e-12)


@pytest.mark.parametrize(("position", "velocity", "height"), STARTS)
def test_landing_is_foreseen_at_release(position, velocity, height: float) -> None:
    world = load_world("default")
    x, v, h = (torch.tensor([a], dtype=torch.float64) for a in (position, velocity, height))
    *_, landing = flown(world, position, velocity, height)
    np.testing.assert_allclose(Flight(world).predicted_landing(x, v, h)[0], landing[:2], atol=1e-9)


@pytest.mark.parametrize("drag", [0.0, 0.47])
def test_below_the_plane_the_ball_rests_where_it_is(drag: float) -> None:
    flight = Flight(load_world({"ball": {"drag": drag}}))
    position = torch.tensor([[0.4, 0.0, 0.1]])
    at, velocity, landed = flight.advance(
        position, torch.tensor([[1.0, 0.0, -0.1]]), torch.tensor([[0.0, 0.0, 0.2]])
    )
    assert landed.all()
    torch.testing.assert_close(at, position)
    assert (velocity == 0).all()


def test_drag_shortens_the_throw() -> None:
    *_, free = flown(load_world("default"), *STARTS[0])
    *_, slowed = flown(load_world({"ball": {"drag": 0.47}}), *STARTS[0])
    assert 0.002 < free[0] - slowed[0] < 0.1
