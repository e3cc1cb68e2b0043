"""Landings and releases read off a ball agree with the world that threw it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from irl_ros.demos.ball_flight import free_flight, landing_after, observe_landing, trace_release
from irl_ros.demos.interpolation import BALL_SPAN_S, Track
from irl_ros.sim import World, load_world
from irl_ros.sim.reference import Flight


def tensor(x) -> torch.Tensor:
    return torch.tensor([x], dtype=torch.float64)


def flown(
    world: World, position, velocity, height: float, steps: int = 80
) -> tuple[np.ndarray, np.ndarray, int]:
    """The world's own flight by control steps: positions, velocities, and the step of the landing."""
    flight, p, v = Flight(world), tensor(position), tensor(velocity)
    positions, velocities = [p[0]], [v[0]]
    for k in range(steps):
        p, v, landed = flight.advance(p, v, tensor([0.0, 0.0, height]))
        positions.append(p[0])
        velocities.append(v[0])
        if landed:
            return torch.stack(positions).numpy(), torch.stack(velocities).numpy(), k + 1
    raise AssertionError("never landed")


START = ([0.3, 0.1, 0.7], [1.5, -0.4, 1.2])


@pytest.mark.parametrize("height", [0.0, 0.35])
@pytest.mark.parametrize("drag", [0.0, 0.47])
def test_path_is_the_worlds_own(drag: float, height: float) -> None:
    world = load_world("default", [f"ball.drag={drag}"])
    p, v, step = flown(world, *START, height)
    path = free_flight(world, *map(np.array, START), height)
    got_p, got_v = path.at(np.arange(step + 1) * world.dt)
    np.testing.assert_allclose(got_p, p, atol=1e-9)
    np.testing.assert_allclose(got_v, v, atol=1e-9)
    assert (step - 1) * world.dt < path.time <= step * world.dt
    np.testing.assert_allclose(path.landing, p[-1], atol=1e-9)
    assert path.landing[2] == pytest.approx(height)


def test_let_go_under_the_rim_it_rests_where_it_is(world: World) -> None:
    landing = landing_after(world, 3.0, np.array([0.5, 0.0, 0.1]), np.array([1.0, 0.0, 0.0]), 0.3, True)
    assert landing.time == 3.0
    np.testing.assert_allclose(landing.position, [0.5, 0.0, 0.1])


@pytest.mark.parametrize("rate", [50, 60, 240])
def test_a_real_ball_bounces_a_radius_above_the_floor(world: World, rate: int) -> None:
    """Its centre never meets z = 0; the landing is where Flight would have taken it."""
    want = free_flight(world, *map(np.array, START), 0.0).landing
    times, positions = bouncing(world, rate)
    track = Track.of(times, positions, np.full_like(positions, np.nan), BALL_SPAN_S)
    landing = observe_landing(world, track.times, track.x, track.v, 0.0, 0.0)
    assert landing is not None and landing.observed
    np.testing.assert_allclose(landing.position, want, atol=0.01)


def bouncing(world: World, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of a ball that bounces on the floor and rolls on, by fine integration."""
    p, v = map(np.array, START)
    h, rows = 1e-4, []
    for k in range(14000):
        if k % round(1 / (rate * h)) == 0:
            rows.append((k * h, *p))
        v = v - 9.81 * h * np.array([0, 0, 1])
        p = p + h * v
        if p[2] < world.settings.ball.radius and v[2] < 0:
            v[2] *= -0.6
            p[2] = world.settings.ball.radius
    table = np.array(rows)
    return table[:, 0], table[:, 1:]


def test_lost_in_the_air_its_landing_is_predicted(world: World) -> None:
    p, v, step = flown(world, *START, 0.0)
    times = np.arange(step + 1) * world.dt
    landing = observe_landing(world, times[:10], p[:10], v[:10], 0.0, 0.0)
    assert landing is not None and not landing.observed
    np.testing.assert_allclose(landing.position, p[-1], atol=1e-9)
    assert observe_landing(world, times[:10], p[:10], v[:10], 5.0, 0.0) is None


@pytest.mark.parametrize("late", [0.0, 0.05, 0.12])
@pytest.mark.parametrize("noise", [0.0, 0.002])
def test_release_is_traced_back_from_the_flight(world: World, late: float, noise: float) -> None:
    """The hand accelerates along a line; the gripper opens `late` s after it was told to, at t = 0."""
    rng = np.random.default_rng(0)
    t = np.arange(-0.4, 1.5, 0.01)
    speed = np.array([2.0, 0.3, 1.5])

    def hand(t):
        return np.array([0.3, 0.0, 0.6]) + speed * (t + t**2)[:, None], speed * (1 + 2 * t)[:, None]

    p0, v0 = hand(np.array([late]))
    path = free_flight(world, p0[0], v0[0], 0.0)
    carried = t <= late
    x = np.where(carried[:, None], hand(t)[0], path.at(t - late)[0]) + rng.normal(0, noise, (len(t), 3))
    ball = Track.of(t, x, np.where(carried[:, None], hand(t)[1], path.at(t - late)[1]))
    landing = observe_landing(world, ball.times, ball.x, ball.v, 0.0, 0.0)
    assert landing is not None
    candidates = np.arange(-0.1, 0.4, 0.001)
    left = trace_release(world, ball, landing, 0.0, candidates, hand(candidates)[1])
    assert left == pytest.approx(late, abs=0.002 if noise == 0 else 0.01)
    nowhere = trace_release(world, ball, landing, 0.0, candidates, hand(candidates)[1] + 5.0)
    assert nowhere is None  # this hand cannot have thrown that ball
