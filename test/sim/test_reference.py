"""The reference motion keeps every limit, whatever is asked of it, and else does what it is asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from irl_ros.sim import World, load_world
from irl_ros.sim.reference import Reference

WORLDS = {
    "panda": load_world("default"),
    "iiwa": load_world({"robot": "iiwa"}),
    "weak": load_world({"arm": {"acceleration_scale": 0.2, "velocity_scale": [1, 1, 0.5, 1, 1, 0.1, 1]}}),
}
STEPS = 40


def fractions(shape: tuple[int, ...], low: float, high: float) -> st.SearchStrategy:
    return arrays(np.float64, shape, elements=st.floats(low, high, width=32))


def start(world: World, q_share: np.ndarray, v_share: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """A joint state in limits that can be braked in time: v² / 2a is at most the room ahead."""
    robot = world.robot
    q = robot.lower + q_share * (robot.upper - robot.lower)
    room = np.where(v_share > 0, robot.upper - q, q - robot.lower)
    v = np.sign(v_share) * np.minimum(
        np.abs(v_share) * world.velocity, np.sqrt(2 * world.acceleration * room)
    )
    return torch.tensor(q)[None], torch.tensor(v)[None]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(sorted(WORLDS)),
    q_share=fractions((7,), 0.0, 1.0),
    v_share=fractions((7,), -1.0, 1.0),
    actions=fractions((STEPS, 7), -3.0, 3.0),
    held_for=st.integers(1, 12),
)
def test_no_action_sequence_leaves_the_limits(name, q_share, v_share, actions, held_for) -> None:
    world = WORLDS[name]
    reference = Reference(world, "cpu", torch.float64)
    q, v = start(world, q_share, v_share)
    lower, upper = (torch.tensor(x) for x in (world.robot.lower, world.robot.upper))
    for k in range(STEPS):
        action = torch.tensor(actions[k - k % held_for])[None]
        path = reference.velocities(v, reference.command(q, v, action))[0]
        # every physics step, not only the control step's end
        positions = q + world.physics_dt * path.cumsum(0)
        assert (positions >= lower - 1e-9).all() and (positions <= upper + 1e-9).all()
        assert (path.abs() <= torch.tensor(world.velocity) + 1e-9).all()
        jumps = torch.diff(torch.cat((v, path)), dim=0).abs() / world.physics_dt
        assert (jumps <= torch.tensor(world.acceleration) * (1 + 1e-9) + 1e-9).all()
        after_q, after_v = reference.advance(q, v, action)
        torch.testing.assert_close(after_q, positions[-1:], rtol=0, atol=1e-9)
        torch.testing.assert_close(after_v, path[-1:], rtol=0, atol=1e-4)
        assert not reference.violations(after_q, after_v, v).any()
        q, v = after_q, after_v


@pytest.mark.parametrize("name", sorted(WORLDS))
def test_far_from_limits_the_commanded_velocity_is_reached_as_fast_as_allowed(name: str) -> None:
    world = WORLDS[name]
    reference = Reference(world, "cpu", torch.float64)
    q, v = (
        torch.tensor((world.robot.lower + world.robot.upper) / 2)[None],
        torch.zeros(1, 7, dtype=torch.float64),
    )
    action = torch.tensor([[0.1, -0.1, 0.2, -0.2, 0.05, -0.1, 0.1]], dtype=torch.float64)
    wanted = action * torch.tensor(world.velocity)
    for k in range(1, 30):
        q, v = reference.advance(q, v, action)
        reach = torch.tensor(world.acceleration) * k * world.dt
        torch.testing.assert_close(v, torch.minimum(torch.maximum(wanted, -reach), reach))


@pytest.mark.parametrize("name", sorted(WORLDS))
def test_a_joint_sent_to_its_limit_arrives(name: str) -> None:
    world = WORLDS[name]
    reference = Reference(world, "cpu", torch.float64)
    q, v = torch.tensor(world.home)[None], torch.zeros(1, 7, dtype=torch.float64)
    for _ in range(5000):
        q, v = reference.advance(q, v, torch.ones(1, 7, dtype=torch.float64))
    assert (torch.tensor(world.robot.upper) - q).max() < 1e-3
    assert v.abs().max() < 1e-3


def test_a_start_too_fast_to_brake_stops_hard_and_is_counted() -> None:
    world = WORLDS["panda"]
    reference = Reference(world, "cpu", torch.float64)
    q, v = torch.tensor(world.robot.upper - 0.01)[None], torch.tensor(world.velocity)[None]
    after, speed = reference.advance(q, v, -torch.ones(1, 7, dtype=torch.float64))
    torch.testing.assert_close(after, torch.tensor(world.robot.upper)[None])
    assert (speed == 0).all()
    assert reference.violations(after, speed, v).all()


@pytest.mark.parametrize(("field", "excess"), [("q", 0.01), ("velocity", 0.01), ("acceleration", 0.1)])
def test_one_joint_beyond_one_limit_is_a_violation(field: str, excess: float) -> None:
    world = WORLDS["iiwa"]
    reference = Reference(world, "cpu", torch.float64)
    q, v, before = (torch.zeros(2, 7, dtype=torch.float64) for _ in range(3))
    q[:] = torch.tensor(world.home)
    if field == "q":
        q[1, 3] = world.robot.upper[3] + excess
    elif field == "velocity":
        v[:, 3] = before[:, 3] = -world.velocity[3]
        v[1, 3] -= excess
    else:
        v[1, 3] = (world.acceleration[3] + excess) * world.dt
    assert reference.violations(q, v, before).tolist() == [False, True]


def test_locked_joints_stay() -> None:
    world = load_world({"arm": {"locked": ["panda_joint6"]}})
    reference = Reference(world, "cpu", torch.float64)
    q, v = torch.tensor(world.home)[None], torch.zeros(1, 7, dtype=torch.float64)
    for _ in range(20):
        q, v = reference.advance(q, v, torch.ones(1, 7, dtype=torch.float64))
    assert q[0, 5] == world.home[5]
    assert (q[0, :5] > torch.tensor(world.home[:5])).all()
