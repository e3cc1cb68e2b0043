"""Ranges in a world's YAML: what is drawn, that both worlds obey it, and that a seed repeats it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from irl_ros.sim import BatchWorld, BulletWorld, Conditions, World, load_world
from irl_ros.sim.conditions import FIELD
from irl_ros.sim.world_settings import RANGES, SCALES, STEPS

EVERYTHING = {
    "horizon": 45,
    "ball": {"mass": [0.02, 0.2], "radius": [0.02, 0.05], "drag": [0.2, 0.6]},
    "gravity": [8.0, 11.0],
    "arm": {
        "velocity_scale": [0.7, 1.0],
        "acceleration_scale": [0.6, 1.0],
        "payload": [0.1, 0.6],
        "latency": [0, 3],
        "noise": 0.02,
    },
    "gripper": {"latency": [1, 2]},
    "sensors": {"q": 0.01, "qd": 0.1, "ball_position": 0.02, "ball_velocity": [0.0, 0.3]},
}


def drawn(world: World, count: int, seed: int = 0) -> Conditions:
    conditions = world.sample_conditions(count, torch.Generator().manual_seed(seed))
    assert conditions is not None
    return conditions


@pytest.mark.parametrize("key", [*RANGES, *STEPS, *SCALES])
def test_a_range_is_filled_and_nothing_else_moves(key: str) -> None:
    low, high = {"gravity": (5.0, 12.0)}.get(key, (1, 4) if key in STEPS else (0.2, 0.7))
    world = load_world("default", [f"{key}=[{low}, {high}]"])
    conditions = drawn(world, 3000)
    values = conditions.of(key, world).double()
    width = 0 if key in STEPS else 0.01 * (high - low)
    assert low <= values.min() <= low + width and high - width <= values.max() <= high
    assert values.reshape(3000, -1)[:, 0].mean() == pytest.approx((low + high) / 2, abs=0.05 * (high - low))
    assert world.drawn == {key: (low, high)}
    for other in {*RANGES, *STEPS, *SCALES} - {key}:
        assert len(conditions.of(other, world).unique()) == 1, other


def test_a_range_for_the_whole_arm_is_one_draw_and_one_a_joint_is_many() -> None:
    whole = load_world({"arm": {"velocity_scale": [0.5, 1.0], "locked": ["panda_joint3"]}})
    shares = drawn(whole, 50).of("arm.velocity_scale", whole)
    assert shares.shape == (50, 6)
    torch.testing.assert_close(shares, shares[:, :1].expand(-1, 6))
    each = load_world({"arm": {"velocity_scale": [1, 1, [0.5, 1.0], [0.5, 1.0], 1, 0.3, 1]}})
    shares = drawn(each, 50).of("arm.velocity_scale", each)
    assert (shares[:, 2] - shares[:, 3]).abs().max() > 0.1
    torch.testing.assert_close(shares[:, 5], torch.full((50,), 0.3, dtype=torch.float64))
    assert each.drawn == {"arm.velocity_scale": (0.3, 1.0)}


def test_a_seed_repeats_the_draw_and_a_pipe_keeps_it() -> None:
    world = load_world(EVERYTHING)
    one, other = drawn(world, 20, 3), drawn(world, 20, 3)
    assert torch.equal(one.packed(), other.packed())
    assert not torch.equal(one.seed, drawn(world, 20, 4).seed)
    back = Conditions.unpack(one.packed(), world.robot.n)
    for field in dataclasses.fields(Conditions):
        assert torch.equal(getattr(one, field.name), getattr(back, field.name)), field.name
    assert {FIELD.get(k, k.replace(".", "_")) for k in (*RANGES, *STEPS, *SCALES)} | {"seed"} == {
        field.name for field in dataclasses.fields(Conditions)
    }


def test_a_world_that_draws_nothing_has_no_conditions_and_takes_no_random_numbers() -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert load_world("default").sample_conditions(10, generator) is None
    assert torch.equal(before, generator.get_state())


def test_what_a_throw_is_planned_for_is_the_middle_without_noise() -> None:
    fixed = load_world(EVERYTHING).fixed(delays=True)
    assert fixed.settings.ball.mass == pytest.approx(0.11)
    assert fixed.settings.gravity == 9.5
    np.testing.assert_allclose(fixed.velocity, 0.85 * fixed.robot.velocity)
    assert fixed.settings.arm.latency == 2 and fixed.settings.arm.noise == 0
    assert fixed.settings.sensors.q == 0 and not fixed.drawn
    assert fixed.varies  # it still has its delays
    assert not fixed.fixed().varies
    plain = load_world("default")
    assert plain.fixed() is plain


def test_an_action_asks_for_a_share_of_the_most_there_may_be() -> None:
    """A policy does not know what was drawn: an arm that drew less does what it can."""
    world = load_world({"arm": {"velocity_scale": [0.25, 0.75]}})
    conditions = drawn(world, 6)
    world_of_six = BatchWorld(world, dtype=torch.float64)
    world_of_six.reset(world.sample_targets(6), conditions=conditions)
    action = torch.tensor([[0.0] * 5 + [0.5, 0.0, -1.0]] * 6, dtype=torch.float64)
    for _ in range(8):
        state = world_of_six.step(action)
    expected = torch.minimum(0.5 * 0.75 * torch.tensor(2.61), conditions.velocity[:, 5])
    torch.testing.assert_close(state.qd[:, 5], expected.double(), rtol=0, atol=1e-6)


def test_both_worlds_throw_alike_under_the_same_conditions(open_loop) -> None:
    world = load_world(EVERYTHING)
    count = 12
    actions, targets = open_loop.smooth_and_white(world, count), world.sample_targets(count)
    conditions = drawn(world, count)
    batch = open_loop.throw(BatchWorld(world, dtype=torch.float64), actions, targets, conditions=conditions)
    with BulletWorld(world) as simulator:
        bullet = open_loop.throw(simulator, actions, targets, conditions=conditions)
        alone = open_loop.throw(simulator, actions[5:6], targets[5:6], conditions=conditions[5:6])
    assert (bullet.outcome.torque_saturation == 0).all()
    assert batch.states.landed[:, -1].double().mean() > 0.6
    for field in ("q", "qd", "ball_position", "ball_velocity"):
        one, other = getattr(batch.states, field), getattr(bullet.states, field)
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9, msg=lambda m, f=field: f"{f}: {m}")
        torch.testing.assert_close(other[5:6], getattr(alone.states, field), rtol=0, atol=1e-9)
    assert torch.equal(batch.outcome.inside, bullet.outcome.inside)
    assert batch.conditions is not None and torch.equal(batch.conditions.seed, conditions.seed)


def test_throws_of_one_action_differ_only_where_the_world_draws(open_loop) -> None:
    for keys, same in (({"gravity": [8, 11]}, True), ({"arm": {"noise": 0.05}}, False)):
        world = load_world(keys)
        actions = open_loop.smooth_and_white(world, 1).expand(4, -1, -1)
        simulator = BatchWorld(world, dtype=torch.float64)
        throws = open_loop.throw(simulator, actions, world.sample_targets(1).expand(4, -1))
        moved = throws.states.q - throws.states.q[:1]
        assert (float(moved.abs().max()) == 0) is same
        assert (throws.outcome.landing[1:] - throws.outcome.landing[:1]).abs().max() > 1e-3


def test_a_drawn_payload_weighs_what_a_fixed_one_does(open_loop) -> None:
    """In PyBullet a drawn payload is put on later than a fixed one; torques must not tell."""
    drawing, fixed = load_world({"arm": {"payload": [0.2, 2.0]}}), load_world({"arm": {"payload": 1.3}})
    conditions = drawn(drawing, 1)
    conditions = dataclasses.replace(conditions, payload=torch.tensor([1.3], dtype=torch.float64))
    actions = open_loop.smooth_and_white(fixed, 1)
    with BulletWorld(drawing) as one, BulletWorld(fixed) as other:
        one.reset(torch.zeros(1, 3), conditions=conditions)
        other.reset(torch.zeros(1, 3))
        for action in actions[0, :20]:
            state, expected = one.step(action[None]), other.step(action[None])
            torch.testing.assert_close(state.q, expected.q, rtol=0, atol=1e-9)
            torch.testing.assert_close(one.torque, other.torque, rtol=0, atol=1e-6)
