"""The filter's life as a state machine: buttons, faults and motions in any order against a small model."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from irl_ros.safety import JointReading, SafetyFilter, SafetySettings, StopReason
from irl_ros.sim import load_world

WORLD = load_world()
N, T = WORLD.robot.n, WORLD.dt
DEADMAN = 0.1

FAULTY_ACTIONS = (None, "go", [math.nan] * (N + 1), [0.0] * N)
FAULTY_READINGS = (
    (None, StopReason.NO_STATE),
    ("late", StopReason.STALE),
    ("short", StopReason.INCOMPLETE),
    ("nan", StopReason.NOT_FINITE),
    ("back", StopReason.CLOCK),
)


@pytest.fixture(scope="module")
def machine(make_arm, watch) -> type[RuleBasedStateMachine]:
    class Life(RuleBasedStateMachine):
        @initialize(seed=st.integers(0, 1000), manner=st.sampled_from(["held", "line", "ramp"]))
        def begin(self, seed, manner):
            start = np.random.default_rng(seed).uniform(WORLD.robot.lower, WORLD.robot.upper)
            self.filter = SafetyFilter(WORLD, SafetySettings(deadman=DEADMAN))
            self.arm, self.watch = make_arm(WORLD, manner, start), watch(self.filter)
            self.reason: StopReason | None = StopReason.DISABLED
            self.estopped, self.held = False, -math.inf

        @rule()
        def enable(self):
            resting, before = self.filter.at_rest, self.reason
            refused = self.filter.enable()
            if not resting:
                assert refused is before
            elif self.estopped:
                assert refused is StopReason.ESTOP
            else:
                assert refused is None
                self.reason = None

        @rule()
        def estop(self):
            self.filter.estop()
            self.estopped = True
            self.caused(StopReason.ESTOP)

        @rule()
        def reset(self):
            resting = self.filter.at_rest
            assert self.filter.reset() is resting
            if resting:
                self.estopped, self.reason = False, StopReason.DISABLED

        @rule()
        def stop(self):
            self.filter.stop()
            self.caused(StopReason.DISABLED)

        @rule()
        def hold_the_deadman(self):
            self.filter.deadman(True, self.arm.now)
            self.held = self.arm.now

        @rule()
        def let_go_of_it(self):
            self.filter.deadman(False, self.arm.now)
            self.held = -math.inf
            if self.reason is None:
                self.caused(StopReason.DEADMAN)

        @rule(
            wish=st.lists(st.sampled_from([-1.0, 1.0, 0.3]), min_size=N + 1, max_size=N + 1),
            count=st.integers(1, 15),
        )
        def move(self, wish, count):
            for _ in range(count):
                if not self.arm.now - self.held <= DEADMAN:
                    self.caused(StopReason.DEADMAN)
                decision = self.filter(wish, self.arm.reading(), self.arm.now)
                assert decision.release == (self.reason is None and wish[-1] > 0)
                self.arm.follow(self.watch(decision).velocity)

        @rule(action=st.sampled_from(FAULTY_ACTIONS))
        def ask_for_nonsense(self, action):
            self.faulty(action, self.arm.reading(), StopReason.BAD_ACTION)

        @rule(fault=st.sampled_from(FAULTY_READINGS))
        def see_nonsense(self, fault):
            kind, reason = fault
            r, now = self.arm.reading(), self.arm.now
            reading = {
                None: None,
                "late": JointReading(r.names, r.position, r.velocity, now - 1.0, now),
                "short": JointReading(r.names, r.position[1:], r.velocity, now),
                "nan": JointReading(r.names, r.position * math.nan, r.velocity, now),
                "back": JointReading(r.names, r.position, r.velocity, now, now - 10.0),
            }[kind]
            first = self.reason is None and self.filter._clock._stamp is None
            self.faulty(np.ones(N + 1), reading, None if kind == "back" and first else reason)

        def faulty(self, action, reading, reason):
            if reason is StopReason.CLOCK:
                self.caused(reason)  # looked at before anything else
            if not self.arm.now - self.held <= DEADMAN:
                self.caused(StopReason.DEADMAN)
            if reason is not None:
                self.caused(reason)
            self.arm.follow(self.watch(self.filter(action, reading, self.arm.now)).velocity)

        def caused(self, reason):
            if self.reason is None or (self.reason is StopReason.DISABLED and reason is StopReason.ESTOP):
                self.reason = reason

        @invariant()
        def keeps_its_word(self):
            if not hasattr(self, "filter"):
                return
            assert self.filter.reason is self.reason
            assert self.filter.estopped is self.estopped
            assert self.arm.farthest.max() <= 1e-9

    return Life


def test_any_life_of_it_keeps_the_first_cause_the_latch_and_the_limits(machine):
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=60, stateful_step_count=40, deadline=None, derandomize=True),
    )
