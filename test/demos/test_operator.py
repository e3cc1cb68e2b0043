"""The synthetic person: repeatable, human hit rates, motions that arms and recordings can take."""

import dataclasses

import pytest
import torch

from irl_ros.demos.faults import OperatorSettings, load_operator
from irl_ros.demos.operator import SyntheticOperator, demonstrate
from irl_ros.demos.window import LEAD, TAIL
from irl_ros.errors import InputError
from irl_ros.sim import BatchWorld, load_world
from irl_ros.sim.bullet_world import BulletWorld

FLAWLESS = OperatorSettings(skill=1.0, tremor=0.0, miss_probability=0.0, fatigue=0.0)
ROBOTS = ("panda", "iiwa")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small tensors: beside other processes, threads that wait for each other make them many times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def world_of(robot: str, **keys):
    return load_world({"robot": robot, **keys})


def hits(throws) -> float:
    return float((throws.outcome.error < 0.1).float().mean())


@pytest.mark.parametrize("robot", ROBOTS)
@pytest.mark.parametrize("seed", [0, 1])
def test_default_operator_hits_as_people_do(robot, seed):
    throws = demonstrate(world_of(robot), load_operator("default"), 120, seed)
    assert 0.60 <= hits(throws) <= 0.90
    assert 0.04 <= float(throws.outcome.error.median()) <= 0.09


@pytest.mark.parametrize("robot", ROBOTS)
def test_presets_differ_in_the_right_order(robot):
    rate = {
        name: hits(demonstrate(world_of(robot), load_operator(name), 80, 0)) for name in ("clean", "tired")
    }
    assert rate["clean"] >= 0.95
    assert rate["tired"] <= 0.75


@pytest.mark.parametrize("robot", ROBOTS)
def test_flawless_throws_land_in_pybullet_without_saturating_it(robot):
    world = world_of(robot)
    throws = demonstrate(world, FLAWLESS, 10, 0, simulator=BulletWorld(world))
    near = (
        throws.states.target[:, 0].norm(dim=-1) < 1.05
    )  # the very end of the ring asks for more than the arms have
    assert float(throws.outcome.error[near].max()) < 0.03
    assert float(throws.outcome.error.max()) < 0.08
    assert float(throws.outcome.torque_saturation.max()) == 0.0
    assert float(throws.outcome.limit_violations.max()) == 0.0


@pytest.mark.parametrize("style", ["underhand", "overhand"])
def test_styles_throw_upwards_or_flat(style):
    world = world_of("panda")
    throws = demonstrate(world, dataclasses.replace(FLAWLESS, style=style), 20, 0)
    last_held = throws.states.held.float().sum(1).long() - 1
    velocity = throws.states.ball_velocity[torch.arange(20), last_held]
    elevation = torch.atan2(velocity[:, 2], velocity[:, :2].norm(dim=-1))
    assert hits(throws) == 1.0
    assert float(elevation.median()) > 0.3 if style == "underhand" else float(elevation.median()) < 0.15


def test_the_same_seed_throws_the_same_throws():
    world, settings = world_of("panda"), load_operator("default")
    one, again, other = (demonstrate(world, settings, 6, seed) for seed in (0, 0, 1))
    assert torch.equal(one.actions, again.actions)
    assert torch.equal(one.states.q, again.states.q)
    assert not torch.allclose(one.actions, other.actions, atol=0.05)


@pytest.mark.parametrize("robot", ROBOTS)
def test_a_demonstration_is_a_whole_throw_from_rest_to_rest(robot):
    world = world_of(robot)
    throws = demonstrate(world, load_operator("default"), 60, 0)
    states, limit = throws.states, torch.tensor(world.velocity, dtype=torch.float32)
    moving = (states.qd.abs() > 0.02 * limit).any(-1)
    onset, landing = moving.float().argmax(1), states.landed.float().argmax(1)
    assert states.q.shape == (60, world.horizon + 1, world.robot.n)
    assert throws.actions.shape == (60, world.horizon, world.action_dim)
    assert float(throws.actions.abs().max()) <= 1.0
    assert bool(states.landed[:, -1].all()) and bool(throws.outcome.released.all())
    assert int(landing.max()) <= world.horizon - TAIL
    # one throw in a hundred is so late that its window has to begin after its onset
    assert float((onset <= LEAD + 1).float().mean()) == 1.0
    assert float(moving[:, 0].float().mean()) <= 0.05
    resting = ~moving[:, 0]
    assert torch.allclose(states.q[resting, 0], torch.tensor(world.home, dtype=torch.float32), atol=1e-5)
    assert not bool(moving[:, -1].any())


@pytest.mark.parametrize("robot", ROBOTS)
def test_no_joint_leaves_its_limits(robot):
    world = world_of(robot)
    states = demonstrate(world, load_operator("tired"), 60, 0).states
    lower, upper, velocity = (
        torch.tensor(x, dtype=torch.float32) for x in (world.robot.lower, world.robot.upper, world.velocity)
    )
    assert bool(((states.q >= lower - 1e-5) & (states.q <= upper + 1e-5)).all())
    assert bool((states.qd.abs() <= velocity + 1e-5).all())


def test_one_plan_commands_what_the_batch_does():
    """The ROS node asks one plan at a time, with an unbatched state or one of leading shape [1]."""
    world = world_of("panda")
    settings = load_operator("default")
    target = world.sample_targets(1, torch.Generator().manual_seed(0))[0]
    plan, twin = (SyntheticOperator(world, settings, 0).plan(target) for _ in range(2))
    simulator = BatchWorld(world)
    state = simulator.reset(target[None])
    seen_release = False
    for k in range(round(float(plan.duration) / world.dt)):
        action, same = plan.command(k * world.dt, state[0]), twin.command(k * world.dt, state)
        assert action.shape == (world.action_dim,)
        assert torch.equal(action, same[0])
        seen_release |= bool(action[-1] > 0)
        state = simulator.step(action[None])
    assert seen_release and bool(state.landed.all())
    assert 2.0 <= float(plan.duration) <= 3.5
    assert float(state.qd.abs().max()) == 0.0  # the arm rests after the throw


def test_commands_asked_for_more_often_throw_the_same():
    """A node that asks at 100 Hz gets the same motion as one that asks at 50 Hz."""
    world = world_of("panda")
    target = torch.tensor([0.9, 0.0, 0.0])
    landings = []
    for hz in (50.0, 100.0):
        plan = SyntheticOperator(world, FLAWLESS, 0).plan(target)
        simulator = BatchWorld(dataclasses.replace(world, settings=_at(world.settings, hz)))
        state = simulator.reset(target[None])
        for k in range(round(2.5 * hz)):
            state = simulator.step(plan.command(k / hz, state))
        landings.append(state.ball_position[0, :2])
    assert float((landings[0] - landings[1]).norm()) < 0.02


def _at(settings, hz):
    return dataclasses.replace(settings, control_hz=hz, physics_steps=round(250 / hz))


def test_a_locked_joint_is_left_alone():
    world = world_of("panda", arm={"locked": ["panda_joint6"]}, target={"radius": [0.5, 0.7]})
    throws = demonstrate(world, FLAWLESS, 20, 0)
    assert hits(throws) == 1.0
    assert float(throws.states.qd[..., 5].abs().max()) == 0.0


def test_targets_out_of_reach_are_refused(monkeypatch):
    monkeypatch.setattr("irl_ros.demos.habit_search.HabitSearch.rounds", 4)
    with pytest.raises(InputError, match=r"no natural throw of panda .* \(2\.0, 2\.5\) m"):
        SyntheticOperator(world_of("panda", target={"radius": [2.0, 2.5]}), FLAWLESS)


def test_a_target_beyond_the_ring_is_thrown_at_as_near_as_practised():
    world = world_of("panda")
    plan = SyntheticOperator(world, FLAWLESS, 0).plan(torch.tensor([1.6, 0.0, 0.0]))
    state = (simulator := BatchWorld(world)).reset(plan.target[None])
    for k in range(130):
        state = simulator.step(plan.command(k * world.dt, state))
    assert 1.0 < float(state.ball_position[0, 0]) < 1.2
