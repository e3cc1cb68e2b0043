"""The safety filter against hostile input, judged on an arm integrated here, step by physics step."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irl_ros.safety import HoldReason, JointReading, SafetyFilter
from irl_ros.sim import BatchWorld, load_world, throw

WORLD = load_world()
JOINTS, N = WORLD.robot.joints, WORLD.robot.n
SLACK = 1e-9
STILL = np.zeros(N + 1)

number = st.floats(allow_nan=True, allow_infinity=True, width=64)
legal = st.floats(-1.0, 1.0)
actions = st.one_of(
    st.lists(legal, min_size=N + 1, max_size=N + 1),
    st.lists(st.sampled_from([-1.0, 1.0]), min_size=N + 1, max_size=N + 1),
    st.lists(number, min_size=N + 1, max_size=N + 1),
    st.lists(number, max_size=N + 3),
    st.none(),
    st.text(max_size=3),
)


class IdealArm:
    """Follows velocity commands under the acceleration limit, 5 small steps a period, in plain numpy."""

    def __init__(self, q: np.ndarray) -> None:
        self.q, self.qd = q.copy(), np.zeros(N)

    def follow(self, velocity: np.ndarray) -> None:
        for _ in range(5):
            change = WORLD.acceleration * WORLD.dt / 5
            self.qd = self.qd + np.clip(velocity - self.qd, -change, change)
            self.q = self.q + self.qd * WORLD.dt / 5

    def reading(self, now: float) -> JointReading:
        return JointReading(JOINTS, self.q, self.qd, now)


def reading(now: float = 0.0, q: np.ndarray | None = None, qd: np.ndarray | None = None) -> JointReading:
    zero = np.zeros(N)
    return JointReading(JOINTS, WORLD.home if q is None else q, zero if qd is None else qd, now)


def assert_inside_limits(velocity: np.ndarray, before: np.ndarray) -> None:
    assert np.isfinite(velocity).all()
    assert (np.abs(velocity) <= WORLD.velocity + SLACK).all()
    assert (np.abs(velocity - before) <= WORLD.acceleration * WORLD.dt + SLACK).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(actions, min_size=10, max_size=25), st.integers(0, 2**32 - 1))
def test_no_sequence_of_actions_drives_the_arm_out_of_its_limits(sequence, seed):
    start = np.random.default_rng(seed).uniform(WORLD.robot.lower, WORLD.robot.upper)
    arm, limited, before = IdealArm(start), SafetyFilter(WORLD), np.zeros(N)
    for step, action in enumerate(sequence):
        decision = limited(action, arm.reading(step * WORLD.dt), step * WORLD.dt)
        assert_inside_limits(decision.velocity, before)
        before = decision.velocity
        arm.follow(decision.velocity)
        assert (arm.q >= WORLD.robot.lower - 1e-6).all() and (arm.q <= WORLD.robot.upper + 1e-6).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            actions,
            st.lists(number, min_size=N, max_size=N),
            st.lists(number, min_size=N - 1, max_size=N + 1),
            st.permutations(JOINTS),
            number,
            number,
        ),
        min_size=1,
        max_size=15,
    )
)
def test_no_joint_state_makes_a_command_that_is_not_finite_or_jumps(sequence):
    limited, before = SafetyFilter(WORLD), None
    for action, q, qd, names, received, now in sequence:
        decision = limited(action, JointReading(names, q, qd, received), now)
        # the first command may start from any measured velocity, but not beyond the limit
        assert_inside_limits(decision.velocity, decision.velocity if before is None else before)
        before = decision.velocity
        assert (np.abs(decision.action) <= 1 + SLACK).all()
        if decision.hold is not None:
            assert not decision.release and decision.action[-1] < 0


@pytest.mark.parametrize(
    ("given_action", "given_reading", "now", "reason"),
    [
        (STILL, None, 0.0, HoldReason.NO_STATE),
        (STILL, reading(0.0), 0.2, HoldReason.STALE),
        (STILL, reading(1.0), 0.0, HoldReason.STALE),
        (STILL, reading(0.0), math.nan, HoldReason.STALE),
        (STILL, JointReading(JOINTS[1:], np.zeros(N - 1), np.zeros(N - 1), 0.0), 0.0, HoldReason.INCOMPLETE),
        (STILL, JointReading(JOINTS, WORLD.home, (), 0.0), 0.0, HoldReason.INCOMPLETE),
        (STILL, JointReading(JOINTS, WORLD.home[1:], WORLD.home, 0.0), 0.0, HoldReason.INCOMPLETE),
        (STILL, reading(q=np.full(N, math.nan)), 0.0, HoldReason.NOT_FINITE),
        (STILL, reading(qd=np.full(N, math.inf)), 0.0, HoldReason.NOT_FINITE),
        (np.zeros(N), reading(), 0.0, HoldReason.BAD_ACTION),
        (np.full(N + 1, math.nan), reading(), 0.0, HoldReason.BAD_ACTION),
        ("nonsense", reading(), 0.0, HoldReason.BAD_ACTION),
    ],
)
def test_each_fault_has_its_reason_and_moves_nothing(given_action, given_reading, now, reason):
    decision = SafetyFilter(WORLD)(given_action, given_reading, now)
    assert decision.hold is reason
    assert not decision.velocity.any() and not decision.release


def test_joints_are_matched_by_name_among_others():
    order = np.random.default_rng(0).permutation(N)
    q, qd = WORLD.robot.upper - 0.01 * np.arange(1, N + 1), np.linspace(0.1, 0.4, N)
    names = ["finger", *(JOINTS[i] for i in order), "other_arm"]
    shuffled = JointReading(names, [9.0, *q[order], 9.0], [9.0, *qd[order], 9.0], 0.0)
    full_speed = np.ones(N + 1)
    expected = SafetyFilter(WORLD)(full_speed, JointReading(JOINTS, q, qd, 0.0), 0.0)
    assert SafetyFilter(WORLD)(full_speed, shuffled, 0.0).velocity == pytest.approx(expected.velocity, abs=0)


def test_a_stale_state_brings_the_arm_to_rest_inside_its_limits():
    q = WORLD.robot.upper - 0.4
    arm, limited = IdealArm(q), SafetyFilter(WORLD)
    for step in range(8):
        limited_now = limited(np.ones(N + 1), arm.reading(step * WORLD.dt), step * WORLD.dt)
        arm.follow(limited_now.velocity)
    assert (arm.qd > 0.1).all() and limited_now.release
    last_seen, steps = arm.reading(0.16), 0
    while not limited.at_rest:
        decision = limited(np.ones(N + 1), last_seen, 1.0)
        assert decision.hold is HoldReason.STALE and not decision.release
        arm.follow(decision.velocity)
        steps += 1
    fastest_stop = math.ceil((WORLD.velocity / WORLD.acceleration).max() / WORLD.dt)
    assert steps <= fastest_stop
    assert (arm.q <= WORLD.robot.upper + 1e-9).all()


def test_a_legal_throw_passes_unchanged():
    world = BatchWorld(WORLD, dtype=torch.float64)
    generator = torch.Generator().manual_seed(3)
    target = WORLD.sample_targets(1, generator).double()
    wild = torch.rand(WORLD.horizon, 1, N + 1, generator=generator, dtype=torch.float64) * 2 - 1
    wild[:, :, -1] = -1.0
    wild[30:, :, -1] = 1.0
    plain = throw(world, lambda s: wild[round(float(s.phase[0]) * WORLD.horizon)], target)

    limited = SafetyFilter(WORLD)

    def filtered(state):
        step = round(float(state.phase[0]) * WORLD.horizon)
        now = step * WORLD.dt
        seen = JointReading(JOINTS, state.q[0].numpy(), state.qd[0].numpy(), now)
        return torch.from_numpy(limited(wild[step, 0].numpy(), seen, now).action)[None]

    safe = throw(world, filtered, target)
    assert plain.outcome.released.all()
    torch.testing.assert_close(safe.states.q, plain.states.q, atol=1e-9, rtol=0)
    torch.testing.assert_close(safe.outcome.landing, plain.outcome.landing, atol=1e-8, rtol=0)
