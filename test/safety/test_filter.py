"""The safety filter, judged on arms that are integrated here (conftest)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irl_ros.errors import InputError
from irl_ros.safety import JointReading, SafetyFilter, SafetySettings, StopReason
from irl_ros.sim import BatchWorld, load_world, throw

WORLDS = {"panda": load_world(), "iiwa": load_world({"robot": "iiwa"})}
WORLD = WORLDS["panda"]
JOINTS, N, T = WORLD.robot.joints, WORLD.robot.n, WORLD.dt
STILL, FULL = np.zeros(N + 1), np.ones(N + 1)


def reading(now: float = 0.0, q: np.ndarray | None = None, qd: np.ndarray | None = None) -> JointReading:
    return JointReading(JOINTS, WORLD.home if q is None else q, np.zeros(N) if qd is None else qd, now)


wishes = st.one_of(
    st.lists(st.floats(-1, 1), min_size=N + 1, max_size=N + 1),
    st.lists(st.sampled_from([-1.0, 1.0, 7.0]), min_size=N + 1, max_size=N + 1),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(WORLDS)),
    st.sampled_from(["held", "line", "ramp"]),
    st.lists(st.tuples(wishes, st.integers(1, 12)), min_size=2, max_size=6),
    st.integers(0, 2**32 - 1),
)
def test_no_actions_drive_an_arm_out_of_its_limits(enabled, make_arm, watch, name, manner, sequence, seed):
    world = WORLDS[name]
    draw = np.random.default_rng(seed)
    arm = make_arm(world, manner, draw.uniform(world.robot.lower, world.robot.upper))
    limited = enabled(world)
    seen = watch(limited)
    for action, count in sequence:
        for _ in range(count):
            decision = seen(limited(action, arm.reading(), arm.now))
            assert decision.stop is None
            # a shorter period now and then: states do not come like clockwork
            arm.follow(decision.velocity, world.dt * draw.choice([1.0, 1.0, 0.6]))
    limited.stop()
    while not limited.at_rest:
        arm.follow(seen(limited(None, arm.reading(), arm.now)).velocity)
    assert arm.farthest.max() <= 1e-9


number = st.floats(allow_nan=True, allow_infinity=True, width=64)
anything = st.one_of(
    wishes,
    st.lists(number, min_size=N + 1, max_size=N + 1),
    st.lists(number, max_size=N + 3),
    st.none(),
    st.text(max_size=3),
)
near_home = st.lists(st.floats(-0.05, 0.05), min_size=N, max_size=N).map(lambda d: (WORLD.home + d).tolist())


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            anything,
            st.one_of(near_home, st.lists(number, min_size=N - 1, max_size=N + 1)),
            st.one_of(st.just([0.0] * N), st.lists(number, min_size=N, max_size=N)),
            st.permutations(JOINTS),
            st.one_of(st.just(0.0), number),
            st.one_of(st.sampled_from([0.0, 0.001, 0.02, 0.05, -0.1]), number),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_whatever_comes_in_what_goes_out_is_finite_and_changes_within_limits(enabled, watch, sequence):
    limited, now = enabled(WORLD), 0.0
    seen = watch(limited)
    for action, q, qd, names, age, passed in sequence:
        now = (
            passed
            if not math.isfinite(passed) or abs(passed) > 1
            else (now if math.isfinite(now) else 0.0) + passed
        )
        seen(limited(action, JointReading(names, q, qd, now - age), now))
        if limited.reason is not None and limited.at_rest:
            limited.enable()


@pytest.mark.parametrize(
    ("given_action", "given_reading", "now", "reason"),
    [
        (STILL, None, 0.0, StopReason.NO_STATE),
        (STILL, reading(0.0), 0.2, StopReason.STALE),
        (STILL, reading(1.0), 0.0, StopReason.STALE),
        (STILL, reading(0.0), math.nan, StopReason.CLOCK),
        (STILL, reading(math.nan), 0.0, StopReason.CLOCK),
        (STILL, JointReading(JOINTS[1:], np.zeros(N - 1), np.zeros(N - 1), 0.0), 0.0, StopReason.INCOMPLETE),
        (STILL, JointReading(JOINTS, WORLD.home, (), 0.0), 0.0, StopReason.INCOMPLETE),
        (STILL, reading(q=np.full(N, math.nan)), 0.0, StopReason.NOT_FINITE),
        (STILL, reading(qd=np.full(N, math.inf)), 0.0, StopReason.NOT_FINITE),
        (STILL, reading(q=WORLD.robot.upper + 0.2), 0.0, StopReason.OUTSIDE),
        (STILL, reading(qd=np.full(N, 0.3)), 0.0, StopReason.MOVING),
        (np.zeros(N), reading(), 0.0, StopReason.BAD_ACTION),
        (np.full(N + 1, math.nan), reading(), 0.0, StopReason.BAD_ACTION),
        ("nonsense", reading(), 0.0, StopReason.BAD_ACTION),
    ],
)
def test_each_fault_has_its_reason_and_moves_nothing(given_action, given_reading, now, reason, enabled):
    limited = enabled(WORLD)
    decision = limited(given_action, given_reading, now)
    assert decision.stop is limited.reason is reason
    assert not decision.velocity.any() and not decision.release
    later = limited(FULL, reading(0.3), 0.3)
    assert later.stop is reason and not later.velocity.any(), "the first cause is kept"


def test_nothing_moves_before_it_is_enabled():
    decision = SafetyFilter(WORLD)(FULL, reading(), 0.0)
    assert decision.stop is StopReason.DISABLED
    assert not decision.velocity.any() and not decision.release and decision.position is None


def run_up(limited, arm, seen=lambda d: d, action=FULL, steps=8):
    """Some steps of motion."""
    for _ in range(steps):
        arm.follow(seen(limited(action, arm.reading(), arm.now)).velocity)
    assert limited.reason is None and np.abs(arm.qd).min() > 0.1


def rest(limited, arm, seen, blind: bool = False) -> int:
    """Steps until rest; the last reading again and again where blind."""
    last, steps = arm.reading(), 0
    while not limited.at_rest:
        decision = seen(limited(FULL, last if blind else arm.reading(), arm.now))
        assert not decision.release
        arm.follow(decision.velocity)
        steps += 1
        assert steps < 200
    return steps


@pytest.mark.parametrize("blind", [False, True])
def test_a_stop_is_smooth_quick_and_inside_the_limits_even_without_states(blind, enabled, make_arm, watch):
    arm = make_arm(WORLD, "ramp", WORLD.robot.upper - 0.4)
    limited = enabled(WORLD)
    seen = watch(limited)
    run_up(limited, arm, seen)
    speed = arm.qd.copy()
    limited.stop()
    steps = rest(limited, arm, seen, blind)
    assert limited.reason is StopReason.DISABLED
    quickest = (speed / WORLD.acceleration + WORLD.acceleration / WORLD.robot.jerk).max() / T
    assert steps <= math.ceil(quickest) + 5
    assert arm.farthest.max() <= 1e-9


def test_silence_stops_the_arm(enabled, make_arm, watch):
    arm, limited = make_arm(WORLD, "held"), enabled(WORLD)
    seen = watch(limited)
    run_up(limited, arm, seen)
    last = arm.reading()
    reasons = []
    for _ in range(8):
        decision = seen(limited(STILL, last, arm.now))
        reasons.append(decision.stop)
        arm.follow(decision.velocity)
    # five periods of 20 ms are as old as a state may be
    assert reasons == [None] * 6 + [StopReason.STALE] * 2 or reasons == [None] * 5 + [StopReason.STALE] * 3


def test_an_emergency_stop_is_latched_until_reset_at_rest_and_enabled(enabled, make_arm, watch):
    arm, limited = make_arm(WORLD, "held"), enabled(WORLD)
    seen = watch(limited)
    run_up(limited, arm, seen)
    limited.estop()
    seen(limited(FULL, arm.reading(), arm.now))
    assert limited.estopped and limited.enable() is StopReason.ESTOP
    assert not limited.reset(), "not while it moves"
    rest(limited, arm, seen)
    assert limited.enable() is StopReason.ESTOP
    assert limited.reset() and limited.reason is StopReason.DISABLED
    assert not limited(FULL, arm.reading(), arm.now).velocity.any()
    assert limited.enable() is None
    arm.now += T
    assert limited(FULL, arm.reading(), arm.now).velocity.all()


def test_a_joint_that_is_held_up_stops_the_arm(enabled, make_arm):
    arm, limited = make_arm(WORLD, "held"), enabled(WORLD)
    stuck = arm.q[3]
    for _ in range(30):
        decision = limited(0.5 * FULL, arm.reading(), arm.now)
        if decision.stop:
            break
        arm.follow(decision.velocity)
        arm.q[3] = stuck
    assert decision.stop is StopReason.TRACKING
    assert abs(decision.position[3] - stuck) > SafetySettings().tracking


def test_the_deadman_must_be_held_and_fresh(enabled, make_arm):
    arm, limited = make_arm(WORLD, "held"), enabled(WORLD, deadman=0.05)
    assert limited(FULL, arm.reading(), arm.now).stop is StopReason.DEADMAN
    limited.enable()
    limited.deadman(True, arm.now)
    for _ in range(3):
        arm.follow(limited(FULL, arm.reading(), arm.now).velocity)
    assert limited.reason is None
    arm.follow(limited(FULL, arm.reading(), arm.now).velocity)
    assert limited.reason is StopReason.DEADMAN, "its last sign is 60 ms old"
    rest(limited, arm, lambda decision: decision)
    limited.enable()
    limited.deadman(True, arm.now)
    assert limited(FULL, arm.reading(), arm.now).stop is None
    limited.deadman(False, arm.now)
    assert limited.reason is StopReason.DEADMAN


def test_a_stop_is_carried_out_before_it_can_be_enabled_again(enabled, make_arm, watch):
    arm, limited = make_arm(WORLD, "held"), enabled(WORLD)
    seen = watch(limited)
    run_up(limited, arm, seen)
    assert limited.enable() is None, "it is enabled; motion goes on"
    limited.stop()
    arm.follow(seen(limited(FULL, arm.reading(), arm.now)).velocity)
    assert limited.enable() is limited.reason is StopReason.DISABLED
    rest(limited, arm, seen)
    assert limited.enable() is None


@pytest.mark.parametrize(
    ("stamps", "reason"),
    [
        ([0.0, 0.02, 0.01], StopReason.CLOCK),
        ([0.0, 0.02, 5.0], StopReason.GAP),
        ([0.0, 0.02, 0.02, 0.04], None),
    ],
)
def test_the_arms_clock_may_repeat_itself_but_not_go_back_or_leap(stamps, reason, enabled, watch):
    limited = enabled(WORLD)
    seen, q, v, before = watch(limited), WORLD.home.copy(), np.zeros(N), 0.0
    for k, stamp in enumerate(stamps):
        q = q + v * max(stamp - before, 0.0)
        before = stamp
        # the caller's clock stands almost still, as where a simulation runs faster than the wall
        decision = seen(limited(0.1 * FULL, JointReading(JOINTS, q, v, 1.0, stamp), 1.0 + 1e-4 * k))
        v = decision.velocity
    assert decision.stop is reason


def test_limits_follow_the_time_that_passed(enabled):
    full, short = enabled(WORLD), enabled(WORLD)
    for limited, passed in ((full, T), (short, T / 2)):
        first = limited(STILL, reading(0.0), 0.0)
        change = limited(FULL, reading(passed), passed).velocity - first.velocity
        assert change == pytest.approx(WORLD.acceleration * passed)


def test_a_late_call_may_change_the_command_no_more_than_a_timely_one(enabled):
    limited = enabled(WORLD)
    limited(STILL, reading(0.0), 0.0)
    assert limited(FULL, reading(0.09), 0.09).velocity == pytest.approx(WORLD.acceleration * T)


def test_an_arm_parked_a_little_outside_may_only_come_in(enabled, make_arm):
    parked = WORLD.home.copy()
    parked[1] = WORLD.robot.upper[1] + 0.05
    arm, limited = make_arm(WORLD, "held", parked), enabled(WORLD)
    for _ in range(5):
        arm.follow(limited(FULL, arm.reading(), arm.now).velocity)
    assert arm.q[1] == parked[1]
    for _ in range(20):
        arm.follow(limited(-FULL, arm.reading(), arm.now).velocity)
    assert arm.q[1] < WORLD.robot.upper[1] - 0.1
    for _ in range(60):
        arm.follow(limited(FULL, arm.reading(), arm.now).velocity)
    assert WORLD.robot.upper[1] - 1e-3 < arm.q[1] <= WORLD.robot.upper[1] + 1e-9


def test_an_arm_that_drifts_away_from_its_commands_still_stays_inside(enabled, make_arm):
    """Ten per cent faster than told: the commanded position alone would let it out."""
    arm, limited = make_arm(WORLD, "held", WORLD.robot.upper - 0.3), enabled(WORLD)
    for _ in range(60):
        arm.follow(1.1 * limited(FULL, arm.reading(), arm.now).velocity)
    assert limited.reason is None
    assert (WORLD.robot.upper - arm.q < 0.01).all()
    assert arm.farthest.max() <= 0.1 * 0.02  # a tenth of what the last steps covered


def test_commanded_in_velocity_joints_at_rest_follow_the_arm_and_in_position_they_do_not(enabled):
    drift = 0.01
    for interface, position in (("velocity", WORLD.home + drift), ("position", WORLD.home)):
        limited = enabled(WORLD, interface=interface)
        limited(STILL, reading(0.0), 0.0)
        assert limited(STILL, reading(T, WORLD.home + drift), T).position == pytest.approx(position)


def test_position_commands_neither_leap_nor_jerk_however_late_they_are(enabled):
    limited = enabled(WORLD, interface="position", tracking=1.0)
    draw, now, sent = np.random.default_rng(0), 0.0, []
    for k in range(200):
        q = WORLD.home if not sent else sent[-1]
        sent.append(limited(np.sign(np.sin(k / 9 + np.arange(N + 1))), reading(now, q), now).position)
        now += draw.choice([T, T, 0.09])
    v = np.diff(sent, axis=0) / T
    assert np.abs(v).max() > 1.0 and (np.abs(v) <= WORLD.velocity + 1e-9).all()
    assert (np.abs(np.diff(v, axis=0)) <= WORLD.acceleration * T + 1e-9).all()
    assert ((WORLD.robot.lower <= sent) & (sent <= WORLD.robot.upper)).all()


def test_speed_may_be_ramped_in(enabled, make_arm):
    arm, limited = make_arm(WORLD, "held"), enabled(WORLD, ramp=1.0)
    for _ in range(10):
        arm.follow(limited(FULL, arm.reading(), arm.now).velocity)
    assert (arm.qd <= 0.2 * WORLD.velocity + 1e-9).all() and (arm.qd > 0.15 * WORLD.velocity).all()


def test_jerk_limits_of_the_settings_replace_the_robots(enabled, make_arm, watch):
    arm, limited = make_arm(WORLD, "held"), enabled(WORLD, jerk=50.0)
    seen = watch(limited)
    first = seen(limited(FULL, arm.reading(), arm.now)).velocity
    assert first == pytest.approx(50.0 * T * T)
    with pytest.raises(InputError, match="has 2 values"):
        SafetyFilter(WORLD, SafetySettings(jerk=(1.0, 2.0)))


def wild_throws(world, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    targets = world.sample_targets(count, generator).double()
    actions = torch.rand(count, 12, N + 1, generator=generator, dtype=torch.float64) * 2 - 1
    actions = actions.repeat_interleave(5, 1)
    actions[:, :, -1] = -1.0
    actions[:, 15:, -1] = 1.0
    return targets, actions


@pytest.mark.parametrize("name", sorted(WORLDS))
def test_legal_throws_pass_unchanged(name, enabled):
    world, count = WORLDS[name], 8
    targets, actions = wild_throws(world, count)
    actions[:, :, :-1] *= 0.1  # stays away from position limits: the iiwa's elbow is 5 degrees from one
    plain = throw(BatchWorld(world, dtype=torch.float64), lambda s: actions[:, step_of(s, world)], targets)
    filters = [enabled(world) for _ in range(count)]

    def filtered(state):
        step = step_of(state, world)
        rows = []
        for i, limited in enumerate(filters):
            seen = JointReading(world.robot.joints, state.q[i].numpy(), state.qd[i].numpy(), step * T)
            decision = limited(actions[i, step].numpy(), seen, step * T)
            assert decision.stop is None
            rows.append(torch.from_numpy(decision.action))
        return torch.stack(rows)

    safe = throw(BatchWorld(world, dtype=torch.float64), filtered, targets)
    assert plain.outcome.released.all()
    torch.testing.assert_close(safe.states.q, plain.states.q, atol=1e-9, rtol=0)
    torch.testing.assert_close(safe.states.held, plain.states.held)


def step_of(state, world) -> int:
    return round(float(state.phase[0]) * world.horizon)
