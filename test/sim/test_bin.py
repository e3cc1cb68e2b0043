"""A bin's rim: the ball must come down through the opening; against a brute-force check of every step."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irl_ros.sim import BatchWorld, BulletWorld, World, load_world
from irl_ros.sim.reference import Flight

RIM, RADIUS, HEIGHT = 0.12, 0.03, 0.3
TARGET = (0.8, 0.1, HEIGHT)


def world_with(drag: float) -> World:
    return load_world({"target": {"height": HEIGHT, "rim": RIM}, "ball": {"radius": RADIUS, "drag": drag}})


def fly(world: World, position, velocity) -> tuple[torch.Tensor, torch.Tensor]:
    """Where balls [N, 3] come to rest by `Flight`, and whether they are in, [N]."""
    flight = Flight(world)
    x, v = (torch.as_tensor(np.array(a), dtype=torch.float64) for a in (position, velocity))
    target = torch.tensor(TARGET, dtype=torch.float64).expand_as(x)
    done = torch.zeros(len(x), dtype=torch.bool)
    for _ in range(60):
        moved, speed, landed = flight.advance(x, v, target)
        x, v = torch.where(done[:, None], x, moved), torch.where(done[:, None], v, speed)
        done = done | landed
    assert done.all()
    return x, flight.came_down(x, target)


def judged(world: World, position, velocity) -> tuple[np.ndarray, bool]:
    """The same by walking through the physics steps with numpy."""
    k, h = float(Flight(world).drag), world.physics_dt
    x, v = np.array(position), np.array(velocity)
    while True:
        v = v + h * (np.array([0.0, 0.0, -9.81]) - k * np.linalg.norm(v) * v)
        before, x = x, x + h * v
        if before[2] > HEIGHT >= x[2]:
            share = (before[2] - HEIGHT) / (before[2] - x[2])
            x = before + share * (x - before)
            return x, math.dist(x[:2], TARGET[:2]) <= RIM - RADIUS
        across = math.dist(x[:2], TARGET[:2]) - RIM
        if math.hypot(across, max(x[2] - HEIGHT, 0.0)) < RADIUS or (x[2] <= HEIGHT and v[2] <= 0):
            return x, False


@pytest.mark.parametrize("drag", [0.0, 0.47])
@pytest.mark.parametrize(
    ("position", "velocity", "inside"),
    [
        ((0.8, 0.1, 0.8), (0.0, 0.0, 0.0), True),  # dropped in
        ((0.8 + RIM - RADIUS - 0.002, 0.1, 0.8), (0.0, 0.0, 0.0), True),  # dropped in just clear of the rim
        ((0.8 + RIM - RADIUS + 0.002, 0.1, 0.8), (0.0, 0.0, 0.0), False),  # on the rim from above
        ((0.8, 0.1, 0.2), (0.0, 0.0, 0.0), False),  # let go below the rim, in the middle
        ((0.8, 0.1, 0.2), (0.0, 0.0, 2.0), True),  # tossed up out of the bin and back into it
        ((0.4, 0.1, 0.25), (3.0, 0.0, 0.3), False),  # against the side from outside
        ((0.3, 0.1, 0.5), (1.2, 0.0, 2.0), True),  # over the rim in an arc
        ((0.3, 0.1, 0.31), (1.65, 0.0, 1.5), True),  # from just above the rim's height, steeply
        ((0.55, 0.1, 0.325), (3.0, 0.0, 0.0), False),  # too low over the near rim: it touches
        ((0.3, 0.1, 0.5), (3.0, 0.0, 2.0), False),  # too far
    ],
)
def test_in_or_not(position, velocity, inside: bool, drag: float) -> None:
    where, got_in = fly(world_with(drag), [position], [velocity])
    assert bool(got_in) is inside
    if inside:
        assert where[0, 2] == pytest.approx(HEIGHT, abs=1e-9)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**9), drag=st.sampled_from([0.0, 0.47, 2.0]))
def test_any_flight_is_judged_as_step_by_step(seed: int, drag: float) -> None:
    world, rng = world_with(drag), np.random.default_rng(seed)
    x = rng.uniform((0.2, -0.2, 0.05), (1.1, 0.4, 0.9), (40, 3))
    v = rng.uniform((-3, -1, -3), (3, 1, 4), (40, 3))
    flying = (x[:, 2] > HEIGHT) | (v[:, 2] > 0)  # else it rests at once; covered above
    where, got_in = fly(world, x[flying], v[flying])
    for i, (position, velocity) in enumerate(zip(x[flying], v[flying], strict=True)):
        expected, expected_in = judged(world, position, velocity)
        # the closed form lands on the parabola, the walk on its chord: 0.03 mm where it decides
        if abs(math.dist(expected[:2], TARGET[:2]) - (RIM - RADIUS)) > 1e-4:
            assert bool(got_in[i]) is expected_in
        np.testing.assert_allclose(where[i], expected, atol=1e-4)


def test_the_same_in_both_worlds_and_counted_as_a_miss() -> None:
    """Let go over, beside and under the rim from a still hand, in both worlds."""
    base = load_world({"home": [0.0, 0.6, 0.0, -1.6, 0.0, 2.2, 0.0]})
    tool = base.robot.kinematics(dtype=torch.float64).tool_position(torch.tensor(base.home)[None])[0]
    rim = 0.08
    world = load_world(
        {
            "home": base.home.tolist(),
            "target": {"radius": [0.3, 0.9], "height": float(tool[2]) - 0.2, "rim": rim},
        }
    )
    offsets = [0.0, 0.045, 0.06, 0.13]
    targets = torch.stack([tool + torch.tensor([o, 0.0, -0.2]) for o in offsets])
    targets = torch.cat((targets, tool[None] + torch.tensor([[0.0, 0.0, 0.1]])))  # the hand is under it
    outcomes = []
    with BulletWorld(world) as bullet:
        for simulator in (BatchWorld(world, dtype=torch.float64), bullet):
            simulator.reset(targets)
            for _ in range(20):
                simulator.step(torch.tensor([[0.0] * 7 + [1.0]], dtype=torch.float64).expand(5, 8))
            outcomes.append(simulator.outcome())
    one, other = outcomes
    torch.testing.assert_close(one.landing, other.landing, rtol=0, atol=1e-9)
    assert one.inside.tolist() == other.inside.tolist() == [True, True, False, False, False]
    assert (one.error[:3] < 0.10).all()
    assert one.hits(0.10).tolist() == [True, True, False, False, False]


def test_an_open_plane_counts_only_what_comes_down_on_it() -> None:
    world = load_world({"target": {"height": HEIGHT}})
    where, on_it = fly(world, [(0.8, 0.1, 0.8), (0.8, 0.1, 0.2)], [(0.0, 0.0, 0.0), (0.0, 0.0, 1.0)])
    assert on_it.tolist() == [True, False]
    assert 0.2 < where[1, 2] < HEIGHT
