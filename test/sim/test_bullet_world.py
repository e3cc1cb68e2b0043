"""What BulletWorld adds to the reference motion: torque, weight, brakes, an arm that goes on."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pybullet
import pytest
import torch

from irl_ros.robots import Robot, load_robot
from irl_ros.sim import BatchWorld, BulletWorld, State, World, load_world
from irl_ros.sim.bullet_arm import BulletArm


def with_effort(world: World, share: float) -> World:
    return replace(world, robot=replace(world.robot, effort=share * world.robot.effort))


def identical(one: State, other: State) -> bool:
    return all(torch.equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(State))


@pytest.fixture
def client():
    client = pybullet.connect(pybullet.DIRECT)
    pybullet.setGravity(0.0, 0.0, -9.81, physicsClientId=client)
    yield client
    pybullet.disconnect(client)


def full_robot(robot: Robot, client: int) -> tuple[int, list[int], int]:
    """The robot's own URDF: its body, which of its moving joints are the arm's, how many there are."""
    flags = pybullet.URDF_USE_INERTIA_FROM_FILE
    body = pybullet.loadURDF(str(robot.urdf), useFixedBase=True, flags=flags, physicsClientId=client)
    moving = [
        info[1].decode()
        for i in range(pybullet.getNumJoints(body, physicsClientId=client))
        if (info := pybullet.getJointInfo(body, i, physicsClientId=client))[2] != pybullet.JOINT_FIXED
    ]
    return body, [moving.index(name) for name in robot.joints], len(moving)


@pytest.mark.parametrize("name", ["panda", "iiwa"])
def test_the_folded_arm_weighs_what_the_urdf_does(name: str, client: int) -> None:
    robot = load_robot(name)
    robot = replace(robot, settings=replace(robot.settings, inertials={}))
    world = replace(load_world({"robot": name}), robot=robot)
    arm = BulletArm(world)
    body, columns, count = full_robot(robot, client)
    rng = np.random.default_rng(2)
    for _ in range(30):
        motion = np.zeros((3, count))
        motion[:, columns] = (
            rng.uniform(robot.lower, robot.upper),
            rng.uniform(-2, 2, 7),
            rng.uniform(-9, 9, 7),
        )
        torque = pybullet.calculateInverseDynamics(body, *motion.tolist(), physicsClientId=client)
        folded = arm.torques(*motion[:, None, columns].tolist())
        np.testing.assert_allclose(folded[0], np.array(torque)[columns], atol=1e-9)
    arm.close()


def test_payload_costs_its_weight_times_its_lever() -> None:
    bare = load_world({"robot": "iiwa"})
    loaded = load_world({"robot": "iiwa", "arm": {"payload": 3.0}})
    q, still = bare.home.tolist(), [0.0] * 7
    torques = [np.array(BulletArm(w).torques([q], [still], [still])[0]) for w in (bare, loaded)]
    lever = bare.robot.kinematics(dtype=torch.float64).jacobian(torch.tensor(q, dtype=torch.float64))[2]
    np.testing.assert_allclose(torques[1] - torques[0], 3.0 * 9.81 * lever, atol=1e-9)


def test_repeats_bit_by_bit(open_loop) -> None:
    world = load_world({"ball": {"drag": 0.47}})
    actions, targets = open_loop.smooth_and_white(world, 3), world.sample_targets(3)
    with BulletWorld(world) as simulator:
        first = open_loop.throw(simulator, actions, targets)
        open_loop.throw(simulator, open_loop.smooth_and_white(world, 3, seed=9), targets)
        again = open_loop.throw(simulator, actions, targets)
        # one alone, in a client that threw something else before
        alone = open_loop.throw(simulator, actions[2:], targets[2:])
    with BulletWorld(world) as other:
        elsewhere = open_loop.throw(other, actions, targets)
    assert identical(first.states, again.states)
    assert identical(first.states, elsewhere.states)
    assert identical(first.states[2:], alone.states)


def test_an_arm_too_weak_saturates_lags_and_says_so(open_loop) -> None:
    world = load_world("default")
    actions, targets = open_loop.smooth_and_white(world, 4), world.sample_targets(4)
    shares = []
    for effort in (1.0, 0.35, 0.2):
        with BulletWorld(with_effort(world, effort)) as simulator:
            bullet = open_loop.throw(simulator, actions, targets)
            assert (simulator.torque.abs() <= torch.tensor(effort * world.robot.effort) + 1e-12).all()
        shares.append(bullet.outcome.torque_saturation)
    assert (shares[0] == 0).all()
    assert (shares[1] <= shares[2]).all()
    assert ((shares[2] > 0.2) & (shares[2] <= 1)).all()
    assert (bullet.outcome.limit_violations > 0).all()
    ideal = open_loop.throw(BatchWorld(world, dtype=torch.float64), actions, targets)
    assert (bullet.states.q - ideal.states.q).abs().max() > 0.05


def test_saturation_is_the_share_of_physics_steps() -> None:
    world = load_world("default")
    # holding still takes the weight's torque: give joint 2 a little less, the others plenty
    with BulletWorld(world) as simulator:
        simulator.reset(torch.zeros(1, 3))
        simulator.step(torch.tensor([[0.0] * 7 + [-1.0]]))
        needed = simulator.torque[0].numpy()
        assert simulator.outcome().torque_saturation == 0
    effort = world.robot.effort.copy()
    effort[1] = 0.99 * abs(needed[1])
    with BulletWorld(replace(world, robot=replace(world.robot, effort=effort))) as simulator:
        simulator.reset(torch.zeros(1, 3))
        for _ in range(5):
            simulator.step(torch.tensor([[0.0] * 7 + [-1.0]]))
        assert simulator.outcome().torque_saturation == 1
        assert simulator.torque[0, 1].abs() == pytest.approx(effort[1])


def test_a_locked_joint_holds_what_its_motor_could_not() -> None:
    keys = {"arm": {"locked": ["panda_joint2"], "payload": 30.0}}
    world = with_effort(load_world(keys), 0.1)
    runs = []
    with BulletWorld(world) as simulator:
        for _ in range(2):
            simulator.reset(torch.zeros(1, 3))
            for _ in range(20):
                state = simulator.step(torch.ones(1, 8))
            runs.append(state)
        assert simulator.outcome().torque_saturation == 1
    assert state.q[0, 1] == pytest.approx(world.home[1], abs=1e-3)
    assert (state.q[0, [3, 5]] - torch.tensor(world.home[[3, 5]])).abs().max() > 0.05
    assert identical(*runs)


def test_the_arm_goes_on_beyond_the_horizon_and_takes_the_next_ball() -> None:
    world = load_world({"horizon": 20})
    action = torch.tensor([[0.0, 0.4, 0.0, 0.4, 0.0, 0.4, 0.0, -1.0]], dtype=torch.float64)
    with BulletWorld(world) as simulator:
        simulator.reset(torch.tensor([[0.9, 0.1, 0.0]]))
        for _ in range(10):
            simulator.step(action)
        action[:, -1] = 1.0
        for _ in range(60):
            before = simulator.step(action)
        assert before.phase == 1
        assert before.landed
        landing = simulator.outcome().landing
        torch.testing.assert_close(simulator.step(action).ball_position, landing)

        q = simulator.state.q
        after = simulator.take_ball()
        torch.testing.assert_close(after.q, q, rtol=0, atol=0)
        assert after.held and not after.landed and after.phase == 0
        torch.testing.assert_close(after.target, before.target)
        tool = world.robot.kinematics(dtype=torch.float64).tool_position(q)
        torch.testing.assert_close(after.ball_position, tool)
        assert not simulator.outcome().released
        assert simulator.take_ball(torch.tensor([[0.7, 0.0, 0.1]])).target[0, 2] == pytest.approx(0.1)


def test_a_velocity_command_in_rad_per_s_becomes_that_velocity() -> None:
    world = load_world({"arm": {"velocity_scale": 0.5, "locked": ["panda_joint3"]}})
    command = np.array([0.3, -0.2, 0.5, 0.1, -0.4, 0.6, 1.2])
    with BulletWorld(world) as simulator:
        state = simulator.reset(torch.zeros(1, 3))
        for _ in range(10):
            state = simulator.step(torch.tensor([[*world.action(command), -1.0]], dtype=torch.float64))
    command[2] = 0.0
    np.testing.assert_allclose(state.qd[0], command, atol=1e-12)


def test_the_ball_does_not_touch_the_arm() -> None:
    world = load_world({"horizon": 30})
    with BulletWorld(world) as simulator:
        start = simulator.reset(torch.tensor([[0.9, 0.0, -50.0]]))
        # let go at rest, right between the fingers: it must fall as if nothing were there
        for _ in range(10):
            state = simulator.step(torch.tensor([[0.0] * 7 + [1.0]]))
    k = 10 * world.settings.physics_steps
    drop = 9.81 * world.physics_dt**2 * k * (k + 1) / 2
    expected = start.ball_position - torch.tensor([0.0, 0.0, drop], dtype=torch.float64)
    torch.testing.assert_close(state.ball_position, expected, rtol=0, atol=1e-12)


def test_prepared_torques_bring_the_arm_where_measuring_at_every_step_does(open_loop, monkeypatch) -> None:
    """Both ways to carry out a control step agree to rounding, and a clipped one is never prepared."""
    world = with_effort(load_world({"horizon": 25}), 0.3)
    actions, targets = open_loop.smooth_and_white(world, 6), world.sample_targets(6)
    with BulletWorld(world) as simulator:
        mixed = open_loop.throw(simulator, actions, targets)
        monkeypatch.setattr("irl_ros.sim.bullet_world.AS_ASKED", -1.0)  # nothing is as asked
        measured = open_loop.throw(simulator, actions, targets)
    share = mixed.outcome.torque_saturation
    assert ((share > 0) & (share < 1)).any()
    assert torch.equal(share, measured.outcome.torque_saturation)
    for field in ("q", "qd", "ball_position", "ball_velocity"):
        one, other = getattr(mixed.states, field), getattr(measured.states, field)
        # torques of our inverse dynamics and PyBullet's agree to 1e-10
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10, msg=lambda m, f=field: f"{f}: {m}")


def test_an_arm_that_meets_its_hard_stop_is_servoed_on_from_there() -> None:
    world = load_world("default")
    q, qd = torch.tensor(world.home)[None], torch.zeros(1, 7, dtype=torch.float64)
    q[0, 0] = world.robot.upper[0] - 0.01
    qd[0, 0] = world.robot.velocity[0]  # too fast to brake
    with BulletWorld(world) as simulator:
        simulator.reset(torch.zeros(1, 3), (q, qd))
        for _ in range(5):
            state = simulator.step(torch.tensor([[0.0] * 7 + [-1.0]]))
            assert state.q[0, 0] < world.robot.upper[0] + 0.02
    assert state.qd[0, 0].abs() < 0.5
