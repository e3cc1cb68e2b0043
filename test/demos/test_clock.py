"""Receive times find their place on the clock of the stamps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irl_ros.demos.clock import Clock

NS = 1_000_000_000


@settings(deadline=None, max_examples=60)
@given(
    rate=st.floats(0.1, 10),
    stamped0=st.integers(0, 2 * 10**18),
    received0=st.integers(1, 2 * 10**18),
    count=st.integers(2, 200),
    seed=st.integers(0, 1000),
)
def test_a_steady_simulation_of_any_speed(rate, stamped0, received0, count, seed) -> None:
    """Receive = received0 + rate · time: commands are placed to the jitter of the network."""
    rng = np.random.default_rng(seed)
    time = np.arange(count) * 0.02
    jitter = rng.uniform(0, 0.002, count)
    received = received0 + np.round((rate * time + jitter) * NS).astype(np.int64)
    stamped = stamped0 + np.round(time * NS).astype(np.int64) + 1
    clock = Clock(received, stamped)
    asked = rng.uniform(0, time[-1], 30)
    got = clock.from_received(received0 + np.round(rate * asked * NS).astype(np.int64))
    assert np.abs(got - asked).max() < (0.0021 + 1e-6) / min(rate, 1.0) + 0.1 * abs(1 - 1 / rate) * 0.0021


def test_a_single_late_message_moves_nothing() -> None:
    time = np.arange(100) * 0.02
    received = (time * NS).astype(np.int64)
    received[50] += 15_000_000
    clock = Clock(received, (time * NS).astype(np.int64))
    np.testing.assert_allclose(
        clock.from_received(np.array([1_000_000_000, 1_010_000_000])), [1.0, 1.01], atol=1e-9
    )


def test_unstamped_joint_states_fall_back_to_receive_times() -> None:
    received = 10**18 + np.arange(10, dtype=np.int64) * 20_000_000
    clock = Clock(received, np.zeros(10, dtype=np.int64))
    np.testing.assert_allclose(
        clock.from_stamps(np.zeros(10, dtype=np.int64), received), np.arange(10) * 0.02
    )


def test_wall_time_stamps_beside_simulation_time_are_placed_by_arrival() -> None:
    time = np.arange(100) * 0.02
    received = 1_700_000_000 * NS + (time * NS).astype(np.int64)
    clock = Clock(received, 5 * NS + (time * NS).astype(np.int64))
    wall = received[[50]]
    np.testing.assert_allclose(clock.from_stamps(wall, wall, latched=True), [1.0], atol=1e-6)
    np.testing.assert_allclose(clock.from_stamps(wall, wall), [1.0], atol=1e-6)
    early = np.array(
        [5 * NS - 3 * NS]
    )  # published 3 s before the recording began, delivered at its beginning
    np.testing.assert_allclose(clock.from_stamps(early, received[:1], latched=True), [-3.0], atol=1e-6)
    np.testing.assert_allclose(clock.from_stamps(early, received[:1]), [0.0], atol=1e-6)


@pytest.mark.parametrize("skew", [-0.77, -0.3, 0.3, 0.77])
def test_two_computers_need_not_agree_on_the_time(skew) -> None:
    """The arm's computer stamps; the one that records, and the tracker's, are `skew` seconds ahead."""
    time = np.arange(100) * 0.02
    stamped = 1_700_000_000 * NS + np.round(time * NS).astype(np.int64)
    received = stamped + round(skew * NS) + 1_000_000
    clock = Clock(received, stamped)
    here = received[[0, 40, 99]] - 300_000
    np.testing.assert_allclose(clock.from_stamps(here, here, latched=True), [0.0, 0.8, 1.98], atol=2e-3)
    ball = received - 1_000_000
    np.testing.assert_allclose(clock.from_stamps(ball, received), time, atol=2e-3)
    assert clock.skew(ball, received) == pytest.approx(-skew, abs=2e-3)
    assert clock.skew(stamped, received) == 0.0
