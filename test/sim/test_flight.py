"""The ball's flight against integration step by step."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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


def exact(position, velocity, height: float, drag: float, gravity: float = 9.81) -> tuple[np.ndarray, float]:
    """Landing and time of the continuous motion, by Runge-Kutta in steps of 0.2 ms: no code of ours."""

    def slope(s: np.ndarray) -> np.ndarray:
        speed = np.linalg.norm(s[3:])
        return np.concatenate((s[3:], -drag * speed * s[3:] - np.array([0.0, 0.0, gravity])))

    s, dt, time = np.array([*position, *velocity], dtype=float), 2e-4, 0.0
    while True:
        k1 = slope(s)
        k2 = slope(s + 0.5 * dt * k1)
        k3 = slope(s + 0.5 * dt * k2)
        after = s + dt / 6 * (k1 + 2 * k2 + 2 * k3 + slope(s + dt * k3))
        if after[2] <= height < s[2]:
            share = (s[2] - height) / (s[2] - after[2])
            return s[:3] + share * (after[:3] - s[:3]), time + share * dt
        s, time = after, time + dt


@pytest.mark.parametrize("coefficient", [0.2, 0.47, 3.0])
def test_drag_converges_to_the_equation_of_motion(coefficient: float) -> None:
    """Halving the physics step halves the distance from the continuous flight, drag or not."""
    position, velocity, height = STARTS[0]
    gaps = []
    for physics_steps in (5, 10, 20):
        world = load_world({"ball": {"drag": coefficient}, "physics_steps": physics_steps})
        *_, landing = flown(world, position, velocity, height)
        truth, _ = exact(position, velocity, height, Flight(world).drag)
        gaps.append(float(np.linalg.norm(landing.numpy() - truth)))
    assert gaps[0] < 0.01
    assert gaps[0] / gaps[1] == pytest.approx(2, abs=0.1) and gaps[1] / gaps[2] == pytest.approx(2, abs=0.1)


def test_a_falling_ball_reaches_its_terminal_speed() -> None:
    world = load_world({"ball": {"drag": 0.47, "mass": 0.0027, "radius": 0.02}})
    flight = Flight(world)
    x, v = torch.tensor([[0.0, 0.0, 500.0]], dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64)
    for _ in range(400):
        x, v, _ = flight.advance(x, v, torch.zeros(1, 3, dtype=torch.float64))
    weight, area = 0.0027 * 9.81, math.pi * 0.02**2
    assert -float(v[0, 2]) == pytest.approx(math.sqrt(2 * weight / (AIR_DENSITY * 0.47 * area)), rel=1e-6)


def test_air_takes_energy_and_nothing_else_does() -> None:
    """½ v² + g z, at half steps (where the discrete flight conserves it): constant, or falling with drag."""
    for drag in (0.0, 0.47):
        world = load_world({"ball": {"drag": drag}})
        flight, h = Flight(world), world.physics_dt
        x = torch.tensor([[0.0, 0.0, 3.0]], dtype=torch.float64)
        v = torch.tensor([[2.0, 0.5, 2.0]], dtype=torch.float64)
        energy = []
        for _ in range(40):
            middle = v[0] - torch.tensor([0.0, 0.0, 0.5 * h * 9.81], dtype=torch.float64)
            energy.append(float(0.5 * middle.square().sum() + 9.81 * x[0, 2]))
            x, v, _ = flight.advance(x, v, torch.zeros(1, 3, dtype=torch.float64))
        if drag == 0:
            assert np.ptp(energy) < 1e-3 * energy[0]
        else:
            assert (np.diff(energy) < 0).all()


@settings(max_examples=25, deadline=None)
@given(
    z=st.floats(0.1, 1.2),
    v=st.tuples(st.floats(-4, 4), st.floats(-4, 4), st.floats(-3, 4)),
    height=st.floats(-0.2, 0.6),
    ball=st.sampled_from([(0.05, 0.03, 0.47), (0.0027, 0.02, 0.47), (0.01, 0.05, 0.47), (0.05, 0.03, 0.0)]),
)
def test_landing_with_drag_is_foreseen(z, v, height, ball) -> None:
    mass, radius, drag = ball
    world = load_world({"ball": {"mass": mass, "radius": radius, "drag": drag}})
    if z <= height + 0.01 and v[2] < 1.0:
        return
    rises_over = z > height or z + v[2] ** 2 / (2 * 9.81) > height + 0.1
    if not rises_over:
        return
    x, speed, h = (torch.tensor([a], dtype=torch.float64) for a in ((0.3, 0.1, z), v, height))
    *_, landing = flown(world, (0.3, 0.1, z), v, height)
    if abs(float(landing[2]) - height) > 1e-6:
        return  # air kept it from rising over the plane
    foreseen = Flight(world).predicted_landing(x, speed, h)[0]
    # light balls (2 and 3) lose most of their speed on the way
    np.testing.assert_allclose(foreseen, landing[:2], atol=1e-3 if drag and mass < 0.02 else 2e-4)
