"""BatchWorld and BulletWorld are the same world, whether torque suffices or not."""

from __future__ import annotations

import pytest
import torch

from irl_ros.sim import BatchWorld, BulletWorld, load_world, throw
from irl_ros.sim.arm_step import DEEP

WORLDS = {
    "default": {},
    "drag": {"ball": {"drag": 0.47}},
    "bin": {"target": {"height": 0.25}},
    "loaded": {"arm": {"payload": 0.5, "locked": ["JOINT5"], "velocity_scale": 0.7}},
    "coarse": {"control_hz": 25.0, "physics_steps": 4, "horizon": 30},
}


def world_of(robot: str, name: str):
    keys = {**WORLDS[name], "robot": robot}
    if name == "loaded":
        joint = load_world({"robot": robot}).robot.joints[4]
        keys["arm"] = {**keys["arm"], "locked": [joint]}
    return load_world(keys)


@pytest.mark.parametrize("robot", ["panda", "iiwa"])
@pytest.mark.parametrize(
    ("name", "count"), [("default", 200), ("drag", 24), ("bin", 24), ("loaded", 24), ("coarse", 24)]
)
def test_same_actions_same_throw(robot: str, name: str, count: int, open_loop) -> None:
    world = world_of(robot, name)
    actions = open_loop.smooth_and_white(world, count)
    targets = world.sample_targets(count, torch.Generator().manual_seed(1))
    batch = open_loop.throw(BatchWorld(world, dtype=torch.float64), actions, targets)
    with BulletWorld(world) as simulator:
        bullet = open_loop.throw(simulator, actions, targets, chunk=24)

    assert (bullet.outcome.torque_saturation == 0).all()
    assert (batch.outcome.torque_saturation == 0).all()
    assert batch.states.landed[:, -1].double().mean() > 0.9  # there is something to compare
    for field in ("q", "qd", "ball_position", "ball_velocity", "target", "phase"):
        one, other = getattr(batch.states, field), getattr(bullet.states, field)
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9, msg=lambda m, f=field: f"{f}: {m}")
    assert (batch.states.held == bullet.states.held).all()
    assert (batch.states.landed == bullet.states.landed).all()
    torch.testing.assert_close(
        batch.outcome.landing, bullet.outcome.landing, rtol=0, atol=1e-9, equal_nan=True
    )
    torch.testing.assert_close(batch.outcome.error, bullet.outcome.error, rtol=0, atol=1e-9)
    assert (batch.outcome.limit_violations == 0).all()
    assert (bullet.outcome.limit_violations == 0).all()


# Where a stop and a brake act together, Bullet's iterative solver ends 0.3 mrad from the exact solution.
NEAR = {"loaded": 1e-5, "weak": 1e-4, "broken": 1e-3, "hurried": 1e-5}
WEAK = {
    "loaded": {"arm": {"payload": 3.0}},
    "weak": {"arm": {"effort_scale": 0.3, "payload": 0.5}},
    "broken": {"arm": {"effort_scale": 0.4, "payload": 3.0, "locked": ["JOINT2"]}},
    "hurried": {"arm": {"effort_scale": [0.2, 1.0], "payload": [0.0, 4.0]}},
}


@pytest.mark.parametrize("robot", ["panda", "iiwa"])
@pytest.mark.parametrize("name", WEAK)
def test_same_actions_same_throw_of_an_arm_too_weak(robot: str, name: str, open_loop) -> None:
    """Clipped torques, joints that fall to their stops, a brake that holds: the two worlds stay together."""
    keys = {**WEAK[name], "robot": robot}
    if name == "broken":
        keys["arm"] = {**keys["arm"], "locked": [load_world({"robot": robot}).robot.joints[1]]}
    world, count = load_world(keys), 16
    actions = open_loop.smooth_and_white(world, count, seed=4)
    targets = world.sample_targets(count, torch.Generator().manual_seed(1))
    drawn = world.sample_conditions(count, torch.Generator().manual_seed(2))
    steps = actions.unbind(1)

    def thrown(simulator, dtype):
        upcoming = iter(steps)
        return throw(simulator, lambda s: next(upcoming).to(dtype), targets, conditions=drawn)

    with BulletWorld(world) as simulator:
        bullet = thrown(simulator, torch.float64)
    exact = thrown(BatchWorld(world, dtype=torch.float64), torch.float64)
    rough = thrown(BatchWorld(world), torch.float32)
    eager = thrown(BatchWorld(world, dtype=torch.float64, compiled=False), torch.float64)

    if robot == "panda":  # the iiwa's motors are hard to overload
        assert (bullet.outcome.torque_saturation > 0).any()
    for batch, near in ((exact, NEAR[name]), (eager, NEAR[name]), (rough, 5e-3)):
        for field in ("q", "ball_position"):
            one, other = getattr(batch.states, field), getattr(bullet.states, field)
            torch.testing.assert_close(
                one.double(), other, rtol=0, atol=near, msg=lambda m, f=field: f"{f}: {m}"
            )
        assert (batch.states.landed == bullet.states.landed).double().mean() > 0.999
        share = batch.outcome.torque_saturation.double() - bullet.outcome.torque_saturation
        assert share.abs().max() <= 1 / 300 + 1e-6


@pytest.mark.parametrize("robot", ["panda", "iiwa"])
def test_starts_in_motion_agree(robot: str, open_loop) -> None:
    world = load_world({"robot": robot})
    actions = open_loop.smooth_and_white(world, 8, seed=3)
    targets = world.sample_targets(8)
    rng = torch.Generator().manual_seed(5)
    q = torch.tensor(world.home) + 0.2 * (torch.rand(8, 7, generator=rng, dtype=torch.float64) - 0.5)
    v = 0.5 * torch.tensor(world.velocity) * (2 * torch.rand(8, 7, generator=rng, dtype=torch.float64) - 1)
    batch = BatchWorld(world, dtype=torch.float64)
    with BulletWorld(world) as bullet:
        one, other = batch.reset(targets, (q, v)), bullet.reset(targets, (q, v))
        for action in actions.unbind(1):
            torch.testing.assert_close(one.q, other.q, rtol=0, atol=1e-9)
            torch.testing.assert_close(one.ball_velocity, other.ball_velocity, rtol=0, atol=1e-9)
            one, other = batch.step(action), bullet.step(action)
        torch.testing.assert_close(batch.outcome().landing, bullet.outcome().landing, rtol=0, atol=1e-9)


@pytest.mark.parametrize("compiled", [True, False])
def test_joints_that_run_into_their_stops_agree(compiled: bool) -> None:
    """At up to 20 rad/s: from some speed on a joint is too deep in its stop for this to push it back."""
    world = load_world({"robot": "xarm6", "arm": {"effort_scale": 0.3}})
    speed, targets = torch.tensor([2.0, 6.0, 9.0, 12.0, 15.0, 20.0]).double(), world.sample_targets(6)
    q, v = torch.tensor(world.home).double().repeat(6, 1), torch.zeros(6, 6).double()
    q[:, 4], v[:, 4] = world.robot.lower[4] + 0.01, -speed
    keep = torch.cat((torch.zeros(6, 6), torch.full((6, 1), -1.0)), 1).double()
    batch = BatchWorld(world, dtype=torch.float64, compiled=compiled)
    with BulletWorld(world) as bullet:
        one, other = batch.reset(targets, (q, v)), bullet.reset(targets, (q, v))
        for step in range(8):
            one, other = batch.step(keep), bullet.step(keep)
            torch.testing.assert_close(one.q, other.q, rtol=0, atol=1e-5)
            if step == 0:
                deep = world.robot.lower[4] - other.q[:, 4]
                assert (deep > 0).all() and ((other.qd[:, 4] == 0) == (deep > DEEP)).all()
                assert 0 < (deep > DEEP).sum() < 6


def test_single_precision_lands_within_a_tenth_of_a_millimetre(open_loop) -> None:
    world = load_world("default")
    actions, targets = open_loop.smooth_and_white(world, 500), world.sample_targets(500)
    exact = open_loop.throw(BatchWorld(world, dtype=torch.float64), actions, targets).outcome
    rough = open_loop.throw(BatchWorld(world), actions.float(), targets).outcome
    assert (exact.landing - rough.landing).abs().nan_to_num(0.0).max() < 1e-4
    assert (exact.landing.isnan() == rough.landing.isnan()).all()


def test_a_ball_below_the_plane_rests_once_it_no_longer_rises_and_has_missed() -> None:
    world = load_world({"target": {"height": 2.0}})
    with BulletWorld(world) as bullet:
        for simulator in (BatchWorld(world, dtype=torch.float64), bullet):
            simulator.reset(world.sample_targets(1))
            held = simulator.step(torch.tensor([[0.3] * 7 + [-1.0]], dtype=torch.float64))
            assert held.held and not held.landed
            assert simulator.outcome().error.isinf()
            after = simulator.step(torch.tensor([[0.3] * 7 + [1.0]], dtype=torch.float64))
            assert after.landed and not after.held
            assert not simulator.outcome().inside
            rise = (simulator.outcome().landing - held.ball_position)[0, 2]
            h = world.physics_dt
            k = float((held.ball_velocity[0, 2] / (9.81 * h)).clamp_min(0).ceil())
            assert float(rise) == pytest.approx(
                float(k * h * held.ball_velocity[0, 2]) - 9.81 * h * h * k * (k + 1) / 2
            )


@pytest.mark.parametrize("name", ["PyBullet", "compiled", "torch"])
def test_the_flying_ball_keeps_what_physics_keeps(name: str, open_loop) -> None:
    """Between release and landing: momentum but for gravity's, and the energy that these steps conserve."""
    world, count = load_world({"gravity": [3.0, 12.0]}), 12
    actions = open_loop.smooth_and_white(world, count, seed=6)
    targets = world.sample_targets(count, torch.Generator().manual_seed(1))
    drawn = world.sample_conditions(count, torch.Generator().manual_seed(2))
    assert drawn is not None
    if name == "PyBullet":
        with BulletWorld(world) as simulator:
            throws = open_loop.throw(simulator, actions, targets, conditions=drawn)
    else:
        batch = BatchWorld(world, dtype=torch.float64, compiled=name == "compiled")
        throws = batch.play(actions, targets, conditions=drawn)
    s, g, h = throws.states, drawn.gravity[:, None], world.physics_dt
    x, v = s.ball_position, s.ball_velocity
    air = ~s.held & ~s.landed
    both = air[:, 1:] & air[:, :-1]  # control steps that begin and end in the air
    assert both.sum() > 5 * count
    # per kilogram; semi-implicit Euler keeps ½v² + g z − ½ g h v_z exactly
    gained = v.diff(dim=1)
    torch.testing.assert_close(
        gained[..., :2][both], torch.zeros_like(gained[..., :2][both]), rtol=0, atol=1e-12
    )
    fall = (-g * world.dt).expand_as(both)
    torch.testing.assert_close(gained[..., 2][both], fall[both], rtol=0, atol=1e-12)
    energy = 0.5 * v.square().sum(-1) + g * x[..., 2] - 0.5 * g * h * v[..., 2]
    change = energy.diff(dim=1)[both]
    torch.testing.assert_close(change, torch.zeros_like(change), rtol=0, atol=1e-11)
    # the ball leaves the hand with the hand's motion: its first step in the air began there
    released = s.held[:, :-1] & air[:, 1:]
    assert released.any()
    steps = world.settings.physics_steps
    way = x.diff(dim=1)[released] - world.dt * v[:, :-1][released]
    drop = -(g.expand_as(released)[released]) * h * h * steps * (steps + 1) / 2
    torch.testing.assert_close(way[:, 2], drop, rtol=0, atol=1e-12)
    torch.testing.assert_close(way[:, :2], torch.zeros_like(way[:, :2]), rtol=0, atol=1e-12)
