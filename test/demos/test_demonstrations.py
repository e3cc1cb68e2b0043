"""Bags in, the simulated throws that were recorded out: states, actions, landings are those of BatchWorld."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from irl_ros.demos.demonstrations import Demonstrations, load_demonstrations
from irl_ros.errors import InputError
from irl_ros.sim import State, load_world, throw
from irl_ros.sim.batch_world import BatchWorld

FLOAT32 = 2e-6


def assert_same(demos: Demonstrations, throws, atol: float = FLOAT32, actions: float = FLOAT32) -> None:
    """Everything a learner sees equals the simulation, up to rounding to float32."""
    assert len(demos) == len(throws)
    for name in ("q", "qd", "ball_position", "ball_velocity", "target", "phase"):
        got, want = getattr(demos.throws.states, name), getattr(throws.states, name)
        torch.testing.assert_close(got.double(), want, rtol=0, atol=atol, msg=lambda m, n=name: f"{n}: {m}")
    assert torch.equal(demos.throws.states.held, throws.states.held)
    assert torch.equal(demos.throws.states.landed, throws.states.landed)
    torch.testing.assert_close(
        demos.throws.actions[..., :-1].double(), throws.actions[..., :-1], rtol=0, atol=actions
    )
    assert torch.equal(demos.throws.actions[..., -1].double(), throws.actions[..., -1])
    torch.testing.assert_close(
        demos.throws.outcome.landing.double(), throws.outcome.landing, rtol=0, atol=atol
    )
    torch.testing.assert_close(demos.throws.outcome.error.double(), throws.outcome.error, rtol=0, atol=atol)
    assert demos.throws.outcome.released.all() and not demos.throws.outcome.limit_violations.any()


HABITS = {
    "mcap": {},
    "sqlite3": {"storage": "sqlite3"},
    "a bag each": {"a_bag": 1},
    "joints in any order": {"shuffle_joints": True},
    "other joints in the same messages": {
        "shuffle_joints": True,
        "other_joints": ("panda_finger_joint1", "ur_elbow"),
    },
    "another robot on the same topic": {"interleave": True},
    "namespaced": {"namespace": "/cell/robot1"},
    "no release command": {"gripper": False},
    "no events": {"events": False},
    "simulation time, wall clock bag": {"stamp_zero": 3.0},
    "simulation time, also in the bag, as our recorder in lock-step": {
        "stamp_zero": 3.0,
        "received_zero": 3.0,
        "command_after": 0.0,
        "gripper_after": 0.0,
    },
    "gripper told in every step": {"gripper_repeats": True, "events": False},
    "slow simulation": {"stamp_zero": 3.0, "received_rate": 2.5},
    "fast simulation": {"stamp_zero": 3.0, "received_rate": 0.1},
    "target once, before the first episode": {"target_once": True},
    "late commands": {"command_after": 0.013},
    "commands with jitter": {"command_after": 0.004, "command_jitter": 0.004},
}


@pytest.mark.parametrize("habits", HABITS.values(), ids=HABITS.keys())
def test_recorded_throws_come_back_exactly(record, throws, world, habits) -> None:
    demos = load_demonstrations(record(throws, **habits), world)
    if not habits.get("events", True):  # then the window begins a little before the motion, not at START
        shift = [
            round((a.start - (0.0 if i == 0 else i * 2.2)) / world.dt) for i, a in enumerate(demos.audits)
        ]
        # two steps before the arm's last one at rest, its second; the first is cut by the bag's begin
        assert shift == [0, -1, -1, -1]
        for i, steps in enumerate(shift):
            want = throws.states.q[i, : 61 + steps], throws.actions[i, : 60 + steps]
            torch.testing.assert_close(
                demos.throws.states.q[i, -steps:].double(), want[0], rtol=0, atol=FLOAT32
            )
            torch.testing.assert_close(
                demos.throws.actions[i, -steps:].double(), want[1], rtol=0, atol=FLOAT32
            )
        landing = demos.throws.outcome.landing.double()
        torch.testing.assert_close(landing, throws.outcome.landing, rtol=0, atol=FLOAT32)
        return
    if habits.get("target_once"):
        throws = aimed_at_first(throws)
    assert_same(demos, throws)
    assert not demos.actions_inferred


def aimed_at_first(throws):
    """The same throws when one target stood the whole time."""
    target = throws.states.target[:1].expand_as(throws.states.target)
    error = (throws.outcome.landing - target[:, 0])[:, :2].norm(dim=-1)
    parts = {f: getattr(throws.states, f) for f in throws.states.__dataclass_fields__}
    outcome = {f: getattr(throws.outcome, f) for f in throws.outcome.__dataclass_fields__}
    return type(throws)(
        State(**{**parts, "target": target}),
        throws.actions,
        type(throws.outcome)(**{**outcome, "error": error}),
    )


def test_labels_and_sources_follow_the_episodes(record, throws, world) -> None:
    (path,) = record(throws)
    demos = load_demonstrations(path, world)
    assert demos.sources == tuple(f"{path} # {i}" for i in range(4))
    assert demos.labels == tuple("success" if e <= 0.1 else "failure" for e in throws.outcome.error)
    assert demos.hit_10cm == float((throws.outcome.error <= 0.1).double().mean())
    assert demos.hit_5cm == float((throws.outcome.error <= 0.05).double().mean())


def test_kinesthetic_teaching_infers_actions_that_repeat_the_throw(record, throws, world) -> None:
    """Replayed in BatchWorld, the inferred actions follow the recorded joints."""
    demos = load_demonstrations(record(throws, commands=False), world)
    assert demos.actions_inferred
    assert all(a.actions_inferred and a.action_residual < 1e-6 for a in demos.audits)
    actions = demos.throws.actions.double()
    step = iter(range(world.horizon))
    replay = throw(
        BatchWorld(world, dtype=torch.float64), lambda s: actions[:, next(step)], throws.states.target[:, 0]
    )
    # where the arm did not accelerate fully it reaches the same velocity along another ramp
    torch.testing.assert_close(replay.states.qd, throws.states.qd, rtol=0, atol=1e-5)
    torch.testing.assert_close(replay.states.q, throws.states.q, rtol=0, atol=0.02)
    assert torch.equal(replay.states.held, throws.states.held)


def test_without_velocities_they_are_differentiated(record, throws, world) -> None:
    demos = load_demonstrations(record(throws, velocities=False), world)
    assert not demos.audits[0].velocities_recorded
    torch.testing.assert_close(demos.throws.states.q.double(), throws.states.q, rtol=0, atol=FLOAT32)
    error = (demos.throws.states.qd.double() - throws.states.qd).abs()
    # at most what a joint's acceleration limit can change within the step the difference is taken over
    assert (error.amax((0, 1)).numpy() < 1.5 * world.acceleration * world.dt).all() and error.mean() < 0.03


def test_without_ball_kinematics_and_flight_give_it(record, throws, world) -> None:
    demos = load_demonstrations(record(throws, ball=False), world)
    assert_same(demos, throws, atol=2e-5)  # Flight from the release, not from the last sample
    assert not any(a.landing_observed for a in demos.audits)


def test_a_tracker_without_velocities_is_enough(record, throws, world) -> None:
    demos = load_demonstrations(record(throws, twist=False), world)
    torch.testing.assert_close(
        demos.throws.outcome.landing.double(), throws.outcome.landing, rtol=0, atol=2e-3
    )


@pytest.mark.parametrize("delay", [0.03, 0.065])
def test_the_delay_of_commands_is_measured_and_taken_out(record, throws, world, delay) -> None:
    """Commands that were sent `delay` before they acted are put where they acted."""
    demos = load_demonstrations(record(throws, command_after=0.0003 - delay, gripper=False), world)
    assert_same(demos, throws)
    assert all(abs(a.command_delay - delay) <= 0.5 * world.dt for a in demos.audits)


@pytest.mark.parametrize("delay", [0.015, 0.06])
def test_a_slow_gripper_is_seen_in_the_ball(record, throws, world, delay) -> None:
    """The release counts when the ball left the hand, not when the gripper was told to open."""
    demos = load_demonstrations(record(throws, gripper_after=-delay), world)
    assert_same(demos, throws)
    assert all(abs(a.release_delay - delay) < 0.005 for a in demos.audits)


def test_joints_off_the_grid_are_interpolated(record, throws, world) -> None:
    """Joints and ball recorded 7 ms beside the release: the throw comes back to interpolation accuracy."""
    demos = load_demonstrations(record(throws, resample=0.007), world)
    torch.testing.assert_close(
        demos.throws.outcome.landing.double(), throws.outcome.landing, rtol=0, atol=1e-4
    )
    shift = -(0.007 / world.dt)
    for i in range(len(demos)):
        lag = demos.audits[i].start / world.dt
        k = np.arange(5, 40)
        for joint in range(world.robot.n):
            want = np.interp(k + shift + lag % 1, np.arange(61), throws.states.q[i, :, joint].numpy())
            got = demos.throws.states.q[i, k, joint].numpy()
            assert np.abs(got - want).max() < 0.03


def test_a_laboratory(record, throws, world) -> None:
    """All at once: fast joints, a noisy tracker of positions, a bouncing ball, slow gripper, late command."""
    habits = {"laboratory": True, "gripper_after": -0.06, "command_after": -0.0297, "command_jitter": 0.002}
    demos = load_demonstrations(record(throws, **habits), world)
    outcome, states = demos.throws.outcome, demos.throws.states
    assert all(
        abs(a.release_delay - 0.06) < 0.011 and abs(a.command_delay - 0.03) <= 0.01 for a in demos.audits
    )
    late = states.held.sum(1) - throws.states.held.sum(1)
    assert late.abs().max() <= 1  # one control step of 0.02 s
    assert (outcome.landing.double() - throws.outcome.landing).norm(dim=-1).max() < 0.015
    for i, steps in enumerate(late.tolist()):  # the window ends at STOP, so it does not move with the release
        assert demos.audits[i].start == pytest.approx(2.2 * i, abs=1e-6), steps
    torch.testing.assert_close(states.q.double(), throws.states.q, rtol=0, atol=1e-5)
    torch.testing.assert_close(
        demos.throws.actions[..., :-1].double(), throws.actions[..., :-1], rtol=0, atol=1e-5
    )
    flight = ~throws.states.held & ~throws.states.landed & ~states.held & ~states.landed
    # this ball follows a parabola, the world's own flight is 8 mm off it after 0.4 s
    assert (states.ball_position.double() - throws.states.ball_position)[flight].norm(dim=-1).max() < 0.015


def test_select_and_cat(record, throws, world) -> None:
    demos = load_demonstrations(record(throws), world)
    again = Demonstrations.cat([demos.select([2, 0]), demos.select(torch.tensor([1]))])
    assert len(again) == 3 and again.sources == tuple(demos.sources[i] for i in (2, 0, 1))
    assert torch.equal(again.throws.states.q, demos.throws.states.q[[2, 0, 1]])
    assert demos.select(range(4)).sha256 == demos.sha256 != again.sha256
    with pytest.raises(InputError, match="of world 'custom', not 'default'"):
        Demonstrations.cat([demos, Demonstrations(load_world({"gravity": 5.0}), *vars_of(demos))])


def vars_of(demos: Demonstrations) -> tuple:
    return demos.throws, demos.labels, demos.sources, demos.actions_inferred, demos.audits


def test_an_episode_is_read_by_the_name_it_has_in_sources(record, throws, world) -> None:
    (bag,) = record(throws)
    whole = load_demonstrations(bag, world)
    some = load_demonstrations([whole.sources[2], whole.sources[0]], world)
    assert some.sha256 == whole.select([0, 2]).sha256  # in the order of the bag
    assert some.sources == (whole.sources[0], whole.sources[2])
    assert load_demonstrations([whole.sources[1], bag], world).sha256 == whole.sha256
    with pytest.raises(InputError, match="# 99: is no usable episode of that bag"):
        load_demonstrations([whole.sources[0], f"{bag} # 99"], world)


def test_the_hash_is_of_the_data_not_of_the_place(record, throws, world) -> None:
    here, there = (
        load_demonstrations(record(throws, name=name, storage=s), world)
        for name, s in (("here", "mcap"), ("there", "sqlite3"))
    )
    assert here.sources != there.sources and here.sha256 == there.sha256
    assert replace(here, labels=("",) * 4).sha256 != here.sha256


def test_longer_episodes_are_cut_to_the_horizon(record, throws, world) -> None:
    """45 steps do not hold the swing and the landing: cut from the front, landing and rest inside."""
    short = load_world("default", ["horizon=45"])
    demos = load_demonstrations(record(throws), short)
    assert demos.throws.actions.shape == (4, 45, 8)
    landed = throws.states.landed.int().argmax(1)
    for i, audit in enumerate(demos.audits):
        start = max(int(landed[i]) + 5 - 45, 0)
        assert audit.cut_front == pytest.approx(start * world.dt)
        assert audit.cut_front + audit.cut_back + 45 * world.dt == pytest.approx(1.2)
        states = demos.throws.states
        want = throws.states.q[i, start : start + 46]
        torch.testing.assert_close(states.q[i].double(), want, rtol=0, atol=FLOAT32)
        torch.testing.assert_close(
            states.phase[i].double(), torch.arange(46).double() / 45, rtol=0, atol=FLOAT32
        )
        assert states.landed[i, -1] and not states.landed[i, 0]


def test_shorter_episodes_are_padded_at_rest(record, throws, world) -> None:
    long = load_world("default", ["horizon=80"])
    demos = load_demonstrations(record(throws), long)
    assert all(a.padded == pytest.approx(20 * world.dt) for a in demos.audits)
    states, actions = demos.throws.states, demos.throws.actions
    torch.testing.assert_close(states.q[:, :61].double(), throws.states.q, rtol=0, atol=FLOAT32)
    assert torch.equal(states.q[:, 61:], states.q[:, 60:61].expand(-1, 20, -1))
    assert not states.qd[:, 61:].any() and not actions[:, 60:, :-1].any() and (actions[:, 60:, -1] == 1).all()
    assert states.landed[:, 61:].all() and not states.ball_velocity[:, 61:].any()
    assert not demos.throws.outcome.limit_violations.any()


def test_twenty_episodes_load_in_about_a_second(record, world, swings) -> None:
    import time

    folders = record(swings(20), a_bag=1)
    load_demonstrations(folders[:1], world)  # what is loaded once
    begin = time.process_time()
    assert len(load_demonstrations(folders, world)) == 20
    assert time.process_time() - begin < 4.0  # measured 1 s; the limit leaves room for a busy machine
